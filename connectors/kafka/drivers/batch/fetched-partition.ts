import type { Partition } from '../../driver.ts'
import type { FetchedBytes } from './batch-block.ts'

export function keyOf(each: Partition): string {
  return `${each.topic}/${each.partition}`
}

/** What was fetched of a partition and waits to be taken. */
export interface Fetched extends FetchedBytes {
  readonly owner: FetchedPartition
  /** Counts seeks of its partition: what was fetched before one is of no use. */
  readonly seeks: number
}

/** A partition that is ours, and how far it is. */
export class FetchedPartition implements Partition {
  readonly topic: string
  readonly partition: number
  readonly generation: number
  isPaused = false
  /** Known is where it begins. */
  isPlaced = false
  /** No longer ours. */
  isGone = false
  /** Where the next fetch begins, and the next block that is taken. */
  position = -1
  next = -1
  end = -1
  fetchedAtMs = 0
  seeks = 0
  /** After an error of its own it is left alone until then. */
  notBeforeMs = 0
  /** A batch that could not be read is fetched once more: the fault may lie on the way. */
  corruptAt = -1
  /** Bytes of it that wait. */
  waitingBytes = 0

  constructor({ topic, partition }: Partition, generation: number) {
    this.topic = topic
    this.partition = partition
    this.generation = generation
  }

  place(offset: number): void {
    this.isPlaced = true
    this.position = offset
    this.next = offset
    this.seeks += 1
  }
}
