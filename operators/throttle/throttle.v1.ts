import { z } from 'zod'
import { define } from '../../core/define.ts'
import { batch } from '../../core/flow/batch.ts'
import { stopped } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Receipt } from '../../core/flow/receipt.ts'
import { stateful } from '../../core/flow/stateful.ts'

/** No faster than this. */
export const throttleV1 = define({
  name: 'throttle',
  version: 1,
  summary: 'Lets at most so many messages pass in an interval; the rest wait, or are dropped.',
  notes: 'Waiting messages count as in flight, so that the source slows down to the rate that passes here.',
  inputs: ['in'],
  outputs: ['out'],
  stateful: true,
  config: z.strictObject({
    count: z.int().min(1).max(1_000_000).default(1).describe('Messages that may pass in an interval.'),
    everyMs: z.int().min(1).max(86_400_000).default(1_000).describe('The interval.'),
    mode: z.enum(['wait', 'drop']).default('wait').describe('What happens to the rest.'),
  }),
  examples: [
    {
      title: 'Two a second, the rest later',
      config: { count: 2 },
      input: [1, 2, 3, 4, 5],
      output: { out: [1, 2, 3, 4, 5] },
    },
  ],
  face: {
    kind: 'stream',
    make: (config, context) => {
      const { clock } = context.host
      return stateful(context, 1, (scope, emit) => {
        const waiting: { readonly message: Message; readonly receipt: Receipt }[] = []
        let begin = Number.NEGATIVE_INFINITY
        let passed = 0
        let cancel: (() => void) | null = null
        const mayPass = (): boolean => {
          const now = clock.now()
          if (now - begin >= config.everyMs) {
            begin = now
            passed = 0
          }
          return passed < config.count
        }
        const release = (): void => {
          cancel = null
          while (waiting.length > 0 && mayPass()) {
            const next = waiting.shift()
            passed += 1
            if (next !== undefined) emit(0, batch([next.message], next.receipt, scope))
          }
          plan()
        }
        const plan = (): void => {
          if (waiting.length > 0 && cancel === null)
            cancel = clock.after(Math.max(1, begin + config.everyMs - clock.now()), release)
        }
        return {
          take(message, receipt) {
            if (waiting.length === 0 && mayPass()) {
              passed += 1
              receipt.retain(1)
              emit(0, batch([message], receipt, scope))
            } else if (config.mode === 'wait') {
              receipt.retain(1)
              waiting.push({ message, receipt })
              plan()
            }
          },
          // At the end the rate still holds: the mark waits behind what waits.
          idle: () => waiting.length === 0,
          flush: () => undefined,
          close() {
            cancel?.()
            for (const each of waiting.splice(0)) each.receipt.fail(stopped(context.node))
          },
        }
      })
    },
  },
})
