import type { Partition, RawHeader, RawRecord, RecordBlock, RecordCursor } from '../driver.ts'

/** How the parts of a record are read that a client library gives as an object of its own. */
export interface RecordReader<T> {
  readonly offset: (record: T) => number
  readonly timestampMs: (record: T) => number
  readonly key: (record: T) => Buffer | null
  readonly value: (record: T) => Buffer | null
  readonly headerBytes: (record: T) => number
  /** Asked only for records whose headers somebody reads. */
  readonly headers: (record: T) => readonly RawHeader[]
}

/** A block over records that exist as objects already; for drivers around other clients. */
export function recordList<T>(
  partition: Partition,
  generation: number,
  records: readonly T[],
  lastOffset: number,
  reader: RecordReader<T>,
): RecordBlock {
  let bytes = 0
  for (const record of records)
    bytes += (reader.key(record)?.length ?? 0) + (reader.value(record)?.length ?? 0) + reader.headerBytes(record)
  const at = (index: number): T => {
    const record = records[index]
    if (record === undefined) throw new RangeError(`a block of ${records.length} records has none at ${index}`)
    return record
  }
  const [first] = records
  return {
    topic: partition.topic,
    partition: partition.partition,
    generation,
    count: records.length,
    firstOffset: first === undefined ? lastOffset : reader.offset(first),
    lastOffset,
    bytes,
    cursor: () => new ListCursor(records, reader),
    headersAt: (index) => headerTexts(reader.headers(at(index))),
    recordAt: (index) => copied(at(index), reader),
  }
}

/** Header values as text; of several with one name the last one counts. */
export function headerTexts(headers: readonly RawHeader[]): Readonly<Record<string, string>> {
  return Object.fromEntries(headers.map((each) => [each.name, each.value?.toString('utf8') ?? '']))
}

function copied<T>(record: T, reader: RecordReader<T>): RawRecord {
  const copy = (bytes: Buffer | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes))
  return {
    offset: reader.offset(record),
    timestampMs: reader.timestampMs(record),
    key: copy(reader.key(record)),
    value: copy(reader.value(record)),
    headers: reader.headers(record).map((header) => ({ name: header.name, value: copy(header.value) })),
  }
}

const nothing = Buffer.alloc(0)

class ListCursor<T> implements RecordCursor {
  at = -1
  offset = -1
  timestampMs = -1
  bytes: Buffer = nothing
  keyStart = 0
  keyEnd = -1
  valueStart = 0
  valueEnd = -1
  readonly #records: readonly T[]
  readonly #reader: RecordReader<T>
  /** The memory that the last record lay in, as one Buffer: records of a fetch mostly share theirs. */
  #whole: Buffer = nothing

  constructor(records: readonly T[], reader: RecordReader<T>) {
    this.#records = records
    this.#reader = reader
  }

  next(): boolean {
    if (this.at + 1 >= this.#records.length) return false
    this.moveTo(this.at + 1)
    return true
  }

  moveTo(at: number): void {
    const record = this.#records[at]
    if (record === undefined) throw new RangeError(`a block of ${this.#records.length} records has none at ${at}`)
    const reader = this.#reader
    this.at = at
    this.offset = reader.offset(record)
    this.timestampMs = reader.timestampMs(record)
    this.#point(reader.key(record), reader.value(record))
  }

  #point(key: Buffer | null, value: Buffer | null): void {
    const one = value ?? key ?? nothing
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
