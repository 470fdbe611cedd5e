import { z } from 'zod'
import { define, expression } from '../../core/define.ts'

/** An end on purpose. */
export const stopAndErrorV1 = define({
  name: 'stop-and-error',
  version: 1,
  summary: 'Makes each message that arrives fail, with a cause of your own.',
  notes:
    'The message goes to the `error` port or the dead-letter. With `onError: stop` on this node the whole execution fails.',
  inputs: ['in'],
  outputs: [],
  config: z.strictObject({
    message: expression(z.string().max(2_000)).describe('The cause, for people.'),
    code: z
      .string()
      .max(64)
      .regex(/^[a-z][a-z0-9.-]*$/, 'a code is lower-case letters, digits, dots and dashes')
      .default('workflow.stopped')
      .describe('The cause, for programs.'),
  }),
  examples: [
    {
      title: 'Refuse an order',
      config: { message: 'no price for {{ $json.sku }}', code: 'order.no-price' },
      input: [{ sku: 'A1' }],
      output: { error: [{ error: { code: 'order.no-price', message: 'no price for A1' }, value: { sku: 'A1' } }] },
    },
  ],
  face: { kind: 'inline', build: (config, loop) => loop.fail(config.code, loop.read(config.message)) },
})
