import { z } from 'zod'
import { define, expression } from '../../core/define.ts'
import { wait } from '../../core/flow/deadline.ts'
import { NodeError } from '../../core/flow/failure.ts'

const delayMsMax = 3_600_000

/** Later. */
export const delayV1 = define({
  name: 'delay',
  version: 1,
  summary: 'Passes each message on after a while, in the order in which they came.',
  notes: 'Waiting messages count as in flight, so a long delay of a fast source slows the source.',
  inputs: ['in'],
  outputs: ['out'],
  config: z.strictObject({
    delayMs: expression(z.number().min(0).max(delayMsMax)).describe('How long, in milliseconds; an hour at most.'),
  }),
  examples: [{ title: 'A second later', config: { delayMs: 1000 }, input: ['a', 'b'], output: { out: ['a', 'b'] } }],
  face: {
    kind: 'async',
    limits: () => ({ concurrency: 100_000, order: 'input', timeoutMs: delayMsMax + 60_000 }),
    make: (config, context) => {
      const read = context.reader(config.delayMs)
      return async (message, signal, scope) => {
        const delayMs: unknown = read(message, scope)
        if (typeof delayMs !== 'number' || !(delayMs >= 0 && delayMs <= delayMsMax))
          throw new NodeError(
            'delay.invalid',
            `delayMs is ${JSON.stringify(delayMs)}, not a number from 0 to ${delayMsMax}`,
          )
        await wait(context.host.clock, delayMs, [signal])
        signal.throwIfAborted()
        return message
      }
    },
  },
})
