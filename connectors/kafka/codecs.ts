import { createRequire } from 'node:module'
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { NodeError } from '../../core/flow/failure.ts'

/** In the order of the protocol's numbers: the lowest three bits of a record batch's attributes. */
export const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type Codec = (typeof codecs)[number]

// Loaded by the first batch that needs them: most topics use one codec or none.
const load = createRequire(import.meta.url)
const snappy = lazy((): typeof import('snappy') => load('snappy'))
const lz4 = lazy((): typeof import('lz4-napi') => load('lz4-napi'))

function lazy<T>(open: () => T): () => T {
  let opened: T | null = null
  return () => (opened ??= open())
}

export function compress(codec: Codec, bytes: Uint8Array): Uint8Array {
  if (codec === 'gzip') return gzipSync(bytes)
  if (codec === 'snappy') return snappy().compressSync(bytes, { copyOutputData: true })
  if (codec === 'lz4') return lz4().compressFrameSync(buffer(bytes))
  if (codec === 'zstd') return zstdCompressSync(bytes)
  return bytes
}

/**
 * What was compressed, of at most `bytesMax` bytes: no memory is taken on the word of bytes that came from outside.
 * Throws `kafka.too-large` and `kafka.corrupt`.
 */
export function decompress(codec: Codec, bytes: Uint8Array, bytesMax: number): Buffer {
  try {
    if (codec === 'gzip') return gunzipSync(bytes, { maxOutputLength: bytesMax })
    if (codec === 'zstd') return zstdDecompressSync(bytes, { maxOutputLength: bytesMax })
    if (codec === 'snappy') return unsnap(buffer(bytes), bytesMax)
    if (codec === 'lz4') return unlz4(buffer(bytes), bytesMax)
    return buffer(bytes)
  } catch (thrown) {
    if (thrown instanceof NodeError) throw thrown
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : ''
    if (code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(codec, bytesMax)
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new NodeError('kafka.corrupt', `a batch compressed by ${codec} cannot be read: ${why.slice(0, 200)}`)
  }
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function tooLarge(codec: Codec, bytesMax: number): NodeError {
  return new NodeError('kafka.too-large', `a batch compressed by ${codec} is more than ${bytesMax} bytes uncompressed`)
}

const xerial = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])

/** Raw snappy, or the framing of Java's snappy library: a header of 16 bytes, then blocks with their sizes. */
function unsnap(bytes: Buffer, bytesMax: number): Buffer {
  if (!bytes.subarray(0, xerial.length).equals(xerial)) {
    if (snappySize(bytes) > bytesMax) throw tooLarge('snappy', bytesMax)
    return unsnapBlock(bytes)
  }
  const blocks: Buffer[] = []
  let total = 0
  for (let at = 16; at < bytes.length; ) {
    const size = at + 4 <= bytes.length ? bytes.readInt32BE(at) : -1
    if (size <= 0 || at + 4 + size > bytes.length) throw new Error('a block of the xerial framing is cut off')
    const block = bytes.subarray(at + 4, at + 4 + size)
    total += snappySize(block)
    if (total > bytesMax) throw tooLarge('snappy', bytesMax)
    blocks.push(unsnapBlock(block))
    at += 4 + size
  }
  return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks)
}

function unsnapBlock(bytes: Buffer): Buffer {
  // Copied into memory of Node's own: three times as fast as memory that is fresh from the system each time.
  const plain = snappy().uncompressSync(bytes, { copyOutputData: true })
  return typeof plain === 'string' ? Buffer.from(plain) : plain
}

/** The uncompressed size that stands before raw snappy, as a varint of at most five bytes. */
function snappySize(bytes: Buffer): number {
  let size = 0
  for (let at = 0; at < 5; at += 1) {
    const byte = bytes[at]
    if (byte === undefined) break
    size += (byte & 0x7f) * 2 ** (7 * at)
    if (byte < 0x80) return size
  }
  throw new Error('the size of a snappy block cannot be read')
}

/** One LZ4 frame. Its blocks are counted first: a block cannot grow over the frame's own limit, nor 255 times. */
function unlz4(bytes: Buffer, bytesMax: number): Buffer {
  if (bytes.length < 7 || bytes.readUInt32LE(0) !== 0x184d2204) throw new Error('it is no LZ4 frame')
  const flags = bytes[4]!
  const blockMax = 2 ** (8 + 2 * ((bytes[5]! >> 4) & 7))
  const checksums = (flags & 0x10) === 0 ? 0 : 4
  let at = 7 + ((flags & 0x08) === 0 ? 0 : 8) + ((flags & 0x01) === 0 ? 0 : 4)
  let most = 0
  for (;;) {
    if (at + 4 > bytes.length) throw new Error('the LZ4 frame is cut off')
    const word = bytes.readUInt32LE(at)
    if (word === 0) break
    const size = word & 0x7fffffff
    most += Math.min(blockMax, word >= 0x80000000 ? size : size * 255)
    if (most > bytesMax + blockMax) throw tooLarge('lz4', bytesMax)
    at += 4 + size + checksums
  }
  const result = lz4().decompressFrameSync(bytes)
  if (result.length > bytesMax) throw tooLarge('lz4', bytesMax)
  return result
}
