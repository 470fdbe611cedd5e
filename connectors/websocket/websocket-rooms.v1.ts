import { z } from 'zod'
import { define, expression } from '../../core/define.ts'
import { serversOf } from './connections.ts'
import { roomsField, serverField, textsOf } from './targets.ts'

/** Who belongs together. */
export const websocketRoomsV1 = define({
  name: 'websocket.rooms',
  version: 1,
  summary: 'Puts connections of a WebSocket server into rooms, or takes them out.',
  notes:
    'Messages pass unchanged. A room is there as long as somebody is in it; a connection that closes leaves all of its rooms by itself. One that is closed already is passed over.',
  inputs: ['in'],
  outputs: ['out'],
  outside: true,
  config: z.strictObject({
    server: serverField,
    connection: expression(z.string().min(1).max(100))
      .optional()
      .describe('Id of the connection; that of the message, `{{ $key }}`, when left out.'),
    leave: roomsField.optional().describe('Rooms that it leaves; nothing happens where it is in none of them.'),
    join: roomsField.optional().describe('Rooms that it enters.'),
  }),
  check: (config) =>
    config.join === undefined && config.leave === undefined
      ? [
          {
            field: 'join',
            message: 'is not given, and neither is `leave`',
            remedy: 'Say which room to join or to leave.',
          },
        ]
      : [],
  examples: [
    {
      title: 'Into the room that the address names',
      config: { join: '{{ $meta.params.room }}' },
      input: [{}],
      output: null,
    },
    {
      title: 'From one room to another',
      config: { leave: '{{ $json.from }}', join: '{{ $json.to }}' },
      input: [{ from: 'lobby', to: 'game-7' }],
      output: null,
    },
  ],
  face: {
    kind: 'kernel',
    make: (config, context) => {
      const servers = serversOf(context)
      const readId = config.connection === undefined ? null : context.reader(config.connection)
      const readLeave = config.leave === undefined ? null : context.reader(config.leave)
      const readJoin = config.join === undefined ? null : context.reader(config.join)
      return (message, emit, scope) => {
        const connections = servers.find(config.server, context.node)
        const [id = ''] = textsOf(readId === null ? message.key : readId(message, scope), 'connection')
        const leave = readLeave === null ? [] : textsOf(readLeave(message, scope), 'leave')
        const join = readJoin === null ? [] : textsOf(readJoin(message, scope), 'join')
        const connection = connections.get(id)
        if (connection !== undefined) {
          for (const room of leave) connections.leave(connection, room)
          for (const room of join) connections.join(connection, room)
        }
        emit(message)
      }
    },
  },
})
