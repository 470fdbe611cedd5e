import { codecs, decompress } from '../../codecs.ts'
import type { Partition, RawHeader, RawRecord, RecordBlock, RecordCursor } from '../../driver.ts'
import { headerTexts } from '../record-list.ts'
import type { Segment } from './batch-cursor.ts'
import { BatchCursor } from './batch-cursor.ts'
import type { BatchHeader } from './record-batch.ts'
import { corrupt, headerBytes, readHeader, verify } from './record-batch.ts'

/** An aborted transaction as a broker tells of it. */
export interface Aborted {
  readonly producerId: number
  readonly firstOffset: number
}

/** What one fetch brought of one partition, as it came. */
export interface FetchedBytes {
  readonly bytes: Buffer
  /** Records before it were not asked for: batches are sent whole. */
  readonly from: number
  /** What follows begins here. */
  readonly next: number
  /** In the order of their first offsets. Empty where all is wanted. */
  readonly aborted: readonly Aborted[]
}

/** Uncompressed bytes of one batch at most. Brokers take batches of a megabyte, which seldom grows a hundredfold. */
const batchBytesMax = 128 * 1024 * 1024

/** Where the last whole batch ends, as an offset. Throws `kafka.corrupt`. */
export function offsetAfter(bytes: Buffer, from: number): number {
  let next = from
  for (let at = 0; ; ) {
    const header = readHeader(bytes, at)
    if (header === null) return next
    next = Math.max(next, header.lastOffset + 1)
    at = header.end
  }
}

/**
 * Makes a block of what was fetched: checksums compared, each compressed batch uncompressed once, markers and aborted transactions left out.
 * Null where nothing is left. Throws `kafka.corrupt` and `kafka.too-large`.
 */
export function readBlock(fetched: FetchedBytes, partition: Partition, generation: number): RecordBlock | null {
  const segments: Segment[] = []
  let place = 0
  for (const { header, at } of wantedBatches(fetched)) {
    const segment = segmentOf(fetched.bytes, at, header, place, fetched.from)
    if (segment.count > 0) segments.push(segment)
    place += segment.end - segment.start
  }
  return segments.length === 0 ? null : new BatchBlock(partition, generation, segments, fetched.next - 1)
}

/** The batches that hold wanted records, their checksums compared: without markers and aborted transactions. Throws `kafka.corrupt`. */
export function* wantedBatches({ bytes, from, aborted }: FetchedBytes): Iterable<{
  readonly header: BatchHeader
  readonly at: number
}> {
  const producers = new AbortedProducers(aborted)
  for (let at = 0; ; ) {
    const header = readHeader(bytes, at)
    if (header === null) return
    if (header.lastOffset >= from) {
      verify(bytes, at, header.end)
      if (producers.wants(header, bytes, at)) yield { header, at }
    }
    at = header.end
  }
}

function segmentOf(bytes: Buffer, at: number, header: BatchHeader, place: number, from: number): Segment {
  const codec = codecs[header.codec]
  if (codec === undefined) throw corrupt(`its codec has the unknown number ${header.codec}`)
  const isPlain = codec === 'none'
  const records = isPlain ? bytes : decompress(codec, bytes.subarray(at + headerBytes, header.end), batchBytesMax)
  const start = isPlain ? at + headerBytes : 0
  const end = isPlain ? header.end : records.length
  // A record is seven bytes at least: a count that cannot be is found before anybody relies on it.
  if (header.count * 7 > end - start) throw corrupt(`it says ${header.count} records in ${end - start} bytes`)
  const { baseOffset, baseTimestamp, appendTimestamp, count } = header
  const whole = { bytes: records, start, end, count, at: place, baseOffset, baseTimestamp, appendTimestamp }
  return baseOffset >= from ? whole : withoutBefore(whole, from)
}

/** Leaves out the records before an offset. */
function withoutBefore(segment: Segment, from: number): Segment {
  const cursor = new BatchCursor([segment])
  for (let passed = 0; cursor.next(); passed += 1) {
    if (cursor.offset < from) continue
    const start = segment.start + cursor.at - segment.at
    return { ...segment, start, count: segment.count - passed }
  }
  return { ...segment, start: segment.end, count: 0 }
}

/** Tells which batches are those of aborted transactions, and which are the markers that end transactions. */
class AbortedProducers {
  readonly #aborted: readonly Aborted[]
  readonly #open = new Set<number>()
  #next = 0

  constructor(aborted: readonly Aborted[]) {
    this.#aborted = aborted
  }

  /** To be asked for each batch, in order. */
  wants(header: BatchHeader, bytes: Buffer, at: number): boolean {
    for (; this.#next < this.#aborted.length; this.#next += 1) {
      const { producerId, firstOffset } = this.#aborted[this.#next]!
      if (firstOffset > header.lastOffset) break
      this.#open.add(producerId)
    }
    if (header.isControl) {
      if (this.#open.size > 0 && isAbortMarker(header, bytes, at)) this.#open.delete(header.producerId)
      return false
    }
    return !(header.isTransactional && this.#open.has(header.producerId))
  }
}

/** A marker's key is two numbers of 16 bits: its version, and 0 for an abort. */
function isAbortMarker(header: BatchHeader, bytes: Buffer, at: number): boolean {
  const { end, count, baseOffset, baseTimestamp, appendTimestamp } = header
  const records = { bytes, start: at + headerBytes, end, count, at: 0, baseOffset, baseTimestamp, appendTimestamp }
  const cursor = new BatchCursor([records])
  return cursor.next() && cursor.keyEnd - cursor.keyStart >= 4 && bytes.readInt16BE(cursor.keyStart + 2) === 0
}

/** Records of one partition as they lie in their batches. */
class BatchBlock implements RecordBlock {
  readonly topic: string
  readonly partition: number
  readonly generation: number
  readonly count: number
  readonly firstOffset: number
  readonly lastOffset: number
  readonly bytes: number
  readonly #segments: readonly Segment[]

  constructor(partition: Partition, generation: number, segments: readonly Segment[], lastOffset: number) {
    this.topic = partition.topic
    this.partition = partition.partition
    this.generation = generation
    this.#segments = segments
    let count = 0
    let bytes = 0
    for (const segment of segments) {
      count += segment.count
      bytes += segment.end - segment.start
    }
    this.count = count
    this.bytes = bytes
    this.lastOffset = lastOffset
    const cursor = new BatchCursor(segments)
    cursor.next()
    this.firstOffset = cursor.offset
  }

  cursor(): RecordCursor {
    return new BatchCursor(this.#segments)
  }

  headersAt(at: number): Readonly<Record<string, string>> {
    const cursor = this.#cursorAt(at)
    return headerTexts(cursor.headers())
  }

  recordAt(at: number): RawRecord {
    const cursor = this.#cursorAt(at)
    const { bytes, keyStart, keyEnd, valueStart, valueEnd, offset, timestampMs } = cursor
    return {
      offset,
      timestampMs,
      key: keyEnd < 0 ? null : Buffer.from(bytes.subarray(keyStart, keyEnd)),
      value: valueEnd < 0 ? null : Buffer.from(bytes.subarray(valueStart, valueEnd)),
      headers: cursor.headers().map(copied),
    }
  }

  #cursorAt(at: number): BatchCursor {
    const cursor = new BatchCursor(this.#segments)
    cursor.moveTo(at)
    return cursor
  }
}

function copied({ name, value }: RawHeader): RawHeader {
  return { name, value: value === null ? null : Buffer.from(value) }
}
