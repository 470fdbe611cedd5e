import fc from 'fast-check'
import { expect, test } from 'vitest'
import { codecs } from '../../codecs.ts'
import { offsetAfter, readBlock } from './batch-block.ts'
import { BatchBuilder, stamp } from './batch-builder.ts'
import type { Given } from './slow-batches.fixture.ts'
import { anyRecords, readSlowly, writeSlowly } from './slow-batches.fixture.ts'

interface Texts {
  readonly key: string | null
  readonly value: string | null
}

const text = fc.string({
  unit: fc.oneof(fc.constantFrom('a', 'é', '€', '😀', '\ud800'), fc.string({ maxLength: 1 })),
  maxLength: 90,
})
const anyTexts = fc.array(fc.record({ key: fc.option(text), value: fc.option(text) }), { minLength: 1, maxLength: 20 })

function build(records: readonly Given[]): BatchBuilder {
  const builder = new BatchBuilder()
  for (const [index, { key, value, headers, timestampMs }] of records.entries()) {
    builder.add(
      index,
      key,
      value,
      headers.map((each) => ({ ...each, value: each.value ?? '' })),
      timestampMs,
    )
  }
  return builder
}

const withoutNulls = (records: readonly Given[]): readonly Given[] =>
  records.map((each) => ({
    ...each,
    headers: each.headers.map(({ name, value }) => ({ name, value: value ?? Buffer.alloc(0) })),
  }))

test('a batch is, byte for byte, what the slow encoder writes', () => {
  fc.assert(
    fc.property(anyRecords, (records) => {
      const batch = build(records).close('none', false)
      stamp(batch, -1n, -1, -1)
      const slow = writeSlowly(withoutNulls(records), 'none', 0)
      expect(Buffer.compare(batch.bytes, slow)).toBe(0)
    }),
    { numRuns: 500 },
  )
})

test('a batch is read again as it was written, by every codec', () => {
  fc.assert(
    fc.property(anyRecords, fc.constantFrom(...codecs), fc.boolean(), (records, codec, isTransactional) => {
      const batch = build(records).close(codec, isTransactional)
      stamp(batch, 5n, 1, 7)
      // Stamping again, as after a failure, leaves no trace of the first time.
      stamp(batch, 2n ** 40n, 3, 9)
      const { bytes } = batch
      expect([bytes.readBigInt64BE(43), bytes.readInt16BE(51), bytes.readInt32BE(53)]).toEqual([2n ** 40n, 3, 9])
      const block = readBlock(
        { bytes, from: 0, next: offsetAfter(bytes, 0), aborted: [] },
        { topic: 't', partition: 0 },
        1,
      )
      const cursor = block?.cursor()
      for (const [index, record] of withoutNulls(records).entries()) {
        expect(cursor?.next()).toBe(true)
        expect(block?.recordAt(cursor?.at ?? 0)).toEqual({ offset: index, ...record })
      }
      expect(cursor?.next()).toBe(false)
      expect(batch.indexes).toEqual(records.map((_, index) => index))
    }),
    { numRuns: 200 },
  )
})

test('texts are written as UTF-8, whatever their letters', () => {
  fc.assert(
    fc.property(anyTexts, (records: readonly Texts[]) => {
      const builder = new BatchBuilder()
      for (const [index, { key, value }] of records.entries()) {
        builder.add(index, key, value, [{ name: 'ñ', value: key ?? 'none' }], 1_700_000_000_000 + index)
      }
      const batch = builder.close('none', false)
      stamp(batch, -1n, -1, -1)
      const bytesOf = (value: string | null): Buffer | null => (value === null ? null : Buffer.from(value))
      expect(readSlowly(batch.bytes)).toEqual(
        records.map(({ key, value }, index) => ({
          offset: index,
          timestampMs: 1_700_000_000_000 + index,
          key: bytesOf(key),
          value: bytesOf(value),
          headers: [{ name: 'ñ', value: Buffer.from(key ?? 'none') }],
        })),
      )
      expect(builder.size).toBe(batch.bytes.length)
    }),
    { numRuns: 500 },
  )
})
