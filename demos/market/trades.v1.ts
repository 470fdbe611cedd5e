import { z } from 'zod'
import { define } from '../../core/define.ts'
import { failureOf } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import { message } from '../../core/flow/message.ts'
import type { Step } from '../../core/flow/pump.ts'
import { createPump } from '../../core/flow/pump.ts'
import { Tape } from './tape.ts'

/** Trades leave in slices of so long. */
const sliceMs = 10
/** A tape that stood still for longer, as on a machine that slept, goes on from now. */
const behindMsMax = 2_000

/** The market itself: a simulated tape. */
export const tradesV1 = define({
  name: 'market.trades',
  version: 1,
  summary: 'Makes trades of forty companies that do not exist, as many a second as asked.',
  notes: 'The time of a message is that of its trade. The same seed gives the same trades.',
  inputs: [],
  outputs: ['out'],
  freshValues: true,
  config: z.strictObject({
    perSecond: z.int().min(1).max(1_000_000).default(50_000).describe('Trades a second.'),
    seed: z.int().min(0).max(2_147_483_647).default(1).describe('Which tape.'),
    count: z.int().min(0).max(1_000_000_000).default(0).describe('How many in all; 0 for no end.'),
  }),
  examples: [],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: async ({ perSecond, seed, count }, context) => {
      const { clock } = context.host
      const tape = new Tape(seed, perSecond)
      let begin = clock.now()
      let next = 0
      let ticket = 0
      let cancelTimer = (): void => {}
      const step = (): Step => {
        if (count > 0 && next >= count) return 'done'
        const now = clock.now()
        const dueAt = begin + (next * 1000) / perSecond
        if (now - dueAt > behindMsMax) begin += now - dueAt
        const due = Math.floor(((now - begin) * perSecond) / 1000) + 1 - next
        const size = Math.min(due, count === 0 ? due : count - next, context.gate.batchMax.messages)
        if (size <= 0) {
          cancelTimer()
          cancelTimer = clock.after(Math.max(sliceMs, 1000 / perSecond), pump.wake)
          return 'idle'
        }
        const taken = { messages: size, bytes: 0 }
        if (!context.gate.take(taken)) return 'full'
        const messages: Message[] = []
        for (let at = 0; at < size; at++) {
          const time = Math.floor(begin + (next++ * 1000) / perSecond)
          const trade = tape.next(time)
          messages.push(message(trade, trade.symbol, time))
        }
        context.emit(0, messages, context.streamScope, ticket++, taken)
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
