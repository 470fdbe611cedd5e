import type { Clock } from '../host.ts'
import { NodeError } from './failure.ts'

/** What cuts work: an `AbortSignal`, or a scope, which has no need to make one. */
export interface Cutter {
  readonly aborted: boolean
  addEventListener(event: 'abort', listener: () => void, options?: { readonly once: boolean }): void
  removeEventListener(event: 'abort', listener: () => void): void
}

/**
 * The limits of a piece of outside work: a time limit on the host's clock, and the signals that cut it.
 * It owns its timer and its listeners until `clear`. One that was not cut can serve again for the next piece of work:
 * `rest` and `restart` cost a comparison each, where a new one costs a controller, a timer and its listeners.
 */
export class Deadline {
  readonly #controller = new AbortController()
  readonly #outer: readonly Cutter[]
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #what: string
  #dueAt: number
  #working = true
  #cancel: (() => void) | null = null
  #reject: ((reason: unknown) => void) | null = null

  constructor(clock: Clock, timeoutMs: number, what: string, outer: readonly Cutter[]) {
    this.#clock = clock
    this.#timeoutMs = timeoutMs
    this.#what = what
    this.#outer = outer
    this.#dueAt = clock.elapsed() + timeoutMs
    this.#cancel = clock.after(timeoutMs, this.#look)
    for (const signal of outer) {
      if (signal.aborted) this.#stop()
      else signal.addEventListener('abort', this.#stop, { once: true })
    }
  }

  /** The work is done: no limit runs until `restart`. */
  rest(): void {
    this.#working = false
    this.#reject = null
  }

  /** Begins the limit anew for the next piece of work. */
  restart(): void {
    this.#working = true
    this.#dueAt = this.#clock.elapsed() + this.#timeoutMs
    this.#cancel ??= this.#clock.after(this.#timeoutMs, this.#look)
  }

  /** Aborted by the time limit or by any of the outer signals. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** What `promise` gives, or a rejection as soon as the deadline is cut, whether the work listens or not. One at a time. */
  race<T>(promise: Promise<T>): Promise<T> {
    if (this.signal.aborted) {
      promise.catch(() => undefined)
      return Promise.reject(this.signal.reason)
    }
    return new Promise((resolve, reject) => {
      this.#reject = reject
      promise.then(resolve, reject)
    })
  }

  /** Runs work and calls one of the two, once: as soon as it is done, or as soon as the deadline is cut. Rests then. */
  watch<T>(work: () => Promise<T>, done: (value: T) => void, failed: (thrown: unknown) => void): void {
    let over = false
    const once =
      <V>(callback: (value: V) => void) =>
      (value: V): void => {
        if (over) return
        over = true
        this.rest()
        callback(value)
      }
    const fail = once(failed)
    if (this.signal.aborted) {
      fail(this.signal.reason)
      return
    }
    this.#reject = fail
    try {
      work().then(once(done), fail)
    } catch (thrown) {
      fail(thrown)
    }
  }

  clear(): void {
    this.#working = false
    this.#cancel?.()
    this.#cancel = null
    for (const signal of this.#outer) signal.removeEventListener('abort', this.#stop)
  }

  /** The timer of an earlier piece of work may ring for a later one, which is given the rest of its time. */
  #look = (): void => {
    this.#cancel = null
    if (!this.#working) return
    const leftMs = this.#dueAt - this.#clock.elapsed()
    if (leftMs > 0) this.#cancel = this.#clock.after(leftMs, this.#look)
    else
      this.#cut(
        new NodeError('node.timeout', `${this.#what} took longer than ${this.#timeoutMs} ms`, { retriable: true }),
      )
  }

  #stop = (): void => this.#cut(new NodeError('execution.stopped', 'the execution was stopped'))

  #cut(error: NodeError): void {
    this.#controller.abort(error)
    this.#reject?.(this.signal.reason)
  }
}

/** Waits on the host's clock; ends early when a signal aborts. */
export function wait(clock: Clock, delayMs: number, signals: readonly Cutter[]): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      cancel()
      for (const signal of signals) signal.removeEventListener('abort', done)
      resolve()
    }
    const cancel = clock.after(delayMs, done)
    for (const signal of signals) {
      signal.addEventListener('abort', done, { once: true })
      if (signal.aborted) done()
    }
  })
}
