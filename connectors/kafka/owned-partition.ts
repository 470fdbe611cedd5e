import type { Ledger } from '../../core/flow/ledger.ts'
import { createLedger } from '../../core/flow/ledger.ts'
import { BlockMeta } from './block-meta.ts'
import type { Partition, Position, RecordBlock, RecordCursor } from './driver.ts'

/** A partition that is this consumer's: what was fetched of it, what is in flight, and what may be committed. */
export class OwnedPartition implements Partition {
  readonly topic: string
  readonly partition: number
  readonly generation: number
  ledger: Ledger = createLedger()
  messagesOpen = 0
  /** Where reading began: what a transaction goes back to while nothing is committed. Null until the first block. */
  begin: number | null = null
  /** The last position that the outside has noted, as the next offset to read. */
  committed: number | null = null
  /** Not ours any more, or not from where this one read. */
  gone = false
  /** What is in flight will be read again, by us or by somebody else. */
  readAgain = false
  /** Its block needs something before it can be decoded. */
  waits = false
  #blocks: RecordBlock[] = []
  #cursor: RecordCursor | null = null
  #meta: BlockMeta | null = null
  #taken = 0

  constructor(partition: Partition, generation: number) {
    this.topic = partition.topic
    this.partition = partition.partition
    this.generation = generation
  }

  get name(): string {
    return `${this.topic}/${this.partition}`
  }

  /** The block that is being read; null when there is none. */
  get block(): RecordBlock | null {
    return this.#blocks[0] ?? null
  }

  /** Records of the block that have not been read. */
  get left(): number {
    return (this.block?.count ?? 0) - this.#taken
  }

  get meta(): BlockMeta | null {
    return this.#meta
  }

  get cursor(): RecordCursor | null {
    return this.#cursor
  }

  add(block: RecordBlock): void {
    this.begin ??= block.firstOffset
    this.#blocks.push(block)
    if (this.#blocks.length === 1) this.#begin()
  }

  /** So many records of the block have been read. */
  taken(count: number): void {
    this.#taken += count
    if (this.left > 0) return
    this.#blocks.shift()
    this.#begin()
  }

  /** Drops what was fetched and not read. */
  drop(): void {
    this.#blocks = []
    this.#begin()
  }

  /** What may be committed and is not yet; null when that is nothing. */
  get commitable(): Position | null {
    const last = this.ledger.committable
    if (last === null) return null
    const offset = Number(last) + 1
    return offset > (this.committed ?? -1) ? { topic: this.topic, partition: this.partition, offset } : null
  }

  #begin(): void {
    this.#taken = 0
    const { block } = this
    this.#cursor = block?.cursor() ?? null
    this.#meta = block === null ? null : new BlockMeta(block)
  }
}
