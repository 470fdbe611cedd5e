import { z } from 'zod'
import { define } from '../../core/define.ts'

/** Several ways become one. */
export const mergeV1 = define({
  name: 'merge',
  version: 1,
  summary: 'Brings several branches together: whatever arrives passes on.',
  notes:
    'Any node may have several edges into it; a merge gives the meeting point a name. It waits for nothing and changes nothing.',
  inputs: ['in'],
  outputs: ['out'],
  config: z.strictObject({}),
  examples: [{ title: 'Whatever arrives passes on', config: {}, input: [1, 2], output: { out: [1, 2] } }],
  face: { kind: 'inline', build: (_config, loop) => loop.emit() },
})
