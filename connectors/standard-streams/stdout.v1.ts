import { z } from 'zod'
import type { WriteFailure } from '../../core/define.ts'
import { define, expression } from '../../core/define.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import { jsonOf, textOf } from '../../core/json/json-text.ts'

/** The tail of a pipe. */
export const stdoutV1 = define({
  name: 'stdout',
  version: 1,
  summary: 'Writes each message to what the process is piped into: NDJSON, lines, or raw text and bytes.',
  notes:
    'A slow reader slows the flow. When the reader has gone (`| head -1`), the execution is stopped: that is an end, not a failure. ' +
    'Messages that come together are written together, in their order.',
  inputs: ['in'],
  outputs: [],
  outside: true,
  config: z.strictObject({
    format: z
      .enum(['ndjson', 'lines', 'raw'])
      .default('ndjson')
      .describe(
        '`ndjson`: JSON per line, in which bytes are base64. `lines`: text, or bytes that are UTF-8, and a line end. `raw`: text and bytes as they are.',
      ),
    value: expression(z.json()).optional().describe('What is written; the whole value when left out.'),
  }),
  examples: [{ title: 'One JSON object per line', config: {}, input: [{ id: 1 }], output: null }],
  face: {
    kind: 'sink',
    limits: () => ({ messagesMax: 1024, waitMsMax: 0, timeoutMs: timeoutMsMax, concurrency: 1 }),
    make: (config, context) => {
      const { standardStreams } = context.host
      if (standardStreams === undefined)
        throw new NodeError('stdout.none', `${context.node} needs a standard output; start it with \`millrace run\``)
      const read = context.readerOrValue(config.value)
      return {
        async write(messages, _signal, scopeOf) {
          const failures: WriteFailure[] = []
          const pieces: Uint8Array[] = []
          let text = ''
          for (let index = 0; index < messages.length; index++) {
            const message = messages[index]
            if (message === undefined) continue
            try {
              const value = read(message, scopeOf(index))
              if (config.format === 'ndjson') text += `${jsonOf(value)}\n`
              else if (config.format === 'lines') text += `${textOf(value)}\n`
              else if (value instanceof Uint8Array) {
                if (text !== '') pieces.push(Buffer.from(text))
                text = ''
                pieces.push(value)
              } else text += textOf(value)
            } catch (thrown) {
              failures.push({ index, failure: failureOf(thrown, context.node) })
            }
          }
          if (pieces.length > 0 && text !== '') pieces.push(Buffer.from(text))
          const all = pieces.length > 0 ? Buffer.concat(pieces) : text
          if (all.length > 0)
            try {
              await standardStreams.write(all)
            } catch (thrown) {
              if (!isGone(thrown)) throw thrown
              const failure = { ...readerGone, node: context.node }
              for (let index = 0; index < messages.length; index++) {
                const scope = scopeOf(index)
                scope.owner?.broke(scope, failure)
              }
              return messages.map((_, index) => ({ index, failure }))
            }
          return failures
        },
        close: async () => undefined,
      }
    },
  },
})

/** A reader may pause for as long as it likes, as in `| less`. */
const timeoutMsMax = 2_147_483_647

const readerGone: Failure = {
  code: 'execution.stopped',
  message: 'the reader of standard output has gone',
  node: null,
  retriable: false,
}

function isGone(thrown: unknown): boolean {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : ''
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED' || code === 'ECONNRESET'
}
