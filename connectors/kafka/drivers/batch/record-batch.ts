import { NodeError } from '../../../../core/flow/failure.ts'
import { crc32c } from './checksum.ts'

/**
 * The header of a record batch, version 2: where its fields stand, relative to its first byte.
 * https://kafka.apache.org/documentation/#recordbatch
 */
export const field = {
  baseOffset: 0,
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  count: 57,
} as const

/** Where the records begin. */
export const headerBytes = 61
/** `length` counts from here on. */
const lengthFrom = 12
/** The checksum covers from here on. */
const checkedFrom = field.attributes

const codecBits = 0x07
const appendTimeBit = 0x08
export const transactionalBit = 0x10
const controlBit = 0x20

/** The header of a batch that was read. 64-bit fields as numbers: exact up to 2^53. */
export interface BatchHeader {
  readonly baseOffset: number
  readonly lastOffset: number
  /** Where the batch ends in the bytes that it was read from. */
  readonly end: number
  readonly codec: number
  readonly isTransactional: boolean
  readonly isControl: boolean
  /** Each record's own time is its distance from this one … */
  readonly baseTimestamp: number
  /** … unless the broker's time of appending stands for all of them; else -1. */
  readonly appendTimestamp: number
  readonly producerId: number
  readonly count: number
}

/**
 * Reads the header of the batch at `at`. Null where what is left is only the beginning of one: brokers cut off their answers anywhere.
 * Throws `kafka.corrupt` where it cannot be a batch.
 */
export function readHeader(bytes: Buffer, at: number): BatchHeader | null {
  if (at + headerBytes > bytes.length) return null
  const length = bytes.readInt32BE(at + field.length)
  const magic = bytes[at + field.magic]
  if (magic !== 2)
    throw corrupt(`it is of version ${magic}, only version 2 is read; it was written by a client before Kafka 0.11`)
  if (length < headerBytes - lengthFrom) throw corrupt(`its length is ${length}`)
  const end = at + lengthFrom + length
  if (end > bytes.length) return null
  const baseOffset = readInt64(bytes, at + field.baseOffset)
  const lastOffsetDelta = bytes.readInt32BE(at + field.lastOffsetDelta)
  const count = bytes.readInt32BE(at + field.count)
  const attributes = bytes.readInt16BE(at + field.attributes)
  if (lastOffsetDelta < 0 || baseOffset < 0)
    throw corrupt(`it begins at ${baseOffset} and ends ${lastOffsetDelta} later`)
  if (count < 0) throw corrupt(`it has ${count} records`)
  return {
    baseOffset,
    lastOffset: baseOffset + lastOffsetDelta,
    end,
    codec: attributes & codecBits,
    isTransactional: (attributes & transactionalBit) !== 0,
    isControl: (attributes & controlBit) !== 0,
    baseTimestamp: readInt64(bytes, at + field.baseTimestamp),
    appendTimestamp: (attributes & appendTimeBit) === 0 ? -1 : readInt64(bytes, at + field.maxTimestamp),
    producerId: readInt64(bytes, at + field.producerId),
    count,
  }
}

/** Throws `kafka.corrupt` where the bytes of a batch are not those that were written. */
export function verify(bytes: Buffer, at: number, end: number): void {
  const written = bytes.readUInt32BE(at + field.crc)
  const found = crc32c(bytes.subarray(at + checkedFrom, end))
  if (found !== written) throw corrupt(`its checksum is ${found}, not ${written}`)
}

/** What a batch is stamped with when it is sent. */
export interface BatchStamp {
  readonly attributes: number
  readonly count: number
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  /** -1 for none. */
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
}

/** Writes the header of a batch that fills `bytes`, its records already in place, with its checksum. */
export function writeHeader(bytes: Buffer, stamp: BatchStamp): void {
  bytes.fill(0, 0, field.length)
  bytes.writeInt32BE(bytes.length - lengthFrom, field.length)
  bytes.writeInt32BE(-1, field.leaderEpoch)
  bytes[field.magic] = 2
  bytes.writeInt16BE(stamp.attributes, field.attributes)
  bytes.writeInt32BE(stamp.count - 1, field.lastOffsetDelta)
  writeInt64(bytes, stamp.baseTimestamp, field.baseTimestamp)
  writeInt64(bytes, stamp.maxTimestamp, field.maxTimestamp)
  bytes.writeBigInt64BE(stamp.producerId, field.producerId)
  bytes.writeInt16BE(stamp.producerEpoch, field.producerEpoch)
  bytes.writeInt32BE(stamp.baseSequence, field.baseSequence)
  bytes.writeInt32BE(stamp.count, field.count)
  bytes.writeUInt32BE(crc32c(bytes.subarray(checkedFrom)), field.crc)
}

export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x100000000 + bytes.readUInt32BE(at + 4)
}

function writeInt64(bytes: Buffer, value: number, at: number): void {
  bytes.writeInt32BE(Math.floor(value / 0x100000000), at)
  bytes.writeUInt32BE(value >>> 0, at + 4)
}

export function corrupt(why: string): NodeError {
  return new NodeError('kafka.corrupt', `a record batch cannot be read: ${why}`)
}
