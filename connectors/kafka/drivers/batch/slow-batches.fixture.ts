import fc from 'fast-check'
import type { Codec } from '../../codecs.ts'
import { codecs, compress } from '../../codecs.ts'
import type { RawRecord } from '../../driver.ts'
import { crc32c } from './checksum.ts'

/** Record batches in the slow, straightforward way: every number a BigInt, every field copied. What the quick ways are held against. */

export interface Given {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly { readonly name: string; readonly value: Buffer | null }[]
  readonly timestampMs: number
}

const bytes = (): fc.Arbitrary<Buffer> => fc.uint8Array({ maxLength: 200 }).map((each) => Buffer.from(each))
const name = fc.string({ unit: 'grapheme', maxLength: 8 })

/** Any record, with times that lie together or far apart. */
export const anyRecord: fc.Arbitrary<Given> = fc.record({
  key: fc.option(bytes()),
  value: fc.option(bytes()),
  headers: fc.array(fc.record({ name, value: fc.option(bytes()) }), { maxLength: 3 }),
  timestampMs: fc.oneof(
    fc.integer({ min: 0, max: 2 ** 44 }),
    fc.integer({ min: 1_700_000_000_000, max: 1_700_000_000_050 }),
  ),
})

export const anyRecords = fc.array(anyRecord, { minLength: 1, maxLength: 20 })

/** A batch that begins at an offset. */
export function writeSlowly(records: readonly Given[], codec: Codec, offset: number): Buffer {
  const times = records.map((each) => each.timestampMs)
  const base = times[0] ?? 0
  const encoded = Buffer.concat(records.map((record, index) => encode(record, index, record.timestampMs - base)))
  const body = codec === 'none' ? encoded : Buffer.from(compress(codec, encoded))
  const header = Buffer.alloc(61)
  header.writeBigInt64BE(BigInt(offset), 0)
  header.writeInt32BE(49 + body.length, 8)
  header.writeInt32BE(-1, 12)
  header.writeInt8(2, 16)
  header.writeInt16BE(codecs.indexOf(codec), 21)
  header.writeInt32BE(records.length - 1, 23)
  header.writeBigInt64BE(BigInt(base), 27)
  header.writeBigInt64BE(BigInt(Math.max(...times)), 35)
  header.writeBigInt64BE(-1n, 43)
  header.writeInt16BE(-1, 51)
  header.writeInt32BE(-1, 53)
  header.writeInt32BE(records.length, 57)
  return sealed(Buffer.concat([header, body]))
}

/** Makes a batch's checksum right again after its fields were changed. */
export function sealed(batch: Buffer): Buffer {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

function encode(record: Given, index: number, timestampDelta: number): Buffer {
  const field = (value: Buffer | null): Buffer =>
    value === null ? varint(-1n) : Buffer.concat([varint(BigInt(value.length)), value])
  const body = Buffer.concat([
    Buffer.from([0]),
    varint(BigInt(timestampDelta)),
    varint(BigInt(index)),
    field(record.key),
    field(record.value),
    varint(BigInt(record.headers.length)),
    ...record.headers.flatMap((each) => [field(Buffer.from(each.name)), field(each.value)]),
  ])
  return Buffer.concat([varint(BigInt(body.length)), body])
}

function varint(value: bigint): Buffer {
  let raw = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  const parts: number[] = []
  for (; raw >= 0x80n; raw >>= 7n) parts.push(Number(raw & 0x7fn) | 0x80)
  return Buffer.from([...parts, Number(raw)])
}

/** The records of batches that are not compressed, whole ones only. */
export function readSlowly(all: Buffer): readonly RawRecord[] {
  const records: RawRecord[] = []
  for (let at = 0; at + 61 <= all.length; ) {
    const base = all.readBigInt64BE(at)
    const end = at + 12 + all.readInt32BE(at + 8)
    const time = all.readBigInt64BE(at + 27)
    let pos = at + 61
    const number = (): bigint => {
      let raw = 0n
      for (let shift = 0n; ; shift += 7n) {
        const byte = all.readUInt8(pos++)
        raw |= BigInt(byte & 0x7f) << shift
        if (byte < 0x80) return (raw >> 1n) ^ -(raw & 1n)
      }
    }
    const field = (): Buffer | null => {
      const length = Number(number())
      pos += Math.max(0, length)
      return length < 0 ? null : Buffer.from(all.subarray(pos - length, pos))
    }
    while (pos < end) {
      number()
      pos += 1
      const timestampMs = Number(time + number())
      const offset = Number(base + number())
      const [key, value] = [field(), field()]
      const headers = Array.from({ length: Number(number()) }, () => ({ name: field()!.toString(), value: field() }))
      records.push({ offset, timestampMs, key, value, headers })
    }
    at = end
  }
  return records
}
