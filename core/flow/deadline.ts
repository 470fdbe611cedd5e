import type { Clock } from '../host.ts'
import { NodeError } from './failure.ts'

/**
 * The limits of one piece of outside work: a time limit on the host's clock, and the signals that cut it.
 * It owns its timer and its listeners until `clear`.
 */
export class Deadline {
  readonly #controller = new AbortController()
  readonly #outer: readonly AbortSignal[]
  readonly #cancel: () => void
  #reject: ((reason: unknown) => void) | null = null

  constructor(clock: Clock, timeoutMs: number, what: string, outer: readonly AbortSignal[]) {
    this.#outer = outer
    this.#cancel = clock.after(timeoutMs, () =>
      this.#cut(new NodeError('node.timeout', `${what} took longer than ${timeoutMs} ms`, { retriable: true })),
    )
    for (const signal of outer) {
      if (signal.aborted) this.#stop()
      else signal.addEventListener('abort', this.#stop, { once: true })
    }
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

  /** Runs work and calls one of the two, once: as soon as it is done, or as soon as the deadline is cut. Clears itself. */
  watch<T>(work: () => Promise<T>, done: (value: T) => void, failed: (thrown: unknown) => void): void {
    let over = false
    const once =
      <V>(callback: (value: V) => void) =>
      (value: V): void => {
        if (over) return
        over = true
        this.clear()
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
    this.#cancel()
    for (const signal of this.#outer) signal.removeEventListener('abort', this.#stop)
  }

  #stop = (): void => this.#cut(new NodeError('execution.stopped', 'the execution was stopped'))

  #cut(error: NodeError): void {
    this.#controller.abort(error)
    this.#reject?.(this.signal.reason)
  }
}

/** Waits on the host's clock; ends early when a signal aborts. */
export function wait(clock: Clock, delayMs: number, signals: readonly AbortSignal[]): Promise<void> {
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
