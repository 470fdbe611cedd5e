import { NodeError } from '../../../core/flow/failure.ts'
import type { Draft, OutHeader } from '../driver.ts'
import { partitionOf } from '../partitioner.ts'

/** A record on its way out as client libraries take it: an object each. */
export interface DraftedRecord {
  readonly index: number
  readonly topic: string
  readonly partition: number
  readonly key: Buffer | null
  /** Text stays text: the client encodes it once, in place. */
  readonly value: Buffer | string | null
  readonly headers: readonly OutHeader[]
  readonly timestampMs: number
  readonly bytes: number
}

/** A draft that keeps records as objects, each with its partition chosen; for drivers around other clients. */
export class DraftList implements Draft {
  readonly records: DraftedRecord[] = []
  readonly #partitions: (topic: string) => number
  readonly #recordBytesMax: number
  /** Where records without a key go, by topic. */
  readonly #keyless = new Map<string, number>()

  /** `partitions` answers how many a topic has, or throws `kafka.unknown-topic`. */
  constructor(partitions: (topic: string) => number, recordBytesMax: number) {
    this.#partitions = partitions
    this.#recordBytesMax = recordBytesMax
  }

  get count(): number {
    return this.records.length
  }

  add(
    topic: string,
    partition: number | null,
    key: string | Uint8Array | null,
    value: string | Uint8Array | null,
    headers: readonly OutHeader[] | null,
    timestampMs: number,
  ): void {
    const count = this.#partitions(topic)
    if (partition !== null && (partition < 0 || partition >= count)) throw unknownPartition(topic, partition, count)
    const keyBytes = toBuffer(key)
    let bytes = (keyBytes?.length ?? 0) + (value === null ? 0 : lengthOf(value, this.#recordBytesMax))
    for (const header of headers ?? []) bytes += Buffer.byteLength(header.name) + Buffer.byteLength(header.value)
    if (bytes > this.#recordBytesMax) throw recordTooLarge(topic, bytes, this.#recordBytesMax)
    this.records.push({
      index: this.records.length,
      topic,
      partition: partition ?? this.#choose(topic, keyBytes, count),
      key: keyBytes,
      value: typeof value === 'string' ? value : toBuffer(value),
      headers: headers ?? [],
      timestampMs: Math.trunc(timestampMs),
      bytes,
    })
  }

  #choose(topic: string, key: Buffer | null, count: number): number {
    if (key !== null) return partitionOf(key, 0, key.length, count)
    const chosen = this.#keyless.get(topic) ?? Math.floor(Math.random() * count)
    this.#keyless.set(topic, chosen)
    return chosen
  }
}

/** Cuts drafted records, in their order, into runs of a number and size. */
export function cutDraft(
  records: readonly DraftedRecord[],
  recordsMax: number,
  bytesMax: number,
): readonly (readonly DraftedRecord[])[] {
  const runs: DraftedRecord[][] = []
  let run: DraftedRecord[] = []
  let bytes = 0
  for (const record of records) {
    if (run.length > 0 && (run.length >= recordsMax || bytes + record.bytes > bytesMax)) {
      runs.push(run)
      run = []
      bytes = 0
    }
    run.push(record)
    bytes += record.bytes
  }
  if (run.length > 0) runs.push(run)
  return runs
}

export function unknownPartition(topic: string, partition: number, count: number): NodeError {
  const text = `topic ${topic} has the partitions 0 to ${count - 1}, not ${partition}; name one of them or none`
  return new NodeError('kafka.unknown-partition', text)
}

export function recordTooLarge(topic: string, bytes: number, bytesMax: number): NodeError {
  const text = `a record of ${bytes} bytes for topic ${topic} is over the limit of ${bytesMax}; shorten it or raise the limit`
  return new NodeError('kafka.too-large', text)
}

export function notPrepared(topic: string): NodeError {
  return new NodeError('kafka.unknown-topic', `topic ${topic} has not been prepared for sending`)
}

/** Bytes of a value; of text that cannot be too long whatever it holds, its length is near enough. */
function lengthOf(value: string | Uint8Array, recordBytesMax: number): number {
  if (typeof value === 'string' && value.length * 3 <= recordBytesMax) return value.length
  return Buffer.byteLength(value)
}

function toBuffer(bytes: string | Uint8Array | null): Buffer | null {
  if (bytes === null) return null
  if (typeof bytes === 'string') return Buffer.from(bytes, 'utf8')
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
