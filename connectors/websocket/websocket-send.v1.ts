import { z } from 'zod'
import type { WriteFailure } from '../../core/define.ts'
import { define, expression } from '../../core/define.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import { Connection } from './connection.ts'
import { serversOf } from './connections.ts'
import { Outgoing, outgoingFormats, payloadOf } from './outgoing.ts'
import { checkTargets, targetFields, targetFinder } from './targets.ts'

/** To clients. */
export const websocketSendV1 = define({
  name: 'websocket.send',
  version: 1,
  summary: 'Sends each message to a connection, to rooms, or to all connections of a WebSocket server.',
  notes:
    'Without `to`, `room` and `all` the answer goes to the connection that the message came from. A message is made ready once and given to all sockets as it is. ' +
    'It counts as delivered when the sockets have taken it; nothing tells whether a client has read it. ' +
    'One that reads too slowly slows nobody: what waits for it is bounded, see `bufferedBytesMax` and `onSlow` of the server.',
  inputs: ['in'],
  outputs: [],
  outside: true,
  config: z.strictObject({
    ...targetFields,
    value: expression(z.json()).optional().describe('What is sent; the whole value when left out.'),
    format: z
      .enum(outgoingFormats)
      .default('auto')
      .describe('`auto` sends text as text, bytes as binary, and everything else as JSON.'),
    whenGone: z
      .enum(['ignore', 'error'])
      .default('ignore')
      .describe('What a message is for a connection that is closed: done, or an error.'),
  }),
  check: checkTargets,
  examples: [
    { title: 'Answer', config: { value: '{{ { echo: $json } }}' }, input: [{ n: 1 }], output: null },
    {
      title: 'Tell all others in the room',
      config: { room: '{{ $meta.params.room }}', except: '{{ $key }}' },
      input: [{ text: 'hello' }],
      output: null,
    },
  ],
  face: {
    kind: 'sink',
    limits: () => ({ messagesMax: 1_024, waitMsMax: 0, timeoutMs: 30_000, concurrency: 1 }),
    make: (config, context) => {
      const servers = serversOf(context)
      const find = targetFinder(config, context)
      const read = context.readerOrValue(config.value)
      let gone: string | null = null
      const isGone = (id: string): void => {
        gone = id
      }
      return {
        async write(messages, _signal, scopeOf) {
          const failures: WriteFailure[] = []
          const connections = servers.find(config.server, context.node)
          const write = ++connections.writes
          const corked: Connection[] = []
          const send = (connection: Connection, outgoing: Outgoing): void => {
            // The first message to a connection leaves at once; of further ones in the same write all the rest leave together.
            if (connection.lastWrite !== write) connection.lastWrite = write
            else if (!connection.corked) {
              connection.cork()
              corked.push(connection)
            }
            if (!connection.send(outgoing)) gone = connection.id
          }
          for (const [index, message] of messages.entries()) {
            try {
              gone = null
              const scope = scopeOf(index)
              const targets = find(message, scope, connections, isGone)
              const outgoing = new Outgoing(payloadOf(read(message, scope), config.format))
              if (targets instanceof Connection) send(targets, outgoing)
              else for (const each of targets) send(each, outgoing)
              if (gone !== null && config.whenGone === 'error')
                throw new NodeError('websocket.gone', `the connection ${gone} is closed`)
            } catch (thrown) {
              failures.push({ index, failure: failureOf(thrown, context.node) })
            }
          }
          for (const connection of corked) connection.uncork()
          return failures
        },
        close: async () => undefined,
      }
    },
  },
})
