import { z } from 'zod'
import type { WriteFailure } from '../../core/define.ts'
import { define, expression } from '../../core/define.ts'
import { failureOf } from '../../core/flow/failure.ts'
import { encode } from './message-bytes.ts'
import { streamDoor } from './stream-door.ts'

/** Into a stream that a `grpc.connect` of the workflow holds open. */
export const grpcSendV1 = define({
  name: 'grpc.send',
  version: 1,
  summary: 'Sends each message into the stream that a `grpc.connect` of the same workflow has open.',
  notes:
    'The method must stream both ways. A message is done when the connection took it; whether the server has read it, only the server can say. ' +
    'While the stream is not connected it fails, so give it `onError: { retry: { attemptsMax: 100 } }`.',
  inputs: ['in'],
  outputs: [],
  outside: true,
  config: z.strictObject({
    stream: z
      .string()
      .regex(/^[\w.-]{1,100}$/, 'not a name: 1 to 100 letters, digits, _ . -')
      .default('default')
      .describe('The `stream` of the `grpc.connect`.'),
    value: expression(z.json())
      .optional()
      .describe('What is sent, by the names of the fields; the whole value when left out.'),
    timeoutMs: z.int().min(1).max(3_600_000).default(30_000).describe('How long the connection may take to accept it.'),
  }),
  examples: [
    {
      title: 'Orders into a stream',
      config: { stream: 'exchange', value: '{{ { place: { id: $json.id, price: $json.price } } }}' },
      input: [{ id: 'o1', price: 10 }],
      output: null,
    },
  ],
  face: {
    kind: 'sink',
    limits: (config) => ({ messagesMax: 64, waitMsMax: 0, timeoutMs: config.timeoutMs, concurrency: 1 }),
    make: (config, context) => {
      const door = streamDoor(config.stream, context)
      const read = context.readerOrValue(config.value)
      return {
        async write(messages, signal, scopeOf) {
          const { request } = door.method
          const failures: WriteFailure[] = []
          const encoded: Uint8Array[] = []
          messages.forEach((message, index) => {
            try {
              encoded.push(encode(request, read(message, scopeOf(index))))
            } catch (thrown) {
              failures.push({ index, failure: failureOf(thrown, context.node) })
            }
          })
          if (encoded.length > 0) await door.send(encoded, signal)
          return failures
        },
        close: async () => undefined,
      }
    },
  },
})
