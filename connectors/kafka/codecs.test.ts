import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { codecs, compress, decompress } from './codecs.ts'

const text = Buffer.from('one wheel turns the other, '.repeat(400))

describe.each(codecs)('codec %s', (codec) => {
  test('gives back what was compressed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5_000 }), (bytes) => {
        expect(decompress(codec, compress(codec, bytes), 5_000).equals(bytes)).toBe(true)
      }),
      { numRuns: 50 },
    )
    expect(decompress(codec, compress(codec, text), text.length).equals(text)).toBe(true)
  })
})

describe.each(codecs.slice(1))('codec %s', (codec) => {
  test('gives no more than the limit', () => {
    const bomb = compress(codec, Buffer.alloc(8 * 1024 * 1024))
    expect(() => decompress(codec, bomb, 64 * 1024)).toThrow(/more than 65536 bytes uncompressed/)
  })

  test('says that garbage is corrupt, and nothing worse', () => {
    const whole = Buffer.from(compress(codec, text))
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, length) => {
        const broken = Buffer.from(whole.subarray(0, length))
        if (at < length) broken[at] = byte
        try {
          decompress(codec, broken, 1024 * 1024)
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: expect.stringMatching(/^kafka\.(corrupt|too-large)$/) })
        }
      }),
      { numRuns: 500 },
    )
    expect(() => decompress(codec, Buffer.from('garbage'), 1024)).toThrow(/cannot be read/)
  })
})

test('reads the framing of the Java snappy library', () => {
  const block = compress('snappy', text)
  const size = Buffer.alloc(4)
  size.writeInt32BE(block.length)
  const header = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])
  const framed = Buffer.concat([header, size, block, size, block])
  expect(decompress('snappy', framed, 1024 * 1024).toString()).toBe(text.toString() + text.toString())
  expect(() => decompress('snappy', framed, text.length)).toThrow(/more than/)
})

test('reads what others write by the same standards', () => {
  expect(decompress('gzip', gzipSync(text), text.length).equals(text)).toBe(true)
  expect(decompress('zstd', zstdCompressSync(text), text.length).equals(text)).toBe(true)
})
