import { z } from 'zod'
import { define } from '../../core/define.ts'

/** Starts when somebody says so. */
export const manualV1 = define({
  name: 'manual',
  version: 1,
  summary: 'Starts an execution when a person, the CLI, the API or another workflow asks for it.',
  notes:
    'What is given at the start becomes its messages: `millrace run FILE --input VALUE`, `client.run(…)`, or a `call` node.',
  inputs: [],
  outputs: ['out'],
  config: z.strictObject({}),
  examples: [{ title: 'Start by hand', config: {}, input: [{ name: 'Ada' }], output: { out: [{ name: 'Ada' }] } }],
  face: {
    kind: 'event-trigger',
    open: async () => ({ pause: () => undefined, resume: () => undefined, close: async () => undefined }),
  },
})
