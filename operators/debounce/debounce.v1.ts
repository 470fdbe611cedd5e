import { z } from 'zod'
import { constant, define, expression } from '../../core/define.ts'
import { batch } from '../../core/flow/batch.ts'
import { Pane } from '../../core/flow/pane.ts'
import { stateful } from '../../core/flow/stateful.ts'

/** The last word. */
export const debounceV1 = define({
  name: 'debounce',
  version: 1,
  summary: 'Waits until no message has come for a while, then passes the last one; per key if asked.',
  notes: 'Messages that were replaced are settled together with the one that replaced them.',
  inputs: ['in'],
  outputs: ['out'],
  stateful: true,
  config: z.strictObject({
    waitMs: z.int().min(1).max(86_400_000).describe('How long it must be quiet.'),
    waitMsMax: z
      .int()
      .min(0)
      .max(86_400_000)
      .default(0)
      .describe('Pass one at the latest after so long, quiet or not; 0 for never.'),
    by: expression(z.union([z.string(), z.number()]))
      .default(constant(''))
      .describe('Keys are quiet each for itself.'),
    keysMax: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(10_000)
      .describe('Keys that wait at once; beyond it the oldest passes early.'),
  }),
  examples: [
    { title: 'The last of a burst', config: { waitMs: 100 }, input: ['a', 'ab', 'abc'], output: { out: ['abc'] } },
    {
      title: 'The last of each user',
      config: { waitMs: 100, by: '{{ $json.user }}' },
      input: [
        { user: 1, n: 1 },
        { user: 2, n: 2 },
        { user: 1, n: 3 },
      ],
      output: {
        out: [
          { user: 1, n: 3 },
          { user: 2, n: 2 },
        ],
      },
    },
  ],
  face: {
    kind: 'stream',
    make: (config, context) => {
      const keyOf = context.reader(config.by)
      const { clock } = context.host
      return stateful(context, 1, (scope, emit) => {
        const waiting = new Map<unknown, { readonly pane: Pane; readonly begin: number; cancel: () => void }>()
        const pass = (key: unknown): void => {
          const open = waiting.get(key)
          if (open === undefined) return
          waiting.delete(key)
          open.cancel()
          const last = open.pane.messages.at(-1)
          if (last === undefined) return open.pane.drop()
          emit(0, batch([last], open.pane.close(1), scope))
        }
        return {
          take(message, receipt) {
            const key: unknown = keyOf(message, scope)
            let open = waiting.get(key)
            if (open === undefined) {
              if (waiting.size >= config.keysMax) pass(waiting.keys().next().value)
              open = { pane: new Pane(), begin: clock.now(), cancel: () => undefined }
              waiting.set(key, open)
            }
            open.cancel()
            open.pane.messages.length = 0
            open.pane.add(message, receipt)
            const limit =
              config.waitMsMax === 0 ? Number.POSITIVE_INFINITY : open.begin + config.waitMsMax - clock.now()
            open.cancel = clock.after(Math.max(0, Math.min(config.waitMs, limit)), () => pass(key))
          },
          flush() {
            for (const key of [...waiting.keys()]) pass(key)
          },
          close() {
            for (const open of waiting.values()) {
              open.cancel()
              open.pane.drop()
            }
            waiting.clear()
          },
        }
      })
    },
  },
})
