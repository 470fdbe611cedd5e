import type { NodeError } from '../core/flow/failure.ts'
import type { StreamStart } from './frames.ts'
import type { JobReader } from './job.ts'

/** What a stream needs of its pool. */
export interface StreamSource {
  start(reader: StreamReader): void
  taken(count: number): void
  /** Ends the task; resolves when nobody works on it any more. */
  cancel(): Promise<void>
}

interface Waiting {
  readonly resolve: (step: IteratorResult<unknown>) => void
  readonly reject: (error: NodeError) => void
}

/**
 * The reading end of a stream: keeps the few values that arrived ahead of the reader, and gives credit for those that
 * it took. The task starts with the first `next`; `return` (a `break` in `for await`) ends it and waits until it has.
 */
export class StreamReader implements JobReader, AsyncIterableIterator<unknown> {
  readonly #source: StreamSource
  readonly #window: number
  readonly #windowBytes: number
  readonly #ahead: unknown[] = []
  readonly #waiting: Waiting[] = []
  #started = false
  #ended = false
  #error: NodeError | null = null
  #arrived = 0
  #taken = 0
  #credited = 0
  #eager = false

  constructor(source: StreamSource, window: number, windowBytes: number) {
    this.#source = source
    this.#window = window
    this.#windowBytes = windowBytes
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<unknown>> {
    if (!this.#started) {
      this.#started = true
      this.#source.start(this)
    }
    if (this.#ahead.length > 0) {
      const value = this.#ahead.shift()
      this.#took()
      return Promise.resolve({ done: false, value })
    }
    if (this.#error !== null) {
      const error = this.#error
      this.#error = null
      return Promise.reject(error)
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  async return(): Promise<IteratorResult<unknown>> {
    const running = this.#started && !this.#ended
    this.#started = true
    this.#end()
    this.#ahead.length = 0
    this.#error = null
    if (running) await this.#source.cancel()
    return { done: true, value: undefined }
  }

  value(number: number, value: unknown): boolean {
    if (number !== this.#arrived + 1) return false
    this.#arrived = number
    const waiting = this.#waiting.shift()
    if (waiting === undefined) {
      this.#ahead.push(value)
    } else {
      this.#took()
      waiting.resolve({ done: false, value })
    }
    return true
  }

  full(): void {
    this.#eager = true
    this.#giveCredit()
  }

  done(): void {
    this.#end()
  }

  failed(error: NodeError, atOnce: boolean): void {
    if (this.#ended) return
    if (atOnce) this.#ahead.length = 0
    const waiting = this.#waiting.shift()
    if (waiting === undefined) this.#error = error
    else waiting.reject(error)
    this.#end()
  }

  start(): StreamStart {
    this.#credited = this.#taken
    this.#eager = false
    return { resumeAfter: this.#arrived, taken: this.#taken, window: this.#window, windowBytes: this.#windowBytes }
  }

  #end(): void {
    this.#ended = true
    for (const { resolve } of this.#waiting.splice(0)) resolve({ done: true, value: undefined })
  }

  /** Credit goes out for half a window at a time, or at once when the runner stands still for want of bytes. */
  #took(): void {
    this.#taken += 1
    if (this.#ended) return
    if (this.#eager || this.#taken - this.#credited >= this.#window / 2) this.#giveCredit()
  }

  #giveCredit(): void {
    if (this.#taken === this.#credited) return
    this.#credited = this.#taken
    this.#source.taken(this.#taken)
  }
}
