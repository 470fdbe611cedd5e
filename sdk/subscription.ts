import type { ClientFrame } from '../core/protocol/client-frames.ts'
import type { ServerFrame, WireOutcome } from '../core/protocol/server-frames.ts'
import { MillraceError } from './errors.ts'

/** One message of a topic. */
export interface TopicMessage<T> {
  readonly offset: number
  readonly value: T
}

/** Offsets that are gone for good. `to` is null when the whole log is gone, as after a restart of the server. */
export interface Gap {
  readonly from: number
  readonly to: number | null
}

export type SubscriptionState = 'waiting' | 'live' | 'reconnecting' | 'ended'

export interface SubscribeOptions {
  /** The last offset that you have; `start` (the default): all that is kept; null: from now on. */
  readonly after?: number | 'start' | null
  /** The log that `after` counts in, as `place` told; with it a log that was made anew is noticed as a gap. */
  readonly log?: string | null
  readonly signal?: AbortSignal
  /** Messages that may wait here for their reader; the server sends no more until they are read. Default 256. */
  readonly credits?: number
  /** Called between the messages, where the gap is. */
  readonly onGap?: (gap: Gap) => void
  readonly onState?: (state: SubscriptionState) => void
}

/** A place to resume at later, in another page even. */
export interface Place {
  readonly after: number
  readonly log: string
}

/** Messages of a topic in order, each once, over as many connections as it takes. Read it once, or `close` it. */
export interface Subscription<T> extends AsyncIterable<TopicMessage<T>> {
  readonly state: SubscriptionState
  /** Where the reader is; null before the server has answered. */
  readonly place: Place | null
  /** How the topic ended; null while it goes on, and for a topic that is not of an execution. */
  readonly outcome: WireOutcome | null
  close(): void
}

/** What a subscription needs of its client. */
export interface SubscriptionDoor {
  send(frame: ClientFrame): boolean
  /** The subscription is over: frames for it are no longer wanted. */
  forget(id: number): void
}

type Item<T> = { readonly place: Place } & (
  | { readonly kind: 'message'; readonly message: TopicMessage<T> }
  | { readonly kind: 'gap'; readonly gap: Gap }
)

/** The state machine of a subscription. Frames go in, messages come out; the connection may change under it. */
export class TopicSubscription<T> implements Subscription<T> {
  state: SubscriptionState = 'waiting'
  place: Place | null = null
  outcome: WireOutcome | null = null
  readonly id: number
  readonly #topic: string
  readonly #options: SubscribeOptions
  readonly #door: SubscriptionDoor
  readonly #credits: number
  #log: string | null
  /** The last offset that came in; what a new connection asks for is after it. */
  #received: number | 'start' | null
  #queue: Item<T>[] = []
  #head = 0
  /** Messages taken since credit was last given. */
  #owed = 0
  #error: MillraceError | null = null
  #over = false
  #wake: (() => void) | null = null
  #iterated = false

  constructor(id: number, topic: string, options: SubscribeOptions, door: SubscriptionDoor) {
    this.id = id
    this.#topic = topic
    this.#options = options
    this.#door = door
    this.#credits = Math.max(1, Math.min(options.credits ?? 256, 100_000))
    this.#received = options.after === undefined ? 'start' : options.after
    this.#log = options.log ?? null
    if (options.signal?.aborted === true) this.close()
    else options.signal?.addEventListener('abort', this.#onAbort)
  }

  /** Asks the server, on a new connection, for what comes after the last message that was received. */
  open(): void {
    if (this.#over) return
    const waiting = this.#queue.length - this.#head
    const credits = Math.max(1, this.#credits - waiting)
    this.#owed = 0
    this.#door.send({
      kind: 'subscribe',
      id: this.id,
      topic: this.#topic,
      after: this.#received,
      log: this.#log,
      credits,
    })
  }

  lost(error: MillraceError, closed: boolean): void {
    if (this.#over) return
    if (closed) this.#finish(error)
    else if (this.state === 'live') this.#setState('reconnecting')
  }

  take(frame: ServerFrame): void {
    if (this.#over) return
    if (frame.kind === 'subscribed') this.#subscribed(frame.log, frame.next)
    else if (frame.kind === 'messages') this.#messages(frame.offset, frame.values)
    else if (frame.kind === 'gap') this.#gap(frame.from, frame.to)
    else if (frame.kind === 'end') {
      this.outcome = frame.outcome
      this.#finish(null)
    } else if (frame.kind === 'error') this.#finish(new MillraceError(frame.code, frame.message))
  }

  close(): void {
    if (this.#over) return
    this.#door.send({ kind: 'unsubscribe', id: this.id })
    this.#queue = []
    this.#head = 0
    this.#finish(null)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TopicMessage<T>, void, undefined> {
    if (this.#iterated)
      throw new MillraceError(
        'subscription.read-twice',
        'A subscription is read once; subscribe again for a second reader.',
      )
    this.#iterated = true
    try {
      for (;;) {
        const item = this.#queue[this.#head]
        if (item === undefined) {
          if (this.#over) break
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
          continue
        }
        this.#shift()
        this.place = item.place
        if (item.kind === 'gap') {
          this.#options.onGap?.(item.gap)
          continue
        }
        yield item.message
        this.#giveCredit()
      }
    } finally {
      this.close()
    }
    if (this.#error !== null) throw this.#error
  }

  readonly #onAbort = (): void => {
    this.close()
  }

  #subscribed(log: string, next: number): void {
    const anew = this.#log !== null && log !== this.#log
    this.#log = log
    const wanted = typeof this.#received === 'number' ? this.#received + 1 : next
    this.#received = next - 1
    // The log that we read is gone, also where we had read nothing of it, and nobody knows how far it went.
    if (anew || next !== wanted) this.#pushGap({ from: wanted, to: null })
    this.place ??= { after: this.#received, log }
    this.#setState('live')
  }

  #messages(offset: number, values: readonly unknown[]): void {
    let expected = typeof this.#received === 'number' ? this.#received + 1 : offset
    if (offset > expected) {
      this.#pushGap({ from: expected, to: offset - 1 })
      expected = offset
    }
    values.forEach((value, index) => {
      const at = offset + index
      // What came already, on the connection before, is not given twice.
      if (at < expected) return
      // The type of a topic's values is what its subscriber says it is.
      this.#push({
        kind: 'message',
        message: { offset: at, value: value as T },
        place: { after: at, log: this.#log ?? '' },
      })
      expected = at + 1
    })
    this.#received = expected - 1
  }

  #gap(from: number, to: number | null): void {
    // That a whole log is gone was seen at `subscribed` already.
    if (to === null) return
    this.#received = to
    this.#pushGap({ from, to })
  }

  #pushGap(gap: Gap): void {
    this.#push({ kind: 'gap', gap, place: { after: gap.to ?? -1, log: this.#log ?? '' } })
  }

  #push(item: Item<T>): void {
    this.#queue.push(item)
    this.#wake?.()
    this.#wake = null
  }

  #shift(): void {
    this.#head += 1
    if (this.#head * 2 < this.#queue.length && this.#head < 1024) return
    this.#queue = this.#queue.slice(this.#head)
    this.#head = 0
  }

  /** Half a window at a time: few frames, and never an idle line. */
  #giveCredit(): void {
    this.#owed += 1
    if (this.#owed * 2 < this.#credits || this.#over) return
    if (this.#door.send({ kind: 'credit', id: this.id, n: this.#owed })) this.#owed = 0
  }

  #finish(error: MillraceError | null): void {
    this.#over = true
    this.#error = error
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#door.forget(this.id)
    this.#setState('ended')
    this.#wake?.()
    this.#wake = null
  }

  #setState(state: SubscriptionState): void {
    if (this.state === state) return
    this.state = state
    this.#options.onState?.(state)
  }
}
