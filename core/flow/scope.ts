import type { Failure } from './failure.ts'

/**
 * One execution inside a subscribed pipeline: a row of state slots and a lifetime.
 * A webhook call has one of its own; a Kafka topic shares one for its whole life. It must stay small:
 * a hundred thousand idle scopes are an ordinary day, so slots and the abort controller are made on first use.
 */
export class Scope {
  readonly id: number
  /** The entry group (see Entry) that it belongs to; decides which marks a merge waits for. */
  readonly group: number
  slots: unknown[] | null = null
  /** Receipts opened for this scope and not closed yet. */
  receiptsOpen = 0
  /** Whoever opened the scope; told when its end mark has closed. */
  readonly owner: ScopeOwner | null
  #controller: AbortController | null = null
  #cleanups: (() => void)[] | null = null
  #listeners: (() => void)[] | null = null
  #released = false

  constructor(id: number, group: number, owner: ScopeOwner | null) {
    this.id = id
    this.group = group
    this.owner = owner
  }

  /** It was cut. */
  get aborted(): boolean {
    return this.#controller?.signal.aborted === true
  }

  /** Hears once that the scope is cut: what `signal` would tell, without one being made. */
  addEventListener(_event: 'abort', listener: () => void): void {
    if (this.aborted) return
    if (this.#listeners === null) this.#listeners = []
    this.#listeners.push(listener)
  }

  removeEventListener(_event: 'abort', listener: () => void): void {
    const at = this.#listeners?.indexOf(listener) ?? -1
    if (this.#listeners === null || at < 0) return
    if (this.#listeners.length === 1) this.#listeners = null
    else this.#listeners.splice(at, 1)
  }

  /** Aborted when the execution is killed or has ended. Made on first read. */
  get signal(): AbortSignal {
    if (this.#controller === null) this.#controller = new AbortController()
    return this.#controller.signal
  }

  /** It has ended or was cut: what still arrives for it must not be kept. */
  get over(): boolean {
    return this.#released
  }

  /** Runs `cleanup` once when the scope has ended, however it ended. For what a scope owns: a temporary file, a reply. */
  onEnd(cleanup: () => void): void {
    if (this.#released) {
      cleanup()
      return
    }
    if (this.#cleanups === null) this.#cleanups = []
    this.#cleanups.push(cleanup)
  }

  /** Cuts all work of the scope. Idempotent. */
  abort(reason: unknown): void {
    if (this.aborted) return
    if (this.#controller === null) this.#controller = new AbortController()
    this.#controller.abort(reason)
    const listeners = this.#listeners
    this.#listeners = null
    if (listeners !== null) for (const listener of listeners) listener()
  }

  /** Releases what the scope owns. Called once by its owner after the end mark closed or the scope was cut. */
  release(): void {
    this.#released = true
    const cleanups = this.#cleanups
    this.#cleanups = null
    this.slots = null
    if (cleanups !== null) for (const cleanup of cleanups) cleanup()
  }
}

/** Whoever opened a scope: an execution. */
export interface ScopeOwner {
  /** The execution's textual id; derived, not stored. */
  executionId(scope: Scope): string
  /** It is the one long-lived execution: what is kept for it once need not be kept for each of many. */
  readonly lasting: boolean
  /** Something inside threw where nothing may throw: the execution fails and is cut. The code `execution.stopped` stops it. */
  broke(scope: Scope, failure: Failure): void
  /** Messages of it failed for good and lie in the dead-letter; told of the failure of the first. */
  deadLettered?(failure: Failure, messages: number): void
}
