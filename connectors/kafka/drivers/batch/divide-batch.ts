import type { Codec } from '../../codecs.ts'
import { codecs, decompress } from '../../codecs.ts'
import type { OutHeader } from '../../driver.ts'
import type { ClosedBatch } from './batch-builder.ts'
import { BatchBuilder } from './batch-builder.ts'
import { BatchCursor } from './batch-cursor.ts'
import { headerBytes, transactionalBit } from './record-batch.ts'

/**
 * Makes two batches of one that a broker found too large: its first half and the rest. So does Java's client, because a topic's limit
 * may be lower than ours.
 */
export function halves(batch: ClosedBatch): readonly ClosedBatch[] {
  const middle = Math.ceil(batch.count / 2)
  return [rebuilt(batch, (place) => place < middle), rebuilt(batch, (place) => place >= middle)]
}

/** A batch without some of its records, by their places in it; null where none is left. */
export function without(batch: ClosedBatch, places: readonly number[]): ClosedBatch | null {
  if (new Set(places).size >= batch.count) return null
  return rebuilt(batch, (place) => !places.includes(place))
}

function rebuilt(batch: ClosedBatch, keep: (place: number) => boolean): ClosedBatch {
  const codec: Codec = codecs[batch.attributes & 7] ?? 'none'
  const isPlain = codec === 'none'
  const bytes = isPlain ? batch.bytes : decompress(codec, batch.bytes.subarray(headerBytes), Number.MAX_SAFE_INTEGER)
  const start = isPlain ? headerBytes : 0
  const records = { bytes, start, end: bytes.length, count: batch.count, at: 0 }
  const cursor = new BatchCursor([
    { ...records, baseOffset: 0, baseTimestamp: batch.baseTimestamp, appendTimestamp: -1 },
  ])
  const builder = new BatchBuilder()
  for (let place = 0; cursor.next(); place += 1) {
    if (!keep(place)) continue
    const { keyStart, keyEnd, valueStart, valueEnd, timestampMs } = cursor
    const key = keyEnd < 0 ? null : bytes.subarray(keyStart, keyEnd)
    const value = valueEnd < 0 ? null : bytes.subarray(valueStart, valueEnd)
    const headers = cursor.headers().map(({ name, value: header }): OutHeader => ({ name, value: header ?? '' }))
    builder.add(batch.indexes[place]!, key, value, headers, timestampMs)
  }
  return builder.close(codec, (batch.attributes & transactionalBit) !== 0)
}
