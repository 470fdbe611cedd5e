import type { Observable } from 'rxjs'
import { Subject } from 'rxjs'
import type { OnError } from '../document/document.ts'
import { virtualClock } from '../testing.ts'
import type { AsyncContext } from './async-map.ts'
import type { Batch, Mark } from './batch.ts'
import { batch } from './batch.ts'
import { wait } from './deadline.ts'
import { edge } from './edge.ts'
import type { Failure } from './failure.ts'
import { NodeError } from './failure.ts'
import type { Key } from './message.ts'
import { message } from './message.ts'
import type { Receipt, ReceiptOwner } from './receipt.ts'
import { openReceipt } from './receipt.ts'
import { Scope } from './scope.ts'

/** Feeds a part of the engine by hand on virtual time, and notes what comes out of it and when. */
export class Feed implements ReceiptOwner {
  readonly clock = virtualClock(0)
  readonly input = new Subject<Batch>()
  readonly scope = new Scope(1, 0, null)
  /** Batches that have closed, by their order of giving; a failure's code behind. */
  readonly ends: string[] = []
  readonly stops: Failure[] = []
  readonly context: AsyncContext
  readonly #released = new AbortController()
  #tickets = 0

  constructor(onError: OnError = { kind: 'route' }) {
    this.context = {
      node: 'part',
      clock: this.clock,
      onError,
      signal: this.#released.signal,
      stop: (failure) => void this.stops.push(failure),
    }
  }

  give(values: readonly unknown[], options: { readonly mark?: Mark; readonly keys?: readonly Key[] } = {}): void {
    const messages = values.map((value, index) => message(value, options.keys?.[index] ?? null))
    const receipt = openReceipt(this, this.#tickets++, { messages: messages.length, bytes: 0 })
    this.input.next(batch(messages, receipt, this.scope, options.mark ?? null))
  }

  /** Notes what an output gives as `time: value`, marks as `time: mark`; ends the receipts at once unless `keep` takes them. */
  seen(output: Observable<Batch>, keep: ((receipt: Receipt) => void) | null = null): string[] {
    const seen: string[] = []
    edge(output, ({ messages, receipt, mark }) => {
      for (const each of messages) seen.push(`${this.clock.now()}: ${textOf(each.value)}`)
      if (mark !== null) seen.push(`${this.clock.now()}: mark ${mark.kind}`)
      if (keep === null) receipt.settle()
      else keep(receipt)
    })
    return seen
  }

  /** Cuts the execution, as a kill does. */
  abort(): void {
    this.scope.abort(new NodeError('execution.stopped', 'enough'))
  }

  sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    return wait(this.clock, delayMs, [signal])
  }

  /** Lets time pass until nothing is left to do, or for so long. */
  async run(forMs?: number): Promise<void> {
    if (forMs === undefined) await this.clock.runUntil(() => false)
    else {
      let over = false
      this.clock.after(forMs, () => {
        over = true
      })
      await this.clock.runUntil(() => over)
    }
  }

  gateOf(): null {
    return null
  }

  credited(): void {}

  grown(): void {}

  closed(ticket: number, failure: Failure | null): void {
    this.ends.push(failure === null ? `${ticket}` : `${ticket} ${failure.code}`)
  }
}

/** A failed value as its cause and the value; any other as JSON. */
function textOf(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'error' in value && 'value' in value) {
    const { error, value: failed } = value as { readonly error: Failure; readonly value: unknown }
    return `${error.code} ${JSON.stringify(failed)}`
  }
  return JSON.stringify(value)
}
