import type { After } from '../core/protocol/client-frames.ts'
import type { EncodedValue } from '../core/protocol/frame.ts'
import type { WireOutcome } from '../core/protocol/server-frames.ts'
import type { LogReader, TopicLog } from './topic-log.ts'

/** What a reader gets next. `end` comes once, after the last message. */
export type ReadStep =
  | { readonly kind: 'messages'; readonly offset: number; readonly values: readonly EncodedValue[] }
  | { readonly kind: 'gap'; readonly from: number; readonly to: number | null }
  | { readonly kind: 'end'; readonly outcome: WireOutcome | null }
  | { readonly kind: 'nothing' }

const nothing: ReadStep = { kind: 'nothing' }

/** One reader's place in a log. It never holds anything back: what the log has dropped meanwhile comes as a gap. */
export class TopicReader implements LogReader {
  readonly log: TopicLog
  /** The next offset that this reader wants. */
  position: number
  readonly #onWake: () => void
  readonly #onClose: () => void
  #lostLogFrom: number | null = null
  #ended = false
  #woken = false
  #closed = false

  /** `onWake` is called in a later turn, once for everything that was published in this one. */
  constructor(log: TopicLog, after: After, logId: string | null, onWake: () => void, onClose: () => void) {
    this.log = log
    this.#onWake = onWake
    this.#onClose = onClose
    if (after === null) this.position = log.next
    else if (after === 'start') this.position = log.first
    else if (after + 1 <= log.next && (logId === null || logId === log.id)) this.position = after + 1
    else {
      // The offset belongs to a log that is gone: say so, then begin with what there is.
      this.position = 0
      this.#lostLogFrom = after + 1
    }
    log.readers.add(this)
  }

  take(messagesMax: number, bytesMax: number): ReadStep {
    if (this.#closed || this.#ended) return nothing
    if (this.#lostLogFrom !== null) {
      const from = this.#lostLogFrom
      this.#lostLogFrom = null
      return { kind: 'gap', from, to: null }
    }
    if (this.position === this.log.next) return this.#end()
    if (messagesMax <= 0) return nothing
    if (this.position < this.log.first) {
      const from = this.position
      this.position = this.log.first
      return { kind: 'gap', from, to: this.log.first - 1 }
    }
    const offset = this.position
    const values = this.log.slice(offset, messagesMax, bytesMax)
    this.position += values.length
    return { kind: 'messages', offset, values }
  }

  wake(): void {
    if (this.#woken) return
    this.#woken = true
    setImmediate(() => {
      this.#woken = false
      if (!this.#closed) this.#onWake()
    })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.log.readers.delete(this)
    this.#onClose()
  }

  #end(): ReadStep {
    if (this.log.endedAt === null) return nothing
    this.#ended = true
    return { kind: 'end', outcome: this.log.outcome }
  }
}
