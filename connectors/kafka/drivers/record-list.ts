import type { Partition, RawHeader, RawRecord, RecordBlock, RecordCursor } from '../driver.ts'

/** A record as client libraries give it: an object each. */
export interface ListedRecord extends RawRecord {
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RawHeader[]
}

/** A block over records that exist as objects already; for drivers around other clients. */
export function recordList(
  partition: Partition,
  generation: number,
  records: readonly ListedRecord[],
  lastOffset: number,
): RecordBlock {
  let bytes = 0
  for (const record of records) bytes += sizeOf(record)
  const at = (index: number): ListedRecord => {
    const record = records[index]
    if (record === undefined) throw new RangeError(`a block of ${records.length} records has none at ${index}`)
    return record
  }
  return {
    topic: partition.topic,
    partition: partition.partition,
    generation,
    count: records.length,
    firstOffset: records[0]?.offset ?? lastOffset,
    lastOffset,
    bytes,
    cursor: () => new ListCursor(records),
    headersAt: (index) => headerTexts(at(index).headers),
    recordAt: (index) => copied(at(index)),
  }
}

/** Header values as text; of several with one name the last one counts. */
export function headerTexts(headers: readonly RawHeader[]): Readonly<Record<string, string>> {
  return Object.fromEntries(headers.map((each) => [each.name, each.value?.toString('utf8') ?? '']))
}

function sizeOf(record: ListedRecord): number {
  let bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0)
  for (const header of record.headers) bytes += header.name.length + (header.value?.length ?? 0)
  return bytes
}

function copied(record: ListedRecord): RawRecord {
  const copy = (bytes: Buffer | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes))
  return {
    offset: record.offset,
    timestampMs: record.timestampMs,
    key: copy(record.key),
    value: copy(record.value),
    headers: record.headers.map((header) => ({ name: header.name, value: copy(header.value) })),
  }
}

const nothing = Buffer.alloc(0)

class ListCursor implements RecordCursor {
  at = -1
  offset = -1
  timestampMs = -1
  bytes: Buffer = nothing
  keyStart = 0
  keyEnd = -1
  valueStart = 0
  valueEnd = -1
  readonly #records: readonly ListedRecord[]
  /** The memory that the last record lay in, as one Buffer: records of a fetch mostly share theirs. */
  #whole: Buffer = nothing

  constructor(records: readonly ListedRecord[]) {
    this.#records = records
  }

  next(): boolean {
    if (this.at + 1 >= this.#records.length) return false
    this.moveTo(this.at + 1)
    return true
  }

  moveTo(at: number): void {
    const record = this.#records[at]
    if (record === undefined) throw new RangeError(`a block of ${this.#records.length} records has none at ${at}`)
    this.at = at
    this.offset = record.offset
    this.timestampMs = record.timestampMs
    this.#point(record.key, record.value)
  }

  #point(key: Buffer | null, value: Buffer | null): void {
    const one = key ?? value ?? nothing
    const shared = key === null || value === null || key.buffer === value.buffer
    if (!shared) {
      this.bytes = Buffer.concat([key, value])
      this.keyStart = 0
      this.keyEnd = key.length
      this.valueStart = key.length
      this.valueEnd = this.bytes.length
      return
    }
    if (this.#whole.buffer !== one.buffer) this.#whole = Buffer.from(one.buffer)
    this.bytes = this.#whole
    this.keyStart = key?.byteOffset ?? 0
    this.keyEnd = key === null ? -1 : key.byteOffset + key.length
    this.valueStart = value?.byteOffset ?? 0
    this.valueEnd = value === null ? -1 : value.byteOffset + value.length
  }
}
