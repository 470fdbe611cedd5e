import type { Writer } from '@platformatic/kafka'
import { createRecordsBatch } from '@platformatic/kafka'
import { codecs } from '../../codecs.ts'
import type { ClosedBatch } from '../batch/batch-builder.ts'
import { transactionalBit } from '../batch/record-batch.ts'
import type { ClosableDraft, DraftedPartition, DraftLimits } from '../batch/record-codec.ts'
import type { DraftedRecord } from '../draft-list.ts'
import { cutDraft, DraftList } from '../draft-list.ts'

type Message = Parameters<typeof createRecordsBatch>[0][number]
type Options = NonNullable<Parameters<typeof createRecordsBatch>[1]>

// The library's types say that a value is always there; for one that is not it writes what it should.
const library: { encode(messages: (Omit<Message, 'value'> & { value: Buffer | null })[], options: Options): Writer } = {
  encode: createRecordsBatch,
}

/** The library writes distances in time of 2^31 ms and more wrongly, so a batch ends before. */
const spanMsMax = 2 ** 30

/** A draft of objects that the library encodes. */
export class LibraryDraft extends DraftList implements ClosableDraft {
  readonly #limits: DraftLimits

  constructor(partitions: (topic: string) => number, limits: DraftLimits) {
    super(partitions, limits.recordBytesMax)
    this.#limits = limits
  }

  close(): readonly DraftedPartition[] {
    const byPartition = Map.groupBy(this.records, (each) => `${each.topic}/${each.partition}`)
    return [...byPartition.values()].map((records) => {
      const { topic, partition } = records[0]!
      const runs = cutDraft(records, Number.POSITIVE_INFINITY, this.#limits.batchBytesMax).flatMap(cutByTime)
      return { topic, partition, batches: runs.map((run) => this.#encode(run)) }
    })
  }

  #encode(records: readonly DraftedRecord[]): ClosedBatch {
    const { codec, isTransactional } = this.#limits
    const times = records.map((each) => each.timestampMs)
    const transactionalId = isTransactional ? 'any' : undefined
    const bytes = library.encode(records.map(messageOf), { compression: codec, transactionalId }).buffer
    return {
      bytes,
      memory: bytes,
      attributes: codecs.indexOf(codec) | (isTransactional ? transactionalBit : 0),
      count: records.length,
      baseTimestamp: times[0] ?? 0,
      maxTimestamp: times.reduce((latest, each) => Math.max(latest, each), times[0] ?? 0),
      indexes: records.map((each) => each.index),
    }
  }
}

function messageOf({
  topic,
  partition,
  key,
  value,
  headers,
  timestampMs,
}: DraftedRecord): Parameters<typeof library.encode>[0][number] {
  const byName = headers.map((each) => [Buffer.from(each.name), Buffer.from(each.value)] as const)
  return {
    topic,
    partition,
    key: bytesOf(key) ?? undefined,
    value: bytesOf(value),
    headers: new Map(byName),
    timestamp: BigInt(timestampMs),
  }
}

function bytesOf(text: string | Buffer | null): Buffer | null {
  return typeof text === 'string' ? Buffer.from(text) : text
}

function cutByTime(records: readonly DraftedRecord[]): readonly (readonly DraftedRecord[])[] {
  const runs: DraftedRecord[][] = []
  for (const record of records) {
    const first = runs.at(-1)?.[0]
    const isNear = first !== undefined && Math.abs(record.timestampMs - first.timestampMs) < spanMsMax
    if (isNear) runs.at(-1)?.push(record)
    else runs.push([record])
  }
  return runs
}
