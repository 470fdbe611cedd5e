import { z } from 'zod'
import { define, expression } from '../../core/define.ts'
import { failureOf } from '../../core/flow/failure.ts'
import { message } from '../../core/flow/message.ts'
import type { Step } from '../../core/flow/pump.ts'
import { createPump } from '../../core/flow/pump.ts'

/** Makes messages out of nothing: for benches, demos and first steps. */
export const generateV1 = define({
  name: 'generate',
  version: 1,
  summary: 'Makes messages by itself, as many and as fast as asked.',
  inputs: [],
  outputs: ['out'],
  freshValues: true,
  config: z.strictObject({
    count: z.int().min(0).max(1_000_000_000).default(0).describe('How many; 0 for no end.'),
    perSecond: z
      .number()
      .min(0)
      .max(10_000_000)
      .default(0)
      .describe('How many a second; 0 for as fast as they are taken.'),
    batch: z.int().min(1).max(1024).default(500).describe('Messages in a batch at most.'),
    value: expression(z.json())
      .optional()
      .describe('The value of each; `$json` is its number, from 0. Without it: `{ n }`.'),
  }),
  examples: [
    {
      title: 'Three squares',
      config: { count: 3, value: '{{ $json * $json }}' },
      input: [],
      output: { out: [0, 1, 4] },
    },
    { title: 'Numbered objects', config: { count: 2 }, input: [], output: { out: [{ n: 0 }, { n: 1 }] } },
  ],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: async (config, context) => {
      const { clock } = context.host
      const read = config.value === undefined ? null : context.reader(config.value)
      const scope = context.streamScope
      const begin = clock.now()
      let next = 0
      let ticket = 0
      let cancelTimer = (): void => {}
      const due = (): number => {
        const wanted =
          config.perSecond === 0
            ? Number.POSITIVE_INFINITY
            : Math.floor(((clock.now() - begin) * config.perSecond) / 1000) + 1 - next
        const left = config.count === 0 ? Number.POSITIVE_INFINITY : config.count - next
        return Math.min(wanted, left, config.batch, context.gate.batchMax.messages)
      }
      const step = (): Step => {
        if (config.count > 0 && next >= config.count) return 'done'
        const count = due()
        if (count <= 0) {
          cancelTimer()
          cancelTimer = clock.after(Math.max(1, 1000 / Math.max(config.perSecond, 1)), pump.wake)
          return 'idle'
        }
        const size = { messages: count, bytes: 0 }
        if (!context.gate.take(size)) return 'full'
        const now = clock.now()
        const messages = Array.from({ length: count }, () => {
          const n = next++
          return message(read === null ? { n } : read(message(n, null, now), scope), null, now)
        })
        context.emit(0, messages, scope, ticket++, size)
        return 'emitted'
      }
      const pump = createPump(clock, context.gate, step, context.complete, (thrown) =>
        context.fail(failureOf(thrown, context.node)),
      )
      pump.wake()
      return {
        pause: pump.pause,
        resume: pump.resume,
        close: async () => {
          cancelTimer()
          pump.close()
        },
      }
    },
  },
})
