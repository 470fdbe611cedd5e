import { z } from 'zod'
import type { WriteFailure } from '../../core/define.ts'
import { define, expression } from '../../core/define.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { failureOf } from '../../core/flow/failure.ts'
import type { ClientReceiver } from './client.ts'
import { Client, clientsOf } from './client.ts'
import { checkClient, clientFields, clientSettings } from './client-config.ts'
import { outgoingFormats, payloadOf } from './outgoing.ts'

/** To a server. */
export const websocketWriteV1 = define({
  name: 'websocket.write',
  version: 1,
  summary: 'Sends each message to a WebSocket server, on a connection of its own or on that of a `websocket.connect`.',
  notes:
    'With `url` it connects with the first message, and connects again whenever the connection ends; what the server sends is not read. Without it, messages go out on the connection of ' +
    '`websocket.connect`, named by `client` where there are several. While there is no connection, messages wait, at most `timeoutMs`. ' +
    'One counts as delivered when the system has taken it: what was under way when a connection broke may be lost, or arrive twice with `onError: { retry: {} }`.',
  inputs: ['in'],
  outputs: [],
  outside: true,
  config: z.strictObject({
    ...clientFields,
    url: clientFields.url.optional(),
    client: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe(
        'Id of the `websocket.connect` node whose connection is used; may be left out where the workflow has one.',
      ),
    value: expression(z.json()).optional().describe('What is sent; the whole value when left out.'),
    format: z
      .enum(outgoingFormats)
      .default('auto')
      .describe('`auto` sends text as text, bytes as binary, and everything else as JSON.'),
    timeoutMs: z
      .int()
      .min(100)
      .max(3_600_000)
      .default(30_000)
      .describe('For the messages of one write to go out, the wait for a connection included.'),
  }),
  check: (config) => [
    ...checkClient(config),
    ...(config.url !== undefined && config.client !== undefined
      ? [
          {
            field: 'client',
            message: 'says whose connection is used, and so does `url`',
            remedy: 'Keep one of the two.',
          },
        ]
      : []),
  ],
  examples: [
    {
      title: 'Hand on to another service',
      config: { url: 'wss://sink.example/in', value: '{{ { id: $json.id, total: $json.total } }}' },
      input: [{ id: 7, total: 12, note: 'x' }],
      output: null,
    },
    {
      title: 'Answer on the connection of a feed',
      config: { client: 'feed', value: '{{ { op: "pong", id: $json.id } }}' },
      input: [{ op: 'ping', id: 1 }],
      output: null,
    },
  ],
  face: {
    kind: 'sink',
    limits: (config) => ({ messagesMax: 256, waitMsMax: 0, timeoutMs: config.timeoutMs, concurrency: 1 }),
    make: (config, context) => {
      const clients = clientsOf(context)
      const read = context.readerOrValue(config.value)
      const { url } = config
      let own: Client | null = null
      const receiver: ClientReceiver = {
        connected: () => undefined,
        brought: () => undefined,
        disconnected: () => true,
        // The next message tries anew.
        gaveUp: () => {
          own = null
        },
      }
      const clientOf = async (): Promise<Client> => {
        if (url === undefined) return clients.find(config.client, context.node)
        own ??= new Client(clientSettings({ ...config, url }, context), context.host, context.node, receiver)
        await own.start()
        return own
      }
      return {
        async write(messages, signal, scopeOf) {
          const failures: WriteFailure[] = []
          const payloads: (string | Uint8Array)[] = []
          const indexes: number[] = []
          messages.forEach((message, index) => {
            try {
              payloads.push(payloadOf(read(message, scopeOf(index)), config.format))
              indexes.push(index)
            } catch (thrown) {
              failures.push({ index, failure: failureOf(thrown, context.node) })
            }
          })
          if (payloads.length === 0) return failures
          const gone = await (await clientOf()).send(payloads, signal)
          for (const index of indexes.slice(gone)) failures.push({ index, failure: cut(context.node) })
          return failures
        },
        close: async () => own?.close(),
      }
    },
  },
})

function cut(node: string): Failure {
  const message = 'the connection ended before the message had gone out'
  return { code: 'websocket.cut', message, node, retriable: true }
}
