import type { RawHeader, RecordCursor } from '../../driver.ts'
import { corrupt } from './record-batch.ts'

/** The records of one batch, uncompressed. */
export interface Segment {
  readonly bytes: Buffer
  /** The record to begin with, and the end of the last one. */
  readonly start: number
  readonly end: number
  /** How many there are from `start` on. */
  readonly count: number
  /** Where `start` stands in the block: what records' `at` is counted from. */
  readonly at: number
  readonly baseOffset: number
  readonly baseTimestamp: number
  readonly appendTimestamp: number
}

const nothing = Buffer.alloc(0)

/**
 * Reads the records of batches in place. Each record is: its length, attributes, distances of its time and offset from its batch's,
 * key, value and headers; lengths and distances as varints, zigzag. https://kafka.apache.org/documentation/#record
 *
 * All that it remembers is in fields of its own: a cursor in a variable of the module was compiled wrongly by V8 in Node 24.
 */
export class BatchCursor implements RecordCursor {
  at = -1
  offset = -1
  timestampMs = -1
  bytes: Buffer = nothing
  keyStart = 0
  keyEnd = -1
  valueStart = 0
  valueEnd = -1
  readonly #segments: readonly Segment[]
  /** The segment that is read, and of it: */
  #index = -1
  /** How many records are left by the batch's own count; negative where that is not known. */
  #left = 0
  #shift = 0
  #end = 0
  #baseOffset = 0
  #baseTimestamp = 0
  #appendTimestamp = -1
  /** Where the next byte is read, and where the record ends that is read. */
  #pos = 0
  #recordEnd = 0

  constructor(segments: readonly Segment[]) {
    this.#segments = segments
  }

  next(): boolean {
    while (this.#recordEnd === this.#end) {
      if (this.#left > 0) throw corrupt(`it ends ${this.#left} records before its count`)
      if (this.#index + 1 >= this.#segments.length) return false
      this.#enter(this.#index + 1)
    }
    if (this.#left === 0) throw corrupt(`${this.#end - this.#recordEnd} bytes are left after its last record`)
    this.#left -= 1
    this.#read(this.#recordEnd)
    return true
  }

  moveTo(at: number): void {
    const index = this.#segments.findLastIndex((segment) => segment.at <= at)
    const segment = this.#segments[index]
    if (segment === undefined || at - segment.at >= segment.end - segment.start) {
      throw new RangeError(`the block has no record at ${at}`)
    }
    this.#enter(index)
    // How many records are left from there on is not known, and less than none never becomes none.
    this.#left = -1
    this.#read(at - this.#shift)
  }

  /** The headers of the record it stands on, with views of the block's bytes. */
  headers(): readonly RawHeader[] {
    this.#pos = this.valueEnd < 0 ? this.valueStart : this.valueEnd
    const count = this.#varint()
    if (count < 0 || count > this.#recordEnd - this.#pos)
      throw corrupt(`the record at ${this.offset} has ${count} headers`)
    const headers: RawHeader[] = []
    for (let index = 0; index < count; index += 1) {
      const nameEnd = this.#rangeEnd()
      const name = this.bytes.toString('utf8', this.#pos, nameEnd)
      this.#pos = nameEnd
      const valueEnd = this.#nullableRangeEnd()
      headers.push({ name, value: valueEnd < 0 ? null : this.bytes.subarray(this.#pos, valueEnd) })
      if (valueEnd >= 0) this.#pos = valueEnd
    }
    return headers
  }

  #enter(index: number): void {
    const segment = this.#segments[index]!
    this.#index = index
    this.#left = segment.count
    this.#shift = segment.at - segment.start
    this.#end = segment.end
    this.#baseOffset = segment.baseOffset
    this.#baseTimestamp = segment.baseTimestamp
    this.#appendTimestamp = segment.appendTimestamp
    this.#recordEnd = segment.start
    this.bytes = segment.bytes
  }

  #read(start: number): void {
    this.#pos = start
    this.#recordEnd = this.#end
    const length = this.#varint()
    const end = this.#pos + length
    if (length < 6 || end > this.#end)
      throw corrupt(`a record at byte ${start} of ${this.#end} has the length ${length}`)
    this.#recordEnd = end
    // Attributes of records are not used.
    this.#pos += 1
    const timestampDelta = this.#varlong()
    const offsetDelta = this.#varint()
    const keyEnd = this.#nullableRangeEnd()
    this.keyStart = this.#pos
    this.keyEnd = keyEnd
    if (keyEnd >= 0) this.#pos = keyEnd
    const valueEnd = this.#nullableRangeEnd()
    this.valueStart = this.#pos
    this.valueEnd = valueEnd
    this.at = start + this.#shift
    this.offset = this.#baseOffset + offsetDelta
    this.timestampMs = this.#appendTimestamp < 0 ? this.#baseTimestamp + timestampDelta : this.#appendTimestamp
  }

  /** Reads a length, and answers where that many bytes from here on end; -1 for null. */
  #nullableRangeEnd(): number {
    const length = this.#varint()
    return length === -1 ? -1 : this.#checked(length)
  }

  #rangeEnd(): number {
    return this.#checked(this.#varint())
  }

  #checked(length: number): number {
    const end = this.#pos + length
    if (length < 0 || end > this.#recordEnd) {
      throw corrupt(`a field at byte ${this.#pos} has the length ${length}, but the record ends at ${this.#recordEnd}`)
    }
    return end
  }

  #varint(): number {
    const bytes = this.bytes
    let pos = this.#pos
    // Past the end of the bytes there is nothing, which counts as 0 here and is found by the check below.
    let byte = bytes[pos++]!
    let raw = byte & 0x7f
    if (byte >= 0x80) {
      let shift = 7
      do {
        byte = bytes[pos++]!
        raw |= (byte & 0x7f) << shift
        shift += 7
      } while (byte >= 0x80 && shift < 35)
      if (byte >= 0x80) throw corrupt(`a number at byte ${this.#pos} is longer than five bytes`)
    }
    if (pos > this.#recordEnd) throw corrupt(`a record ends at byte ${this.#recordEnd} within a number`)
    this.#pos = pos
    return (raw >>> 1) ^ -(raw & 1)
  }

  /** Up to 64 bits, as a number: exact up to 2^53. */
  #varlong(): number {
    const bytes = this.bytes
    let pos = this.#pos
    let byte = bytes[pos++]!
    let raw = byte & 0x7f
    let scale = 128
    let length = 1
    while (byte >= 0x80) {
      if (length === 10) throw corrupt(`a number at byte ${this.#pos} is longer than ten bytes`)
      byte = bytes[pos++]!
      raw += (byte & 0x7f) * scale
      scale *= 128
      length += 1
    }
    if (pos > this.#recordEnd) throw corrupt(`a record ends at byte ${this.#recordEnd} within a number`)
    this.#pos = pos
    return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2
  }
}
