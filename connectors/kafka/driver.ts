import type { Failure } from '../../core/flow/failure.ts'

/**
 * The one door to Kafka. A driver speaks to the brokers; the nodes of this folder know drivers only through this file, and
 * `conformance.ts` is what holds for every driver. Offsets are numbers: exact up to 2^53, three centuries at a million messages a second.
 */
export interface Driver {
  readonly name: DriverName
  /** Joins the group, or takes the assigned partitions. Rejects with a NodeError (`kafka.unreachable`, `kafka.not-authorised`, …). */
  openConsumer(options: ConsumerOptions, events: ConsumerEvents): Promise<Consumer>
  openProducer(options: ProducerOptions): Promise<Producer>
  openAdmin(connection: ConnectionOptions): Promise<Admin>
}

export const driverNames = ['batch', 'platformatic', 'kafkajs'] as const
export type DriverName = (typeof driverNames)[number]

export interface ConnectionOptions {
  /** `host:port` each. */
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly tls: TlsOptions | null
  readonly sasl: SaslOptions | null
  readonly connectMsMax: number
  readonly requestMsMax: number
}

export interface TlsOptions {
  /** PEM texts. Without `ca` the system's authorities are trusted. */
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  readonly verify: boolean
}

export interface SaslOptions {
  readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
  readonly username: string
  readonly password: string
}

/** Where reading begins: where the group has no offset, or where `seek` goes. `offset` is the next one to be read. */
export type StartAt =
  | { readonly kind: 'earliest' }
  | { readonly kind: 'latest' }
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'offset'; readonly offset: number }

export interface Partition {
  readonly topic: string
  readonly partition: number
}

/** `offset` is the next one to be read: the last one that is done, plus one. */
export interface Position extends Partition {
  readonly offset: number
}

export interface ConsumerOptions extends ConnectionOptions {
  /** Topics of the group, or null with `assigned`. */
  readonly group: { readonly id: string; readonly instanceId: string | null; readonly topics: readonly string[] } | null
  /** Partitions without a group: nothing is committed; `commit` resolves at once. */
  readonly assigned: readonly Partition[]
  readonly from: StartAt
  readonly isolation: 'read-committed' | 'read-uncommitted'
  readonly sessionMsMax: number
  readonly heartbeatMs: number
  readonly rebalanceMsMax: number
  /** What one fetch of one partition may bring, and what all fetched but untaken blocks may hold together. */
  readonly partitionFetchBytesMax: number
  readonly prefetchBytesMax: number
  readonly fetchWaitMsMax: number
}

/** What a consumer tells. Called synchronously, never from inside a call of the consumer's own methods. */
export interface ConsumerEvents {
  /** These are ours from now on; blocks of them follow. `generation` grows with each rebalance. */
  assigned(partitions: readonly Partition[], generation: number): void
  /**
   * No longer ours: blocks of them that were not taken are gone. Where the protocol leaves time, the driver waits for the answer
   * (at most rebalanceMsMax / 2), so that what has closed can still be committed. `lost`: it is too late for that.
   */
  revoked(partitions: readonly Partition[], reason: 'rebalance' | 'lost'): Promise<void>
  /** There may be something to take. */
  ready(): void
  /** Something went wrong that the driver tries to mend by itself: for the log and the metrics. */
  trouble(failure: Failure): void
  /** It will not go on: wrong password, unknown topic, fenced. */
  failed(failure: Failure): void
}

export interface Consumer {
  /** The next block of records of a partition that is not paused, or null. Never waits, never asks the network in between. */
  take(): RecordBlock | null
  pause(partitions: readonly Partition[]): void
  resume(partitions: readonly Partition[]): void
  /** Blocks of these partitions that were not taken are dropped; the next ones begin there. Answers where that is. */
  seek(partitions: readonly Partition[], to: StartAt): Promise<readonly Position[]>
  /** Commits in the group, fenced by its generation. A retriable NodeError `kafka.rebalancing` when the group is moving. */
  commit(positions: readonly Position[]): Promise<void>
  /** What the group has committed of partitions that are ours; those of which it has committed nothing are left out. */
  committed(partitions: readonly Partition[]): Promise<readonly Position[]>
  /** For each partition that is ours: the next offset that will be given out by `take`, and the partition's end (last stable offset with read-committed) as of the last fetch. */
  state(): readonly (Position & { readonly end: number; readonly fetchedAtMs: number })[]
  /** What a transaction needs to commit this group's offsets; null without a group or outside of a generation. */
  membership(): GroupMembership | null
  /** Leaves the group, after `revoked` was told of what was ours. Idempotent; within requestMsMax. */
  close(): Promise<void>
}

export interface GroupMembership {
  readonly groupId: string
  readonly generation: number
  readonly memberId: string
  readonly instanceId: string | null
}

/**
 * Records of one partition in the order of their offsets, control records left out. Read by one cursor that is moved in place:
 * no object per record. The bytes stay as they are for as long as the block is referenced.
 */
export interface RecordBlock extends Partition {
  readonly generation: number
  readonly count: number
  readonly firstOffset: number
  /** With compaction and control records it may lie beyond the last record: what follows begins at lastOffset + 1. */
  readonly lastOffset: number
  /** What the block holds in memory: keys, values and headers, uncompressed. */
  readonly bytes: number
  cursor(): RecordCursor
  /** The headers of the record at a cursor's `at`; for messages that are looked at later, one by one. */
  headersAt(at: number): Readonly<Record<string, string>>
  /** The raw record at a cursor's `at`, copied out of the block: for the dead-letter. */
  recordAt(at: number): RawRecord
}

/** Stands before the first record when made. Keys and values are ranges in `bytes`; an end of -1 means null. */
export interface RecordCursor {
  /** Moves to the next record; false at the end of the block. */
  next(): boolean
  /** Moves to a record again by its `at`. */
  moveTo(at: number): void
  /** Where the record stands in its block: a small integer that finds it again. */
  at: number
  offset: number
  timestampMs: number
  bytes: Buffer
  keyStart: number
  keyEnd: number
  valueStart: number
  valueEnd: number
}

export interface RawRecord {
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RawHeader[]
}

export interface RawHeader {
  readonly name: string
  readonly value: Buffer | null
}

export interface ProducerOptions extends ConnectionOptions {
  readonly acks: 'all' | 'leader' | 'none'
  /** Numbered batches, so that a broker drops what it has already; with acks `all` only. Order holds per partition across retries. */
  readonly idempotent: boolean
  readonly compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  /** Sends to one broker that may be under way at once. */
  readonly requestsMax: number
  /** A batch of one partition is cut at it. */
  readonly batchBytesMax: number
  /** A record over it is refused (`kafka.too-large`). */
  readonly recordBytesMax: number
  /** How long a batch is tried again before it fails. */
  readonly deliveryMsMax: number
  readonly transaction: { readonly id: string; readonly msMax: number } | null
}

export interface Producer {
  /** Loads what `draft().add` must know of a topic. Creates nothing. Rejects with `kafka.unknown-topic`. Free when it is known and fresh. */
  prepare(topic: string, signal: AbortSignal): Promise<void>
  /** An empty draft; it may be filled and sent once. */
  draft(): Draft
  /** Sends all, retries what may be retried, and answers what failed for good. Resolves when every record is acknowledged as asked. */
  send(draft: Draft, signal: AbortSignal): Promise<readonly SendFailure[]>
  /** With `transaction` only. A NodeError `kafka.fenced` means that another producer with this id has taken over. */
  readonly transaction: Transaction | null
  close(): Promise<void>
}

/** Records on their way into batches, encoded as they come. */
export interface Draft {
  readonly count: number
  /**
   * Adds a record. `partition` null: by murmur2 of the key as the Java client does, or for null keys all of a draft to one partition.
   * Strings are written as UTF-8. Throws a NodeError: `kafka.too-large`, `kafka.unknown-topic` (not prepared), `kafka.unknown-partition`.
   */
  add(
    topic: string,
    partition: number | null,
    key: string | Uint8Array | null,
    value: string | Uint8Array | null,
    headers: readonly OutHeader[] | null,
    timestampMs: number,
  ): void
}

export interface OutHeader {
  readonly name: string
  readonly value: string | Uint8Array
}

export interface SendFailure {
  /** Numbers of the records in the order in which they were added. */
  readonly indexes: readonly number[]
  readonly failure: Failure
}

/** At most one is open at a time; what is sent while it is open belongs to it. */
export interface Transaction {
  begin(): Promise<void>
  /** Adds the group's offsets to the transaction. */
  sendOffsets(positions: readonly Position[], membership: GroupMembership): Promise<void>
  commit(): Promise<void>
  abort(): Promise<void>
  /**
   * Whether nobody else has taken over the id; brokers shut out one whose transaction has stood longer than it may with the same words. What
   * it has under way is aborted. The producer is of no use then, but a new one with the id takes nothing from anybody.
   * Rejects where it cannot be learnt.
   */
  isOurs(): Promise<boolean>
}

export interface Admin {
  /** Creates those that are not there; an existing one is left as it is. */
  createTopics(topics: readonly NewTopic[]): Promise<void>
  deleteTopics(topics: readonly string[]): Promise<void>
  /** Null for a topic that does not exist. */
  partitions(topic: string): Promise<number | null>
  offsets(topic: string, at: StartAt): Promise<readonly Position[]>
  groupOffsets(group: string, topics: readonly string[]): Promise<readonly Position[]>
  close(): Promise<void>
}

export interface NewTopic {
  readonly topic: string
  /** -1: the broker's default. */
  readonly partitions: number
  readonly replicas: number
  readonly settings: Readonly<Record<string, string>>
}
