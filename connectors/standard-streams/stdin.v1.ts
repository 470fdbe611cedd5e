import { z } from 'zod'
import { define } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { lineRecords } from '../../core/flow/line-records.ts'
import type { RecordReader } from '../../core/flow/record-source.ts'
import { openRecordSource } from '../../core/flow/record-source.ts'

/** The head of a pipe. */
export const stdinV1 = define({
  name: 'stdin',
  version: 1,
  summary: 'Reads what is piped into the process: NDJSON, lines, or bytes as they come.',
  notes:
    'It reads no faster than the flow takes it, so a fast writer waits. The execution ends when the input ends. ' +
    'A line that cannot be read goes to the dead-letter with its number, and the rest goes on.',
  inputs: [],
  outputs: ['out'],
  freshValues: true,
  outside: true,
  config: z.strictObject({
    format: z
      .enum(['ndjson', 'lines', 'bytes'])
      .default('ndjson')
      .describe('`ndjson`: JSON per line. `lines`: text per line. `bytes`: pieces of any size.'),
    lineBytesMax: z.int().min(1).max(100_000_000).default(1_000_000).describe('A longer line goes to the dead-letter.'),
  }),
  examples: [
    { title: 'JSON objects, one per line', config: {}, input: [], output: null },
    { title: 'Lines of text', config: { format: 'lines' }, input: [], output: null },
  ],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: async (config, context) => {
      const { standardStreams } = context.host
      if (standardStreams === undefined)
        throw new NodeError('stdin.none', `${context.node} needs a standard input; start it with \`millrace run\``)
      const { format } = config
      const lineBytesMax = Math.min(config.lineBytesMax, context.gate.limit.bytes)
      const reader =
        format === 'bytes'
          ? pieces()
          : lineRecords({ format, lineBytesMax, where: 'standard input', node: context.node })
      return openRecordSource(standardStreams.input, reader, context)
    },
  },
})

/** Every piece a message, as the system gave it. */
function pieces(): RecordReader {
  let piece: Uint8Array | null = null
  return {
    push(chunk) {
      piece = chunk
    },
    end: () => undefined,
    restart: () => undefined,
    take() {
      if (piece === null) return null
      const bytes = piece
      piece = null
      return { values: [bytes.slice()], unreadable: [], bytes: bytes.length, again: () => [bytes.slice()] }
    },
  }
}
