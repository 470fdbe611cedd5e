import { z } from 'zod'
import { define } from '../../core/define.ts'

/** A workflow inside a workflow. */
export const callV1 = define({
  name: 'call',
  version: 1,
  summary: 'Runs another workflow on each message, as part of this one.',
  notes:
    'The other workflow is put in the place of the call when this one is planned, so a call costs nothing at run time. ' +
    'It must have exactly one trigger; what leaves a port that no edge follows there leaves by `out`, and errors that it does not handle by `error`.',
  inputs: ['in'],
  outputs: ['out'],
  config: z.strictObject({
    workflow: z
      .string()
      .min(1)
      .max(500)
      .describe('Name of a workflow, or the path of its file, relative to this document.'),
  }),
  examples: [
    {
      title: 'Clean an address with another workflow',
      config: { workflow: './clean-address.yaml' },
      input: [{ zip: ' 10115 ' }],
      output: null,
    },
  ],
  face: { kind: 'call' },
})
