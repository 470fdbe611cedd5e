import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { afterAll, describe } from 'vitest'
import type { Backend, BootOrder, RunnerEvents } from '../backend.ts'
import type { Channel } from '../channel.ts'
import { openChannel } from '../channel.ts'
import type { Runner } from '../runner.ts'
import { startRunner } from '../runner.ts'
import { describeBackend } from './conformance.ts'

/**
 * A backend out of reach, as small as it can be: its runners are told an address and a token, and dial. The suite shows
 * that the contract has room for it.
 */
interface Expected {
  readonly events: RunnerEvents
  connected(channel: Channel): void
}

const expected = new Map<string, Expected>()
const server = createServer((socket) => {
  let runner: Expected | null = null
  const channel = openChannel(socket, 64, {
    frame(data) {
      if (runner !== null) {
        runner.events.frame(data)
        return
      }
      runner = expected.get(String(data)) ?? null
      if (runner === null) socket.destroy()
      else runner.connected(channel)
    },
    closed(cause) {
      socket.destroy()
      runner?.events.ended(cause)
    },
  })
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')

const dialing: Backend = {
  name: 'dialing',
  boot(order, events) {
    const token = randomBytes(16).toString('hex')
    const dialed = Promise.withResolvers<Channel>()
    let channel: Channel | null = null
    let killed = false
    expected.set(token, {
      events,
      connected(made) {
        expected.delete(token)
        channel = made
        channel.bytesMax = order.valueBytesMax
        dialed.resolve(made)
      },
    })
    const runner = dialAndServe(order, token)
    return {
      pid: null,
      send(frame) {
        if (channel === null) void dialed.promise.then((made) => made.send(frame))
        else channel.send(frame)
      },
      kill() {
        if (killed) return
        killed = true
        runner.hangUp()
        // One that never came cannot tell that it has gone.
        if (expected.delete(token)) events.ended('it did not dial')
      },
    }
  },
}

function dialAndServe(order: BootOrder, token: string): { hangUp(): void } {
  const address = server.address()
  const socket = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1')
  let runner: Runner | null = null
  const channel = openChannel(socket, order.valueBytesMax, {
    frame: (data) => runner?.receive(data),
    closed() {
      void runner?.abandon(0)
      socket.destroy()
    },
  })
  socket.write(tokenFrame(token))
  runner = startRunner(order, { send: (frame) => channel.send(frame), leave: () => channel.end() })
  return {
    hangUp() {
      void runner?.abandon(0)
      socket.destroy()
    },
  }
}

/** The token as a frame of the channel: its length, then a msgpack string of 32 characters. */
function tokenFrame(token: string): Buffer {
  return Buffer.concat([Buffer.from([34, 0, 0, 0, 0xd9, token.length]), Buffer.from(token)])
}

describe('a backend whose runners dial', () => {
  describeBackend({ backend: dialing, isolated: false })
  afterAll(() => server.close())
})
