import { z } from 'zod'
import type { LoopBuilder } from '../../core/compile/loop-builder.ts'
import { define, expression } from '../../core/define.ts'
import type { Ir } from '../../core/expressions/ir.ts'

const portName = z
  .string()
  .max(64)
  .regex(/^[a-z][A-Za-z0-9_-]*$/, 'a port name is a lower-case letter followed by letters, digits, "-" or "_"')
  .refine((name) => name !== 'error' && name !== 'otherwise', '`error` and `otherwise` are taken')

/** Chooses a port for each message. */
export const switchV1 = define({
  name: 'switch',
  version: 1,
  summary: 'Sends each message to the port of the first case that holds, else to `otherwise`.',
  inputs: ['in'],
  outputs: (config) => [...new Set(config.cases.map((each) => each.port)), 'otherwise'],
  config: z.strictObject({
    cases: z
      .array(
        z.strictObject({
          port: portName.describe('The output port of this case.'),
          where: expression(z.boolean()).describe('The condition.'),
        }),
      )
      .min(1)
      .max(100)
      .describe('Tried in order.'),
    mode: z.enum(['first', 'all']).default('first').describe('`all` sends a copy to every case that holds.'),
  }),
  examples: [
    {
      title: 'Three sizes',
      config: {
        cases: [
          { port: 'large', where: '{{ $json.n >= 100 }}' },
          { port: 'middle', where: '{{ $json.n >= 10 }}' },
        ],
      },
      input: [{ n: 500 }, { n: 50 }, { n: 5 }],
      output: { large: [{ n: 500 }], middle: [{ n: 50 }], otherwise: [{ n: 5 }] },
    },
    {
      title: 'Every case that holds',
      config: {
        mode: 'all',
        cases: [
          { port: 'even', where: '{{ $json % 2 === 0 }}' },
          { port: 'small', where: '{{ $json < 10 }}' },
        ],
      },
      input: [4, 12, 7, 11],
      output: { even: [4, 12], small: [4, 7], otherwise: [11] },
    },
  ],
  face: {
    kind: 'inline',
    build: (config, loop) => {
      const cases = config.cases.map((each) => ({ port: each.port, test: loop.read(each.where) }))
      if (config.mode === 'first') firstOf(cases, loop)
      else allOf(cases, loop)
    },
  },
})

interface Case {
  readonly port: string
  readonly test: Ir
}

function firstOf(cases: readonly Case[], loop: LoopBuilder): void {
  const [first, ...others] = cases
  if (first === undefined) return loop.emit('otherwise')
  loop.if(
    first.test,
    () => loop.emit(first.port),
    () => firstOf(others, loop),
  )
}

/** All tests are made before the first message leaves, so that one that throws leaves none behind. */
function allOf(cases: readonly Case[], loop: LoopBuilder): void {
  const held = cases.map((each) => ({ port: each.port, test: loop.let(each.test) }))
  const none = held
    .map((each) => each.test)
    .reduce((left, right): Ir => ({ op: 'logical', operator: '||', left, right }))
  for (const each of held) loop.if(each.test, () => loop.emit(each.port))
  loop.if({ op: 'unary', operator: '!', value: none }, () => loop.emit('otherwise'))
}
