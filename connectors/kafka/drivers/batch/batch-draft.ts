import type { OutHeader } from '../../driver.ts'
import { partitionOf } from '../../partitioner.ts'
import { recordTooLarge, unknownPartition } from '../draft-list.ts'
import type { ClosedBatch } from './batch-builder.ts'
import { BatchBuilder } from './batch-builder.ts'
import type { ClosableDraft, DraftedPartition, DraftLimits } from './record-codec.ts'

/** What a record needs beside its key, value and headers, with some to spare. */
const overhead = 40

/** Records encoded as they come, a growing buffer for each partition. */
export class BatchDraft implements ClosableDraft {
  count = 0
  readonly #partitions: (topic: string) => number
  readonly #limits: DraftLimits
  readonly #topics = new Map<string, DraftedTopic>()
  #last: DraftedTopic | null = null
  #isOver = false
  readonly #scratch = Buffer.allocUnsafe(512)

  /** `partitions` answers how many a topic has, or throws `kafka.unknown-topic`. */
  constructor(partitions: (topic: string) => number, limits: DraftLimits) {
    this.#partitions = partitions
    this.#limits = limits
  }

  add(
    topic: string,
    partition: number | null,
    key: string | Uint8Array | null,
    value: string | Uint8Array | null,
    headers: readonly OutHeader[] | null,
    timestampMs: number,
  ): void {
    if (this.#isOver) throw new Error('the draft was sent already')
    const drafted = this.#last !== null && this.#last.name === topic ? this.#last : this.#topicOf(topic)
    const bytes = this.#size(topic, key, value, headers)
    const chosen = partition ?? this.#choose(drafted, key)
    if (chosen < 0 || chosen >= drafted.count) throw unknownPartition(topic, chosen, drafted.count)
    let builder = drafted.builders[chosen]
    if (builder === undefined || (builder.count > 0 && builder.size + bytes > this.#limits.batchBytesMax)) {
      builder = this.#next(drafted, chosen)
    }
    builder.add(this.count, key, value, headers, Math.trunc(timestampMs))
    this.count += 1
  }

  /** Ends the draft and hands over what it holds. */
  close(): readonly DraftedPartition[] {
    if (this.#isOver) throw new Error('the draft was sent already')
    this.#isOver = true
    const all: DraftedPartition[] = []
    for (const drafted of this.#topics.values()) {
      for (let partition = 0; partition < drafted.count; partition += 1) {
        if (drafted.builders[partition] === undefined) continue
        this.#shut(drafted, partition)
        all.push({ topic: drafted.name, partition, batches: drafted.closed[partition] ?? [] })
      }
    }
    this.#topics.clear()
    return all
  }

  #topicOf(topic: string): DraftedTopic {
    let drafted = this.#topics.get(topic)
    if (drafted === undefined) {
      drafted = new DraftedTopic(topic, this.#partitions(topic))
      this.#topics.set(topic, drafted)
    }
    this.#last = drafted
    return drafted
  }

  /** The most that a record can take; counted exactly only where a limit is near. */
  #size(
    topic: string,
    key: string | Uint8Array | null,
    value: string | Uint8Array | null,
    headers: readonly OutHeader[] | null,
  ): number {
    const { recordBytesMax } = this.#limits
    const most = mostBytes(key) + mostBytes(value) + (headers === null ? 0 : headersMost(headers))
    if (most + overhead < recordBytesMax / 2) return most + overhead
    let exact = bytesOf(key) + bytesOf(value)
    for (const header of headers ?? []) exact += bytesOf(header.name) + bytesOf(header.value)
    if (exact > recordBytesMax) throw recordTooLarge(topic, exact, recordBytesMax)
    return exact + overhead + (headers?.length ?? 0) * 10
  }

  #choose(drafted: DraftedTopic, key: string | Uint8Array | null): number {
    if (key === null) {
      if (drafted.keyless < 0) drafted.keyless = Math.floor(Math.random() * drafted.count)
      return drafted.keyless
    }
    if (typeof key !== 'string') return partitionOf(key, 0, key.length, drafted.count)
    const scratch = key.length * 3 > this.#scratch.length ? Buffer.allocUnsafe(key.length * 3) : this.#scratch
    return partitionOf(scratch, 0, scratch.write(key, 0), drafted.count)
  }

  #next(drafted: DraftedTopic, partition: number): BatchBuilder {
    if (drafted.builders[partition] !== undefined) this.#shut(drafted, partition)
    const builder = new BatchBuilder()
    drafted.builders[partition] = builder
    return builder
  }

  #shut(drafted: DraftedTopic, partition: number): void {
    const batch = drafted.builders[partition]!.close(this.#limits.codec, this.#limits.isTransactional)
    const closed = drafted.closed[partition]
    if (closed === undefined) drafted.closed[partition] = [batch]
    else closed.push(batch)
  }
}

class DraftedTopic {
  readonly name: string
  /** How many partitions there are. */
  readonly count: number
  readonly builders: (BatchBuilder | undefined)[]
  readonly closed: (ClosedBatch[] | undefined)[]
  /** Where records without a key go; -1 until there is one. */
  keyless = -1

  constructor(name: string, count: number) {
    this.name = name
    this.count = count
    this.builders = new Array(count).fill(undefined)
    this.closed = new Array(count).fill(undefined)
  }
}

function mostBytes(value: string | Uint8Array | null): number {
  if (value === null) return 0
  return typeof value === 'string' ? value.length * 3 : value.length
}

function headersMost(headers: readonly OutHeader[]): number {
  let most = 0
  for (const { name, value } of headers) most += 10 + mostBytes(name) + mostBytes(value)
  return most
}

function bytesOf(value: string | Uint8Array | null): number {
  if (value === null) return 0
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length
}
