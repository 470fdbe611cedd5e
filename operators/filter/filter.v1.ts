import { z } from 'zod'
import { define, expression } from '../../core/define.ts'

/** Keeps what a test holds for. */
export const filterV1 = define({
  name: 'filter',
  version: 1,
  summary: 'Keeps the messages for which a condition holds and drops the rest.',
  notes: 'A dropped message is settled: it counts as delivered. To send it elsewhere, use `switch`.',
  inputs: ['in'],
  outputs: ['out'],
  config: z.strictObject({
    where: expression(z.boolean()).describe('The condition; a message passes when it is truthy.'),
  }),
  examples: [
    {
      title: 'Keep large orders',
      config: { where: '{{ $json.total > 100 }}' },
      input: [{ total: 50 }, { total: 150 }, { total: 101 }],
      output: { out: [{ total: 150 }, { total: 101 }] },
    },
    {
      title: 'A message without the field fails, and goes to the error port',
      config: { where: '{{ $json.user.active }}' },
      input: [{ user: { active: true } }, {}],
      output: {
        out: [{ user: { active: true } }],
        error: [{ error: { code: 'node.type-error' }, value: {} }],
      },
    },
  ],
  face: {
    kind: 'inline',
    build: (config, loop) => loop.if(loop.read(config.where), () => loop.emit()),
  },
})
