import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { NodeError } from '../../../../core/flow/failure.ts'
import { codecs } from '../../codecs.ts'
import type { RawRecord } from '../../driver.ts'
import type { FetchedBytes } from './batch-block.ts'
import { offsetAfter, readBlock } from './batch-block.ts'
import { field } from './record-batch.ts'
import type { Given } from './slow-batches.fixture.ts'
import { anyRecords, readSlowly, sealed, writeSlowly } from './slow-batches.fixture.ts'

const partition = { topic: 't', partition: 3 }

const anyBatch = fc.record({ records: anyRecords, codec: fc.constantFrom(...codecs) })

function fetched(all: Buffer, over: Partial<FetchedBytes> = {}): FetchedBytes {
  return { bytes: all, from: 0, next: offsetAfter(all, 0), aborted: [], ...over }
}

/** All that the cursor gives, with what the block finds again by each record's place. */
function readAll(from: FetchedBytes): readonly RawRecord[] {
  const block = readBlock(from, partition, 1)
  if (block === null) return []
  const cursor = block.cursor()
  const records: RawRecord[] = []
  const places: number[] = []
  while (cursor.next()) {
    const { at, offset, timestampMs } = cursor
    const part = (start: number, end: number): Buffer | null =>
      end < 0 ? null : Buffer.from(cursor.bytes.subarray(start, end))
    const key = part(cursor.keyStart, cursor.keyEnd)
    const value = part(cursor.valueStart, cursor.valueEnd)
    places.push(at)
    records.push({ offset, timestampMs, key, value, headers: block.recordAt(at).headers })
  }
  expect(records.length).toBe(block.count)
  expect(block.firstOffset).toBe(records[0]?.offset)
  for (const [index, at] of [...places.entries()].reverse()) expect(block.recordAt(at)).toEqual(records[index])
  if (places.length > 1) {
    cursor.moveTo(places[0]!)
    expect(cursor.next()).toBe(true)
    expect(cursor.at).toBe(places[1])
  }
  return records
}

describe('a block of record batches', () => {
  test('holds what was written, by every codec', () => {
    fc.assert(
      fc.property(fc.array(anyBatch, { minLength: 1, maxLength: 4 }), (batches) => {
        let offset = 1_000
        const expected: RawRecord[] = []
        const all = Buffer.concat(
          batches.map(({ records, codec }) => {
            const batch = writeSlowly(records, codec, offset)
            for (const record of records) expected.push({ ...record, offset: offset++ })
            return batch
          }),
        )
        expect(readAll(fetched(all))).toEqual(expected)
        expect(offsetAfter(all, 0)).toBe(offset)
      }),
      { numRuns: 200 },
    )
  })

  test('is what the slow decoder reads, wherever it is cut off', () => {
    fc.assert(
      fc.property(fc.array(anyRecords, { maxLength: 4 }), fc.nat(), (batches, cut) => {
        let offset = 0
        const parts = batches.map((records) => {
          const batch = writeSlowly(records, 'none', offset)
          offset += records.length
          return batch
        })
        const all = Buffer.concat(parts)
        const length = all.length === 0 ? 0 : cut % (all.length + 1)
        let whole = 0
        for (const part of parts) {
          if (whole + part.length > length) break
          whole += part.length
        }
        expect(readAll(fetched(all.subarray(0, length)))).toEqual(readSlowly(all.subarray(0, whole)))
      }),
      { numRuns: 200 },
    )
  })

  test('begins with the record that was asked for', () => {
    const records = (count: number): readonly Given[] =>
      Array.from({ length: count }, (_, index) => ({
        key: null,
        value: Buffer.from(String(index)),
        headers: [],
        timestampMs: 1_700_000_000_000,
      }))
    for (const codec of ['none', 'zstd'] as const) {
      const all = Buffer.concat([writeSlowly(records(10), codec, 100), writeSlowly(records(5), codec, 110)])
      for (let from = 95; from <= 115; from += 1) {
        const read = readAll(fetched(all, { from }))
        const first = Math.max(from, 100)
        expect(read.map((each) => each.offset)).toEqual(
          Array.from({ length: 115 - first }, (_, index) => first + index),
        )
      }
    }
  })

  test('is refused when a bit has changed', () => {
    const all = writeSlowly([{ key: null, value: Buffer.from('value'), headers: [], timestampMs: 1 }], 'none', 0)
    for (let at = field.crc; at < all.length; at += 1) {
      const changed = Buffer.from(all)
      changed[at]! ^= 0x10
      expect(() => readAll(fetched(changed))).toThrow(expect.objectContaining({ code: 'kafka.corrupt' }))
    }
  })

  test('is refused when it is of another version', () => {
    const all = writeSlowly([{ key: null, value: null, headers: [], timestampMs: 1 }], 'none', 0)
    all[field.magic] = 1
    expect(() => offsetAfter(all, 0)).toThrow(/version 1, only version 2/)
  })

  test('of any garbage gives records or an error with a code, and always an end', () => {
    const change = fc.record({ at: fc.nat(), byte: fc.nat(255) })
    fc.assert(
      fc.property(anyBatch, fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(), (batch, changes, cut) => {
        const all = writeSlowly(batch.records, batch.codec, 7)
        for (const { at, byte } of changes) all[at % all.length] = byte
        // The checksum is made right again, as whoever means harm would.
        all.writeInt32BE(all.length - 12, field.length)
        all[field.magic] = 2
        sealed(all)
        const broken = cut % 3 === 0 ? all.subarray(0, cut % all.length) : all
        try {
          const block = readBlock(fetched(broken, { next: 8 }), partition, 1)
          const cursor = block?.cursor()
          for (let count = 0; cursor?.next() === true; count += 1) {
            expect(count).toBeLessThan(block?.count ?? 0)
            block?.recordAt(cursor.at)
          }
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(NodeError)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('leaves out aborted transactions and their markers', () => {
    const one = (value: string): readonly Given[] => [
      { key: null, value: Buffer.from(value), headers: [], timestampMs: 1 },
    ]
    const of = (producer: number, attributes: number, records: readonly Given[], offset: number): Buffer => {
      const batch = writeSlowly(records, 'none', offset)
      batch.writeInt16BE(attributes, field.attributes)
      batch.writeBigInt64BE(BigInt(producer), field.producerId)
      return sealed(batch)
    }
    const marker = (producer: number, type: number, offset: number): Buffer => {
      const key = Buffer.from([0, 0, 0, type])
      return of(producer, 0x30, [{ key, value: Buffer.alloc(6), headers: [], timestampMs: 1 }], offset)
    }
    const all = Buffer.concat([
      of(1, 0x10, one('aborted'), 0),
      of(2, 0x10, one('committed'), 1),
      of(-1, 0, one('outside'), 2),
      marker(1, 0, 3),
      of(1, 0x10, one('next of the first'), 4),
      marker(2, 1, 5),
      marker(1, 1, 6),
    ])
    const values = (aborted: FetchedBytes['aborted']): readonly string[] =>
      readAll(fetched(all, { aborted })).map((each) => String(each.value))
    expect(values([{ producerId: 1, firstOffset: 0 }])).toEqual(['committed', 'outside', 'next of the first'])
    expect(values([])).toEqual(['aborted', 'committed', 'outside', 'next of the first'])
    expect(offsetAfter(all, 0)).toBe(7)
    const markers = Buffer.concat([marker(1, 0, 3), marker(2, 1, 4)])
    expect(readBlock(fetched(markers), partition, 1)).toBe(null)
  })
})
