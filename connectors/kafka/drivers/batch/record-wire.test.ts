import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { Connection, createAPI, NetworkError, TimeoutError, Writer } from '@platformatic/kafka'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { RecordApi } from './record-wire.ts'
import { RecordWire } from './record-wire.ts'

interface Asked {
  readonly key: number
  readonly number: number
  readonly text: string
}

/** Says a text; the answer is one. */
const say: RecordApi<string, string> = {
  key: 0,
  version: 8,
  write: (text) => Writer.create().appendString(text, false),
  read: (reader) => reader.readString(false),
}
const sayNothing: RecordApi<string, string> = {
  ...say,
  write(text) {
    const writer = say.write(text)
    writer.context.noResponse = true
    return writer
  },
  read: (reader) => `${reader.remaining} bytes`,
}
const libraryApi = createAPI<[string], string>(
  18,
  0,
  (text) => Writer.create().appendString(text, false),
  (_number, _key, _version, reader) => reader.readString(false),
  false,
  false,
)

let server: Server
let connection: Connection
let wire: RecordWire
let asked: Asked[] = []
let answer: (each: Asked, socket: Socket) => void
let heard: (() => void)[] = []

beforeEach(async () => {
  asked = []
  heard = []
  answer = (each, socket) => void socket.write(frame(each.number, each.text.toUpperCase()))
  server = createServer((socket) => {
    let rest = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk])
      while (rest.length >= 4 && rest.length >= 4 + rest.readInt32BE()) {
        const body = rest.subarray(4, 4 + rest.readInt32BE())
        rest = rest.subarray(4 + body.length)
        const clientEnd = 10 + body.readInt16BE(8)
        const each = {
          key: body.readInt16BE(0),
          number: body.readInt32BE(4),
          text: body.toString('utf8', clientEnd + 2),
        }
        asked.push(each)
        answer(each, socket)
        for (const hear of heard) hear()
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  connection = new Connection('me', { maxInflights: 100 })
  connection.on('error', () => undefined)
  await connection.connect('127.0.0.1', (server.address() as AddressInfo).port)
  wire = new RecordWire(connection, 'me')
})
afterEach(async () => {
  await connection.close()
  server.close()
})

function frame(number: number, text: string): Buffer {
  const bytes = Buffer.alloc(10 + text.length)
  bytes.writeInt32BE(6 + text.length)
  bytes.writeInt32BE(number, 4)
  bytes.writeInt16BE(text.length, 8)
  bytes.write(text, 10)
  return bytes
}

/** Resolves when the server has been asked so often. */
function times(count: number): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => void (asked.length >= count && resolve())
    heard.push(look)
    look()
  })
}

describe('a connection that carries records', () => {
  test('brings each answer to who asked, however the bytes come, and the library its own', async () => {
    const sockets: Socket[] = []
    answer = (_each, socket) => void sockets.push(socket)
    const ours = [wire.ask(say, 'a', 5_000), wire.ask(say, 'b', 5_000)]
    const theirs = libraryApi.async(connection, 'theirs')
    const more = wire.ask(say, 'x'.repeat(30_000), 5_000)
    await times(4)
    // Last one first, cut anywhere, and two in one piece.
    const bytes = Buffer.concat([...asked].reverse().map((each) => frame(each.number, each.text.toUpperCase())))
    let from = 0
    for (const cut of [1, 2, 3, 5, 9, 17, 30_001, 30_011, bytes.length]) {
      await new Promise<void>((resolve) => sockets[0]?.write(bytes.subarray(from, cut), () => setImmediate(resolve)))
      from = cut
    }
    expect(await Promise.all(ours)).toEqual(['A', 'B'])
    expect(await theirs).toBe('THEIRS')
    expect(await more).toBe('X'.repeat(30_000))
  })

  test('waits for no answer where there is none', async () => {
    answer = () => undefined
    expect(await wire.ask(sayNothing, 'a', 5_000)).toBe('0 bytes')
    await times(1)
    expect(asked).toMatchObject([{ key: 0, text: 'a' }])
  })

  test('is given up when an answer is late, for all who wait', async () => {
    answer = () => undefined
    const late = wire.ask(say, 'a', 50)
    const other = wire.ask(say, 'b', 5_000)
    await expect(late).rejects.toBeInstanceOf(TimeoutError)
    await expect(other).rejects.toBeInstanceOf(NetworkError)
    await expect(wire.ask(say, 'c', 5_000)).rejects.toBeInstanceOf(NetworkError)
  })

  test.each([
    ['a size below any', Buffer.from([0, 0, 0, 1, 0])],
    ['a size above any', Buffer.from([0x7f, 0xff, 0xff, 0xff, 0])],
    ['the end', null],
  ])('is given up at %s', async (_what, bytes) => {
    answer = (_each, socket) => void (bytes === null ? socket.end() : socket.write(bytes))
    await expect(wire.ask(say, 'a', 5_000)).rejects.toBeInstanceOf(NetworkError)
  })

  test('tells who asked that an answer cannot be read, and goes on', async () => {
    const broken: RecordApi<string, string> = {
      ...say,
      read: () => {
        throw new RangeError('not such an answer')
      },
    }
    await expect(wire.ask(broken, 'a', 5_000)).rejects.toThrow('not such an answer')
    expect(await wire.ask(say, 'b', 5_000)).toBe('B')
  })
})
