import type { Observable } from 'rxjs'
import { BehaviorSubject, distinctUntilChanged } from 'rxjs'

/** How much: whole messages and bytes (0 where nobody counted them). */
export interface Size {
  readonly messages: number
  readonly bytes: number
}

/**
 * The only back-pressure there is: a limit on what one source has in flight.
 * No edge knows of it; the slowest branch holds its receipts and thereby shuts the gate at the source.
 */
export interface CreditGate {
  readonly open: boolean
  /** The gate's state and every change of it. */
  readonly open$: Observable<boolean>
  readonly limit: Size
  /** The largest batch a source may cut: an eighth of the limit, so that eight overlap. */
  readonly batchMax: Size
  readonly inFlight: Size
  /** Debits and answers true, or false and debits nothing: wait for `open$`. A giant passes alone when nothing flies. */
  take(size: Size): boolean
  /** Debits without asking: what one-to-many nodes grow by. */
  overdraw(size: Size): void
  give(size: Size): void
}

/** Makes a gate that shuts when the limit would be passed and reopens at half of it. */
export function createGate(limit: Size): CreditGate {
  return new Gate(limit)
}

class Gate implements CreditGate {
  readonly limit: Size
  readonly batchMax: Size
  readonly open$: Observable<boolean>
  #messages = 0
  #bytes = 0
  readonly #open = new BehaviorSubject(true)

  constructor(limit: Size) {
    this.limit = limit
    this.batchMax = {
      messages: Math.max(1, Math.min(1024, Math.floor(limit.messages / 8))),
      bytes: Math.max(1, Math.floor(limit.bytes / 8)),
    }
    this.open$ = this.#open.pipe(distinctUntilChanged())
  }

  get open(): boolean {
    return this.#open.value
  }

  get inFlight(): Size {
    return { messages: this.#messages, bytes: this.#bytes }
  }

  take(size: Size): boolean {
    const empty = this.#messages === 0 && this.#bytes === 0
    const fits = this.#messages + size.messages <= this.limit.messages && this.#bytes + size.bytes <= this.limit.bytes
    if (!empty && !(fits && this.#open.value)) {
      if (!fits && this.#open.value) this.#open.next(false)
      return false
    }
    this.#messages += size.messages
    this.#bytes += size.bytes
    this.#shutAtLimit()
    return true
  }

  overdraw(size: Size): void {
    this.#messages += size.messages
    this.#bytes += size.bytes
    this.#shutAtLimit()
  }

  give(size: Size): void {
    this.#messages -= size.messages
    this.#bytes -= size.bytes
    if (!this.#open.value && this.#messages * 2 <= this.limit.messages && this.#bytes * 2 <= this.limit.bytes)
      this.#open.next(true)
  }

  #shutAtLimit(): void {
    const full = this.#messages >= this.limit.messages || this.#bytes >= this.limit.bytes
    if (full && this.#open.value) this.#open.next(false)
  }
}
