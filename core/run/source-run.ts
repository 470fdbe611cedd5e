import type { ScopeOpener, SourceLetter } from '../define.ts'
import type { Plan } from '../document/plan.ts'
import type { PassingMark } from '../flow/batch.ts'
import { batch, endMark, noMessages } from '../flow/batch.ts'
import type { CreditGate, Size } from '../flow/credits.ts'
import type { Failure } from '../flow/failure.ts'
import { stopped } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import type { ReceiptOwner } from '../flow/receipt.ts'
import { openReceipt } from '../flow/receipt.ts'
import type { Scope } from '../flow/scope.ts'
import type { DeadLetter, Host } from '../host.ts'
import type { Outcome, SourceReport } from '../pipeline.ts'
import type { Emission, FeedReader } from './feed.ts'
import { Feed } from './feed.ts'
import type { Run, RunOwner } from './run.ts'
import { sendMark } from './run.ts'
import type { SharedThings } from './shared-things.ts'
import type { Trigger } from './trigger.ts'

const redeliveryBackoffMs = 100
const redeliveryBackoffMsMax = 10_000

/** What the long-lived execution needs of its pipeline besides. */
export interface StreamRunOwner extends RunOwner {
  readonly shared: SharedThings
  openRun(trigger: Trigger, opener: ScopeOpener | null, id: string | null, owner: RunOwner): Run
  runOf(scope: Scope): Run | undefined
  closing(promise: Promise<void>): void
  /** So many messages were taken by a dead-letter. */
  deadLettered(messages: number): void
}

/** An execution, as a source sees it that emits for it. */
interface Life {
  readonly id: string
  readonly over: boolean
  /** Nothing more may be emitted for it. */
  readonly ending: boolean
  readonly scope: Scope
  receiptClosed(failure: Failure | null): void
  broke(scope: Scope, failure: Failure): void
}

/** The long-lived execution, as its sources see it. */
export interface SourcesOwner extends Life {
  /** A source has no more. */
  sourceEnded(): void
  /** An execution that a source had opened has ended. */
  scopeEnded(): void
}

/**
 * One source inside a stream execution: the owner of its receipts, and of what happens when one fails; also of the receipts
 * and the ends of executions that it opens beside the long-lived one, one for each connection for example.
 */
export class SourceRun implements ReceiptOwner, FeedReader, RunOwner {
  readonly trigger: Trigger
  ended = false
  readonly #engine: StreamRunOwner
  readonly #run: SourcesOwner
  /** Batches in flight, for the case that they fail. */
  readonly #open = new Map<number, Emission & { readonly since: number; attempts: number }>()
  readonly #scopes = new Set<Run>()
  #feed: Feed
  /** The feed has another reader, or is about to get one: what closes late is none of its business. */
  #detached = false
  #handsOver = false

  constructor(engine: StreamRunOwner, run: SourcesOwner, trigger: Trigger) {
    this.#engine = engine
    this.#run = run
    this.trigger = trigger
    this.#feed = new Feed(trigger.gate, engine.shared, this)
  }

  get scope(): Scope {
    return this.#run.scope
  }

  get plan(): Plan {
    return this.#engine.plan
  }

  get host(): Host {
    return this.#engine.host
  }

  /** Executions that it has opened and that have not ended. */
  get scopesOpen(): number {
    return this.#scopes.size
  }

  /** Receipts of those executions that have not closed. */
  get receiptsOpen(): number {
    let sum = 0
    for (const each of this.#scopes) sum += each.receiptsOpen
    return sum
  }

  executionId(scope: number): string {
    return this.#engine.executionId(scope)
  }

  announce(run: Run, outcome: Outcome): void {
    this.#engine.announce(run, outcome)
  }

  finished(run: Run): void {
    this.#engine.finished(run)
    this.#scopes.delete(run)
    this.#run.scopeEnded()
  }

  async open(): Promise<void> {
    const feed = this.#feed
    await feed.open(this.trigger)
    this.trigger.source = feed.source
    if (this.#run.over) this.close()
  }

  /** Becomes the reader of a source that another version has opened. `left` was given to that one and has not been delivered. */
  adopt(feed: Feed, left: readonly Emission[]): void {
    this.#feed = feed
    this.trigger.gate = feed.gate
    this.trigger.source = feed.source
    feed.leadTo(this, left)
  }

  pause(): void {
    this.#feed.source?.pause()
  }

  /** A person's pause outlasts a change of versions. */
  setPaused(paused: boolean): void {
    this.#feed.paused = paused
    if (paused) this.#feed.source?.pause()
    else if (!this.ended) this.#feed.source?.resume()
  }

  /** When the execution is over, its source is kept for the next version. Call before the execution is stopped. */
  keepForNext(): void {
    this.#handsOver = true
  }

  /** After the end of an execution that keeps it: the source, and what it has given and was not delivered. */
  handOver(): { readonly feed: Feed; readonly left: readonly Emission[] } {
    const { source } = this.#feed
    const open = [...this.#open.values()]
    this.#open.clear()
    if (this.#engine.plan.settings.delivery === 'at-most-once') return { feed: this.#feed, left: [] }
    if (this.#engine.plan.settings.delivery === 'exactly-once') {
      // What was cut is undone by the source's transaction, and read again.
      for (const { ticket } of open) source?.closed?.(ticket, stopped(this.trigger.node.id))
      return { feed: this.#feed, left: [] }
    }
    const left = open.map((each) => ({ ...each, messages: source?.again?.(each.ticket) ?? each.messages }))
    return { feed: this.#feed, left }
  }

  report(): SourceReport {
    const { gate, node } = this.trigger
    const { source, paused } = this.#feed
    return {
      node: node.id,
      state: source === null || this.ended ? 'closed' : paused ? 'paused' : 'open',
      inFlight: gate.inFlight.messages,
      inFlightMax: gate.limit.messages,
      oldestMs: this.#oldestMs(),
      partitions: source?.positions?.() ?? [],
    }
  }

  /** Batches are kept in the order in which they were emitted. */
  #oldestMs(): number {
    const oldest = this.#open.values().next()
    return oldest.done === true ? 0 : this.#engine.host.clock.now() - oldest.value.since
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    if (this.#handsOver) this.#feed.detach()
    for (const each of [...this.#scopes]) {
      if (this.#handsOver && !each.ending) this.#feed.leave(each.scope, each.forgetOpener())
      each.end()
    }
    sendMark(this.trigger, this.scope, endMark, () => this.#run.receiptClosed(null))
  }

  /** The execution is over. */
  close(): void {
    this.trigger.source = null
    for (const each of [...this.#scopes]) each.broke(each.scope, stopped(this.trigger.node.id))
    if (this.#handsOver) this.#detached = true
    else this.#engine.closing(this.#feed.close())
  }

  emit(port: number, messages: readonly Message[], ticket: number, size: Size, scope: Scope | null): void {
    if (this.ended || this.#run.over) return this.trigger.gate.give(size)
    const run = this.#runOf(scope)
    if (run === undefined || (run !== this.#run && run.ending)) {
      this.trigger.gate.give(size)
      this.#feed.source?.closed?.(ticket, stopped(this.trigger.node.id))
      return
    }
    // At most once: committed before anything is done with it, and never sent again.
    const forgotten = this.#engine.plan.settings.delivery === 'at-most-once'
    if (forgotten) this.#feed.source?.closed?.(ticket, null)
    if (!forgotten || scope !== null) {
      const since = this.#engine.host.clock.now()
      // A source that can make them anew holds their bytes; the values need not live for as long as they are in flight.
      const kept = this.#feed.source?.again === undefined ? messages : noMessages
      this.#open.set(ticket, { ticket, port, messages: kept, size, scope, since, attempts: 0 })
    }
    run.scope.receiptsOpen += 1
    this.#send(port, messages, ticket, size, run.scope)
  }

  mark(mark: PassingMark): void {
    if (this.ended || this.#run.over) return
    sendMark(this.trigger, this.scope, mark, (failure) => {
      this.#feed.source?.marked?.(mark, failure)
      this.#run.receiptClosed(null)
    })
  }

  complete(): void {
    this.end()
    this.#run.sourceEnded()
  }

  fail(failure: Failure): void {
    this.#run.broke(this.scope, failure)
  }

  openScope(opener?: ScopeOpener): Scope {
    const run = this.#engine.openRun(this.trigger, opener ?? null, null, this)
    this.#scopes.add(run)
    return run.scope
  }

  endScope(scope: Scope): void {
    this.#engine.runOf(scope)?.end()
  }

  /** Gives messages of this source to it, or to the host's dead-letter. */
  deadLetter(letters: readonly SourceLetter[], signal: AbortSignal, execution: string): Promise<void> {
    const own = this.#feed.source?.deadLetter?.(letters, signal) ?? null
    if (own !== null) return own
    return this.#engine.host.deadLetter(
      letters.map(
        ({ message, failure }): DeadLetter => ({
          workflow: this.#engine.plan.workflow.id,
          execution,
          failure,
          value: message.value,
          key: message.key,
          time: message.time,
        }),
      ),
      signal,
    )
  }

  gateOf(): CreditGate | null {
    return this.trigger.gate
  }

  credited(size: Size): void {
    this.trigger.gate.give(size)
  }

  grown(by: Size): void {
    this.trigger.gate.overdraw(by)
  }

  closed(ticket: number, failure: Failure | null): void {
    const { delivery } = this.#engine.plan.settings
    if (this.#detached) return
    const run = this.#runOf(this.#open.get(ticket)?.scope ?? null)
    if (delivery === 'at-least-once' && failure !== null && run?.over === false) return this.#redeliver(ticket, failure)
    this.#open.delete(ticket)
    if (delivery !== 'at-most-once') this.#feed.source?.closed?.(ticket, failure)
    run?.receiptClosed(null)
  }

  /** The execution of a scope; null stands for the long-lived one. */
  #runOf(scope: Scope | null): Life | undefined {
    return scope === null ? this.#run : this.#engine.runOf(scope)
  }

  #send(port: number, messages: readonly Message[], ticket: number, size: Size, scope: Scope): void {
    this.trigger.ports[port]?.(batch(messages, openReceipt(this, ticket, size), scope))
  }

  /** Sends a failed batch again from the bytes that the source holds; when that did not help, its messages go to the dead-letter. */
  #redeliver(ticket: number, failure: Failure): void {
    const held = this.#open.get(ticket)
    const { redeliveriesMax, onFail } = this.#engine.plan.settings
    const run = this.#runOf(held?.scope ?? null)
    if (held === undefined || run === undefined) return this.closed(ticket, null)
    const again = this.#feed.source?.again?.(ticket) ?? null
    if (again !== null && again.length === 0) return this.closed(ticket, null)
    if (again !== null && held.attempts < redeliveriesMax) {
      const delayMs = Math.min(redeliveryBackoffMs * 2 ** held.attempts, redeliveryBackoffMsMax)
      held.attempts += 1
      this.#engine.host.clock.after(delayMs, () => {
        if (this.#run.over) return
        if (run.over) return this.closed(ticket, failure)
        this.trigger.gate.overdraw(held.size)
        this.#send(held.port, again, ticket, held.size, run.scope)
      })
      return
    }
    const kept = again ?? held.messages
    // Where nobody holds them any more, going on would lose them in silence.
    if (onFail === 'stop' || kept.length === 0) return run.broke(run.scope, failure)
    const letters = kept.map((message) => ({ message, failure }))
    this.deadLetter(letters, run.scope.signal, run.id).then(
      () => {
        this.#engine.deadLettered(letters.length)
        run.scope.owner?.deadLettered?.(failure, letters.length)
        this.closed(ticket, null)
      },
      () => run.broke(run.scope, failure),
    )
  }
}
