import { duplexPair } from 'node:stream'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import type { Channel } from './channel.ts'
import { openChannel } from './channel.ts'

interface End {
  readonly channel: Channel
  readonly frames: unknown[]
  readonly closed: string[]
}

function endOf(socket: ReturnType<typeof duplexPair>[0], bytesMax: number): End {
  const frames: unknown[] = []
  const closed: string[] = []
  const events = { frame: (data: unknown) => frames.push(data), closed: (cause: string) => closed.push(cause) }
  return { channel: openChannel(socket, bytesMax, events), frames, closed }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** JSON, in which -0 is 0, and without the one name that is never written back. */
const plainData = fc
  .json()
  .filter((text) => !text.includes('__proto__'))
  .map((text): unknown => JSON.parse(text))

describe('a channel', () => {
  test('gives the same frames wherever the bytes are cut', async () => {
    const frame = fc.tuple(fc.constant('value'), fc.nat(), fc.nat(), plainData)
    await fc.assert(
      fc.asyncProperty(
        fc.array(frame, { maxLength: 10 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 9 })),
        async (sent, cuts) => {
          const [writing, taken] = duplexPair()
          const [cutting, reading] = duplexPair()
          const sender = endOf(writing, 1 << 20)
          const receiver = endOf(reading, 1 << 20)
          for (const each of sent) sender.channel.send(each)
          await turn()
          const bytes: Buffer | null = taken.read()
          for (let at = 0; bytes !== null && at < bytes.length; ) {
            const to = at + Number(cuts.next().value)
            cutting.write(bytes.subarray(at, to))
            at = to
          }
          await turn()
          await turn()
          expect(receiver.frames).toEqual(sent)
          expect(receiver.closed).toEqual([])
        },
      ),
      { numRuns: 50 },
    )
  })

  test('a frame that fails to encode breaks none after it', async () => {
    const [writing, reading] = duplexPair()
    const sender = endOf(writing, 10_000)
    const receiver = endOf(reading, 10_000)
    sender.channel.send(['value', { a: 1 }])
    expect(() => sender.channel.send(['value', { b: 1, c: () => 1 }])).toThrow(
      expect.objectContaining({ code: 'worker.value-unclonable' }),
    )
    expect(() => sender.channel.send(['value', { d: 'x'.repeat(20_000) }])).toThrow(
      expect.objectContaining({ code: 'worker.value-too-large' }),
    )
    sender.channel.send(['value', { b: 1, c: 2, d: 3 }])
    await turn()
    expect(receiver.frames).toEqual([
      ['value', { a: 1 }],
      ['value', { b: 1, c: 2, d: 3 }],
    ])
  })

  test('garbage closes it, once, and nothing after it is looked at', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 5, maxLength: 200 }), async (garbage) => {
        const [writing, reading] = duplexPair()
        const receiver = endOf(reading, 100)
        writing.write(Buffer.concat([Buffer.from([garbage.length, 0, 0, 0xff]), garbage]))
        writing.write(framed(['fine']))
        await turn()
        expect(receiver.closed).toHaveLength(1)
        expect(receiver.frames).toEqual([])
        writing.destroy()
        await turn()
        expect(receiver.closed).toHaveLength(1)
      }),
      { numRuns: 50 },
    )
  })

  test('bytes that are no msgpack close it', async () => {
    const [writing, reading] = duplexPair()
    const receiver = endOf(reading, 100)
    writing.write(Buffer.from([3, 0, 0, 0, 0xc1, 0xc1, 0xc1]))
    await turn()
    expect(receiver.closed).toEqual(['what arrived is no frame'])
  })
})

function framed(data: unknown): Buffer {
  const bytes = new Packr().pack(data)
  const head = Buffer.alloc(4)
  head.writeUInt32LE(bytes.length, 0)
  return Buffer.concat([head, bytes])
}
