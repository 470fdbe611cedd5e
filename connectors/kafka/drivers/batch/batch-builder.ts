import { giveBack } from '../../../../core/flow/give-back.ts'
import type { Codec } from '../../codecs.ts'
import { codecs, compress } from '../../codecs.ts'
import type { OutHeader } from '../../driver.ts'
import { headerBytes, transactionalBit, writeHeader } from './record-batch.ts'

/** A batch that is closed to further records: its bytes are whole but for the header. */
export interface ClosedBatch {
  /** With room for the header before the records, compressed or not. */
  readonly bytes: Buffer
  /** Where those bytes are; theirs alone. */
  readonly memory: Buffer
  readonly attributes: number
  readonly count: number
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  /** Numbers of its records in the draft. */
  readonly indexes: readonly number[]
}

/** Stamps a closed batch, over an earlier stamp if there is one. */
export function stamp(batch: ClosedBatch, producerId: bigint, producerEpoch: number, baseSequence: number): void {
  writeHeader(batch.bytes, { ...batch, producerId, producerEpoch, baseSequence })
}

const firstCapacity = 4_096
/** A length or a distance is five bytes at most, a distance in time ten; attributes are one. */
const overheadMax = 31

/**
 * The records of one batch, encoded as they come into one growing buffer. Texts are written once: at the place that is right if they
 * are ASCII, and again where they are not.
 */
export class BatchBuilder {
  count = 0
  /** Bytes so far, header included. */
  size = headerBytes
  readonly #indexes: number[] = []
  #bytes = Buffer.allocUnsafeSlow(firstCapacity)
  #baseTimestamp = 0
  #maxTimestamp = 0

  /** Adds a record. `index` is its number in the draft. Key and value are null, text or bytes. */
  add(
    index: number,
    key: string | Uint8Array | null,
    value: string | Uint8Array | null,
    headers: readonly OutHeader[] | null,
    timestampMs: number,
  ): void {
    if (this.count === 0) {
      this.#baseTimestamp = timestampMs
      this.#maxTimestamp = timestampMs
    } else if (timestampMs > this.#maxTimestamp) this.#maxTimestamp = timestampMs
    const timestampDelta = timestampMs - this.#baseTimestamp
    const headersMost = headers === null || headers.length === 0 ? 1 : mostBytesOf(headers)
    const most = overheadMax + mostBytes(key) + mostBytes(value) + headersMost
    if (this.size + most > this.#bytes.length) this.#grow(this.size + most)

    // The lengths of texts in bytes are known only when they are written. First it is taken for granted that they are ASCII.
    const keyLength = key === null ? -1 : key.length
    const valueLength = value === null ? -1 : value.length
    const headerLength = headers === null || headers.length === 0 ? 1 : bytesOf(headers)
    if (!this.#write(key, keyLength, value, valueLength, headers, headerLength, timestampDelta)) {
      const keyBytes = typeof key === 'string' ? Buffer.byteLength(key) : keyLength
      const valueBytes = typeof value === 'string' ? Buffer.byteLength(value) : valueLength
      this.#write(key, keyBytes, value, valueBytes, headers, headerLength, timestampDelta)
    }
    this.count += 1
    this.#indexes.push(index)
  }

  /** Ends the batch. The builder is of no use afterwards. */
  close(codec: Codec, isTransactional: boolean): ClosedBatch {
    const plain = this.#bytes.subarray(0, this.size)
    const bytes = codec === 'none' ? plain : packed(codec, plain)
    if (codec !== 'none') giveBack(this.#bytes)
    return {
      bytes,
      memory: codec === 'none' ? this.#bytes : bytes,
      attributes: codecs.indexOf(codec) | (isTransactional ? transactionalBit : 0),
      count: this.count,
      baseTimestamp: this.#baseTimestamp,
      maxTimestamp: this.#maxTimestamp,
      indexes: this.#indexes,
    }
  }

  /** False where a text was not as long in bytes as was said; nothing is added then. */
  #write(
    key: string | Uint8Array | null,
    keyLength: number,
    value: string | Uint8Array | null,
    valueLength: number,
    headers: readonly OutHeader[] | null,
    headerLength: number,
    timestampDelta: number,
  ): boolean {
    const bytes = this.#bytes
    const length =
      1 +
      sizeOfVarlong(timestampDelta) +
      sizeOfVarint(this.count) +
      sizeOfVarint(keyLength) +
      Math.max(keyLength, 0) +
      sizeOfVarint(valueLength) +
      Math.max(valueLength, 0) +
      headerLength
    let at = writeVarint(bytes, length, this.size)
    bytes[at++] = 0
    at = writeVarlong(bytes, timestampDelta, at)
    at = writeVarint(bytes, this.count, at)
    at = writeVarint(bytes, keyLength, at)
    if (key !== null) {
      if (typeof key === 'string') {
        if (bytes.write(key, at) !== keyLength) return false
      } else bytes.set(key, at)
      at += keyLength
    }
    at = writeVarint(bytes, valueLength, at)
    if (value !== null) {
      if (typeof value === 'string') {
        if (bytes.write(value, at) !== valueLength) return false
      } else bytes.set(value, at)
      at += valueLength
    }
    if (headers === null || headers.length === 0) bytes[at++] = 0
    else at = writeHeaders(bytes, headers, at)
    this.size = at
    return true
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, needed))
    this.#bytes.copy(larger, 0, 0, this.size)
    giveBack(this.#bytes)
    this.#bytes = larger
  }
}

function packed(codec: Codec, plain: Buffer): Buffer {
  const records = compress(codec, plain.subarray(headerBytes))
  const bytes = Buffer.allocUnsafeSlow(headerBytes + records.length)
  bytes.set(records, headerBytes)
  return bytes
}

/** A UTF-16 unit is three bytes at most. */
function mostBytes(value: string | Uint8Array | null): number {
  if (value === null) return 0
  return typeof value === 'string' ? value.length * 3 : value.length
}

function mostBytesOf(headers: readonly OutHeader[]): number {
  let most = 5
  for (const { name, value } of headers) most += 10 + mostBytes(name) + mostBytes(value)
  return most
}

function bytesOf(headers: readonly OutHeader[]): number {
  let length = sizeOfVarint(headers.length)
  for (const { name, value } of headers) {
    const nameLength = Buffer.byteLength(name)
    const valueLength = typeof value === 'string' ? Buffer.byteLength(value) : value.length
    length += sizeOfVarint(nameLength) + nameLength + sizeOfVarint(valueLength) + valueLength
  }
  return length
}

function writeHeaders(bytes: Buffer, headers: readonly OutHeader[], at: number): number {
  at = writeVarint(bytes, headers.length, at)
  for (const { name, value } of headers) {
    at = writeVarint(bytes, Buffer.byteLength(name), at)
    at += bytes.write(name, at)
    at = writeVarint(bytes, typeof value === 'string' ? Buffer.byteLength(value) : value.length, at)
    if (typeof value === 'string') at += bytes.write(value, at)
    else {
      bytes.set(value, at)
      at += value.length
    }
  }
  return at
}

function sizeOfVarint(value: number): number {
  const raw = ((value << 1) ^ (value >> 31)) >>> 0
  return raw < 0x80 ? 1 : raw < 0x4000 ? 2 : raw < 0x200000 ? 3 : raw < 0x10000000 ? 4 : 5
}

function writeVarint(bytes: Buffer, value: number, at: number): number {
  let raw = ((value << 1) ^ (value >> 31)) >>> 0
  while (raw >= 0x80) {
    bytes[at++] = (raw & 0x7f) | 0x80
    raw >>>= 7
  }
  bytes[at++] = raw
  return at
}

/** For whole numbers up to 2^52 either way. */
function sizeOfVarlong(value: number): number {
  let raw = value < 0 ? -value * 2 - 1 : value * 2
  let size = 1
  for (; raw >= 0x80; raw = Math.floor(raw / 0x80)) size += 1
  return size
}

function writeVarlong(bytes: Buffer, value: number, at: number): number {
  let raw = value < 0 ? -value * 2 - 1 : value * 2
  while (raw >= 0x80) {
    bytes[at++] = (raw % 0x80) | 0x80
    raw = Math.floor(raw / 0x80)
  }
  bytes[at++] = raw
  return at
}
