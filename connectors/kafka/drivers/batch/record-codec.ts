import type { Codec } from '../../codecs.ts'
import type { Draft, Partition, RecordBlock } from '../../driver.ts'
import type { FetchedBytes } from './batch-block.ts'
import type { ClosedBatch } from './batch-builder.ts'

/** How records become bytes and bytes records. Everything else is the same for drivers that share it. */
export interface RecordCodec {
  /** `partitions` answers how many a topic has, or throws `kafka.unknown-topic`. */
  draft(partitions: (topic: string) => number, limits: DraftLimits): ClosableDraft
  /** Null where nothing is left once markers and aborted transactions are left out. Throws `kafka.corrupt` and `kafka.too-large`. */
  read(fetched: FetchedBytes, partition: Partition, generation: number): RecordBlock | null
}

export interface ClosableDraft extends Draft {
  /** Ends the draft and hands over what it holds. */
  close(): readonly DraftedPartition[]
}

export interface DraftLimits {
  readonly recordBytesMax: number
  readonly batchBytesMax: number
  readonly codec: Codec
  readonly isTransactional: boolean
}

/** What a draft has for one partition, in order. */
export interface DraftedPartition {
  readonly topic: string
  readonly partition: number
  readonly batches: readonly ClosedBatch[]
}
