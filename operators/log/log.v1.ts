import { z } from 'zod'
import { define, expression } from '../../core/define.ts'

/** Says what passes. */
export const logV1 = define({
  name: 'log',
  version: 1,
  summary: 'Writes a line to the log for each message and passes it on.',
  inputs: ['in'],
  outputs: ['out'],
  config: z.strictObject({
    text: expression(z.string().max(2_000)).describe('The line, for example `order {{ $json.id }}`.'),
    level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('How much it matters.'),
  }),
  examples: [
    {
      title: 'Name what passes',
      config: { text: 'order {{ $json.id }}' },
      input: [{ id: 1 }],
      output: { out: [{ id: 1 }] },
    },
  ],
  face: {
    kind: 'kernel',
    make: (config, context) => {
      const read = context.reader(config.text)
      return (message, emit, scope) => {
        context.host.log.write(config.level, String(read(message, scope)).slice(0, 2_000), { node: context.node })
        emit(message)
      }
    },
  },
})
