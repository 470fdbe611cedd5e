import type { EncodedValue } from '../core/protocol/frame.ts'
import type { WireOutcome } from '../core/protocol/server-frames.ts'

/** What one log may keep; the oldest goes first. */
export interface LogLimits {
  readonly messagesMax: number
  readonly bytesMax: number
}

/** Whoever reads a log and wants to hear that there is more, or that it has ended. */
export interface LogReader {
  wake(): void
}

/**
 * The messages of a topic, each encoded once, at offsets that begin with 0 and never repeat.
 * A log that was dropped and made again has another id: an offset means something only together with it.
 */
export class TopicLog {
  readonly name: string
  readonly id: string
  readonly readers = new Set<LogReader>()
  /** Offset of the oldest message that is kept; equals `next` when none is. */
  first = 0
  /** Offset that the next message will get. */
  next = 0
  bytes = 0
  endedAt: number | null = null
  outcome: WireOutcome | null = null
  usedAt: number
  readonly #limits: LogLimits
  #kept: (EncodedValue | undefined)[] = []
  #head = 0

  constructor(name: string, id: string, limits: LogLimits, now: number) {
    this.name = name
    this.id = id
    this.usedAt = now
    this.#limits = limits
  }

  append(values: readonly EncodedValue[], now: number): void {
    for (const value of values) {
      this.#kept.push(value)
      this.bytes += sizeOf(value)
    }
    this.next += values.length
    this.usedAt = now
    while (
      this.next - this.first > this.#limits.messagesMax ||
      (this.bytes > this.#limits.bytesMax && this.next - this.first > 1)
    )
      this.#dropOldest()
    this.#wakeAll()
  }

  end(outcome: WireOutcome | null, now: number): void {
    if (this.endedAt !== null) return
    this.endedAt = now
    this.outcome = outcome
    this.#wakeAll()
  }

  /** Drops the oldest messages, at least one and about `share` of the bytes. */
  trim(share: number): void {
    const target = this.bytes * (1 - share)
    while (this.first < this.next) {
      this.#dropOldest()
      if (this.bytes <= target) return
    }
  }

  /** Messages from `offset` on, in order; at least one when there is one, then as many as fit. */
  slice(offset: number, messagesMax: number, bytesMax: number): readonly EncodedValue[] {
    const taken: EncodedValue[] = []
    let bytes = 0
    for (let at = offset; at < this.next && taken.length < messagesMax; at++) {
      const value = this.#kept[this.#head + at - this.first]
      if (value === undefined) break
      bytes += sizeOf(value)
      if (taken.length > 0 && bytes > bytesMax) break
      taken.push(value)
    }
    return taken
  }

  #dropOldest(): void {
    const oldest = this.#kept[this.#head]
    this.#kept[this.#head] = undefined
    this.#head += 1
    this.first += 1
    if (oldest !== undefined) this.bytes -= sizeOf(oldest)
    // Cut when half of the array is past: memory follows what is kept, at amortised constant cost.
    if (this.#head > 256 && this.#head * 2 > this.#kept.length) {
      this.#kept = this.#kept.slice(this.#head)
      this.#head = 0
    }
  }

  #wakeAll(): void {
    for (const reader of this.readers) reader.wake()
  }
}

/** Bytes that a message holds in memory, about: text counts twice, as JavaScript may keep it in UTF-16. */
export function sizeOf(value: EncodedValue): number {
  return value.text.length * 2 + value.segmentBytes + 64
}
