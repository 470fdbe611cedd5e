import type { Failure } from '../../../../core/flow/failure.ts'
import type { ClosedBatch } from './batch-builder.ts'

/** A batch on its way. */
export interface Outgoing {
  readonly batch: ClosedBatch
  readonly sending: Sending
  /** Its number in its partition's row; -1 until it is first sent. */
  sequence: number
  /** Whether a broker may have it although nobody said so. */
  isUnsure: boolean
}

/** What one call of `send` waits for. */
export interface Sending {
  readonly giveUpAtMs: number
  /** Nobody waits any more. */
  isOver: boolean
  done(count: number): void
  failed(indexes: readonly number[], failure: Failure): void
}

/** Sequence numbers go round at 2^31. */
export function sequenceAfter(sequence: number, count: number): number {
  return (sequence + count) % 0x80000000
}

/**
 * Batches of one partition, in the order in which they must arrive. The first `sent` of them are under way. After a failure nothing
 * more is sent until all that is under way has come back; then everything is sent again, in order.
 */
export class OutPartition {
  readonly topic: string
  readonly partition: number
  readonly pending: Outgoing[] = []
  sent = 0
  /** Of those sent, how many have not come back. */
  underWay = 0
  nextSequence = 0
  /**
   * A batch with one of the current numbers has arrived. Before that the leader takes any number for the first: a second batch under way
   * would be taken where the first one was refused, and the order lost.
   */
  isBegun = false
  isBlocked = false
  notBeforeMs = 0
  attempts = 0

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  /** The next batch to be sent, where one may be. */
  next(underWayMax: number, nowMs: number): Outgoing | null {
    const most = this.isBegun ? underWayMax : 1
    if (this.isBlocked || this.sent >= most || nowMs < this.notBeforeMs) return null
    return this.pending[this.sent] ?? null
  }

  remove(out: Outgoing): void {
    const index = this.pending.indexOf(out)
    if (index < 0) return
    this.pending.splice(index, 1)
    if (index < this.sent) this.sent -= 1
  }

  replace(out: Outgoing, batches: readonly ClosedBatch[]): void {
    const index = this.pending.indexOf(out)
    const fresh = batches.map((batch) => ({ batch, sending: out.sending, sequence: -1, isUnsure: false }))
    this.pending.splice(index, 1, ...fresh)
    if (index < this.sent) this.sent += fresh.length - 1
  }

  /** Numbers what is pending anew, from a number on; it is given as it is sent. */
  renumber(from: number): void {
    this.nextSequence = from
    for (const out of this.pending) out.sequence = -1
  }

  /** Numbers begin at zero again, under another identity. */
  begin(): void {
    this.renumber(0)
    this.isBegun = false
  }

  /** All that was under way has come back: what is left is sent again from the first on. */
  restart(nowMs: number): void {
    this.isBlocked = false
    this.sent = 0
    this.attempts += 1
    this.notBeforeMs = nowMs + Math.min(1_000, 20 * 2 ** Math.min(this.attempts, 10))
  }
}
