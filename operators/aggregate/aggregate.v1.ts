import { z } from 'zod'
import { constant, define, expression } from '../../core/define.ts'
import { batch } from '../../core/flow/batch.ts'
import { message } from '../../core/flow/message.ts'
import { Pane } from '../../core/flow/pane.ts'
import { stateful } from '../../core/flow/stateful.ts'

/** Many messages become one. */
export const aggregateV1 = define({
  name: 'aggregate',
  version: 1,
  summary: 'Collects messages into lists, by count and by time, one list per key if asked.',
  notes:
    'The list is the new value. What waits here does not hold back the source, but is not committed before its list has arrived.',
  inputs: ['in'],
  outputs: ['out'],
  stateful: true,
  config: z.strictObject({
    count: z.int().min(1).max(100_000).default(100).describe('A list is given at this many values.'),
    waitMs: z
      .int()
      .min(0)
      .max(86_400_000)
      .default(0)
      .describe('A list is given at the latest so long after its first value; 0: only by count and at the end.'),
    by: expression(z.union([z.string(), z.number()]))
      .default(constant(''))
      .describe('Values of one key go into one list.'),
    keysMax: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(10_000)
      .describe('Open lists at once; beyond it the oldest is given early.'),
  }),
  examples: [
    {
      title: 'Pairs, and what is left at the end',
      config: { count: 2 },
      input: [1, 2, 3],
      output: { out: [[1, 2], [3]] },
    },
    {
      title: 'One list per colour',
      config: { count: 2, by: '{{ $json.colour }}' },
      input: [
        { colour: 'red', n: 1 },
        { colour: 'blue', n: 2 },
        { colour: 'red', n: 3 },
      ],
      output: {
        out: [
          [
            { colour: 'red', n: 1 },
            { colour: 'red', n: 3 },
          ],
          [{ colour: 'blue', n: 2 }],
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
        const panes = new Map<unknown, { readonly pane: Pane; readonly cancel: () => void }>()
        const give = (key: unknown): void => {
          const open = panes.get(key)
          if (open === undefined) return
          panes.delete(key)
          open.cancel()
          const values = open.pane.messages.map((each) => each.value)
          const last = open.pane.messages.at(-1)
          const result = message(values, last?.key ?? null, last?.time ?? clock.now(), last?.meta ?? null)
          emit(0, batch([result], open.pane.close(1), scope))
        }
        return {
          take(each, receipt) {
            const key: unknown = keyOf(each, scope)
            let open = panes.get(key)
            if (open === undefined) {
              if (panes.size >= config.keysMax) give(panes.keys().next().value)
              open = {
                pane: new Pane(),
                cancel: config.waitMs > 0 ? clock.after(config.waitMs, () => give(key)) : () => undefined,
              }
              panes.set(key, open)
            }
            open.pane.add(each, receipt)
            if (open.pane.messages.length >= config.count) give(key)
          },
          flush() {
            for (const key of [...panes.keys()]) give(key)
          },
          close() {
            for (const open of panes.values()) {
              open.cancel()
              open.pane.drop()
            }
            panes.clear()
          },
        }
      })
    },
  },
})
