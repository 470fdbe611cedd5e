import { expect, it } from 'vitest'
import { splitSmjpeg } from './smjpeg.ts'

/** A picture that holds, as many cameras write it, a smaller whole picture inside: markers cannot be searched for. */
const inner = Buffer.from([0xff, 0xd8, 0xff, 0xdb, 0, 4, 1, 2, 0xff, 0xd9])
const outer = Buffer.concat([Buffer.from([0xff, 0xd8, 0xff, 0xe1, 0, 12]), inner, Buffer.from([7, 7, 0xff, 0xd9])])

const header = Buffer.concat([
  Buffer.from('\0\nSMJPEG', 'latin1'),
  Buffer.from([0, 0, 0, 0, 0, 0, 0, 9]),
  Buffer.from('_VID\0\0\0\x0c', 'latin1'),
  Buffer.alloc(12),
  Buffer.from('HEND'),
])
const stream = Buffer.concat([
  header,
  picture(0, outer),
  picture(4000, inner),
  picture(70_000, outer),
  Buffer.from('DONE'),
])

it('finds each picture with its time, however the bytes are cut', async () => {
  for (let size = 1; size <= stream.length; size++) {
    const pictures = await all(splitSmjpeg(cut(stream, size)))
    expect(pictures.map((each) => each.timeMs)).toEqual([0, 4000, 70_000])
    expect(pictures.map((each) => Buffer.from(each.data))).toEqual([outer, inner, outer])
  }
})

it('gives the whole pictures of a stream that breaks off', async () => {
  expect(await all(splitSmjpeg(cut(stream.subarray(0, stream.length - 10), 7)))).toHaveLength(2)
})

it('refuses other bytes and lengths without bound', async () => {
  const tooLong = Buffer.concat([header, Buffer.from('vidD'), Buffer.from([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])])
  for (const bytes of [Buffer.alloc(64, 'x'), tooLong, Buffer.concat([header, Buffer.from('what')])]) {
    await expect(all(splitSmjpeg(cut(bytes, 5)))).rejects.toMatchObject({ code: 'video.bad-output' })
  }
})

function picture(timeMs: number, jpeg: Uint8Array): Buffer {
  const head = Buffer.alloc(12)
  head.write('vidD')
  head.writeUInt32BE(timeMs, 4)
  head.writeUInt32BE(jpeg.length, 8)
  return Buffer.concat([head, jpeg])
}

async function* cut(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = []
  for await (const value of values) taken.push(value)
  return taken
}
