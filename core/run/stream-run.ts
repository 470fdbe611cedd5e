import type { PassingMark } from '../flow/batch.ts'
import { batch, endMark } from '../flow/batch.ts'
import type { CreditGate, Size } from '../flow/credits.ts'
import type { Failure } from '../flow/failure.ts'
import { failureOf } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import type { ReceiptOwner } from '../flow/receipt.ts'
import { openReceipt } from '../flow/receipt.ts'
import type { Scope } from '../flow/scope.ts'
import type { DeadLetter } from '../host.ts'
import type { RunOwner } from './run.ts'
import { Run, sendMark } from './run.ts'
import type { Trigger } from './trigger.ts'

const redeliveryBackoffMs = 100
const redeliveryBackoffMsMax = 10_000

/** What the long-lived execution needs of its pipeline besides. */
export interface StreamRunOwner extends RunOwner {
  openRun(trigger: Trigger, ended?: ((failure: Failure | null) => void) | null): Run
  runOf(scope: Scope): Run | undefined
  closing(promise: Promise<void>): void
}

/** The one long-lived execution of all stream triggers: several sources, each with its own gate, one scope. */
export class StreamRun extends Run {
  readonly #sources: readonly SourceRun[]

  constructor(engine: StreamRunOwner, triggers: readonly Trigger[], scopeId: number, id: string | null) {
    const first = triggers[0]
    if (first === undefined) throw new Error('a stream execution needs a stream trigger')
    super(engine, first, scopeId, null, id)
    this.#sources = triggers.map((trigger) => new SourceRun(engine, this, trigger))
  }

  /** Opens all sources. One that cannot be opened fails the execution. */
  async open(): Promise<void> {
    await Promise.all(
      this.#sources.map(async (each) => {
        try {
          await each.open()
        } catch (thrown) {
          this.broke(this.scope, failureOf(thrown, each.trigger.node.id))
        }
      }),
    )
  }

  override end(): void {
    for (const each of this.#sources) each.end()
    this.endSent = true
    // The marks of an idle flow have closed before all of them were sent.
    this.finishIfOver()
  }

  protected override drain(): void {
    for (const each of this.#sources) each.trigger.source?.pause()
    this.end()
  }

  protected override onFinish(): void {
    for (const each of this.#sources) each.close()
  }

  /** A source has no more; when none has, the execution ends by itself. */
  sourceEnded(): void {
    if (this.#sources.every((each) => each.ended)) this.endSent = true
    this.finishIfOver()
  }
}

/** One source inside a stream execution: the owner of its receipts, and of what happens when one fails. */
class SourceRun implements ReceiptOwner {
  readonly trigger: Trigger
  ended = false
  readonly #engine: StreamRunOwner
  readonly #run: StreamRun
  /** Batches in flight, for the case that they fail. */
  readonly #open = new Map<
    number,
    { readonly port: number; readonly messages: readonly Message[]; readonly size: Size; attempts: number }
  >()

  constructor(engine: StreamRunOwner, run: StreamRun, trigger: Trigger) {
    this.#engine = engine
    this.#run = run
    this.trigger = trigger
  }

  async open(): Promise<void> {
    const { scope } = this.#run
    const source = await this.trigger.face.open(this.trigger.node.config, {
      ...this.trigger.context,
      gate: this.trigger.gate,
      lifetime: 'stream',
      streamScope: scope,
      emit: (port, messages, _scope, ticket, size) => this.#emit(port, messages, ticket, size),
      openScope: (ended) => this.#engine.openRun(this.trigger, ended).scope,
      endScope: (each) => this.#engine.runOf(each)?.end(),
      mark: (mark) => this.#mark(mark),
      complete: () => {
        this.end()
        this.#run.sourceEnded()
      },
      fail: (failure) => this.#run.broke(scope, failure),
    })
    this.trigger.source = source
    if (this.#run.over) this.close()
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    sendMark(this.trigger, this.#run.scope, endMark, () => this.#run.receiptClosed(null))
  }

  close(): void {
    const { source } = this.trigger
    this.trigger.source = null
    if (source !== null) this.#engine.closing(source.close())
  }

  #mark(mark: PassingMark): void {
    if (this.ended || this.#run.over) return
    sendMark(this.trigger, this.#run.scope, mark, (failure) => {
      this.trigger.source?.marked?.(mark, failure)
      this.#run.receiptClosed(null)
    })
  }

  #emit(port: number, messages: readonly Message[], ticket: number, size: Size): void {
    if (this.ended || this.#run.over) return this.trigger.gate.give(size)
    // At most once: committed before anything is done with it, and never sent again.
    if (this.#engine.plan.settings.delivery === 'at-most-once') this.trigger.source?.closed?.(ticket, null)
    else this.#open.set(ticket, { port, messages, size, attempts: 0 })
    this.#run.scope.receiptsOpen += 1
    this.#send(port, messages, ticket, size)
  }

  #send(port: number, messages: readonly Message[], ticket: number, size: Size): void {
    this.trigger.ports[port]?.(batch(messages, openReceipt(this, ticket, size), this.#run.scope))
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
    const forgotten = this.#engine.plan.settings.delivery === 'at-most-once'
    if (forgotten || failure === null || this.#run.over) {
      this.#open.delete(ticket)
      if (!forgotten) this.trigger.source?.closed?.(ticket, failure)
      this.#run.receiptClosed(null)
      return
    }
    this.#redeliver(ticket, failure)
  }

  /** Sends a failed batch again from the bytes that the source holds; when that did not help, its messages go to the dead-letter. */
  #redeliver(ticket: number, failure: Failure): void {
    const held = this.#open.get(ticket)
    const { redeliveriesMax, onFail } = this.#engine.plan.settings
    if (held === undefined) return this.closed(ticket, null)
    const again = this.trigger.source?.again?.(ticket) ?? null
    if (again !== null && held.attempts < redeliveriesMax) {
      const delayMs = Math.min(redeliveryBackoffMs * 2 ** held.attempts, redeliveryBackoffMsMax)
      held.attempts += 1
      this.#engine.host.clock.after(delayMs, () => {
        if (this.#run.over) return
        this.trigger.gate.overdraw(held.size)
        this.#send(held.port, again, ticket, held.size)
      })
      return
    }
    if (onFail === 'stop') return this.#run.broke(this.#run.scope, failure)
    const letters: DeadLetter[] = (again ?? held.messages).map((each) => ({
      workflow: this.#engine.plan.workflow.id,
      execution: this.#run.id,
      failure,
      value: each.value,
      key: each.key,
      time: each.time,
    }))
    this.#engine.host.deadLetter(letters, this.#run.scope.signal).then(
      () => this.closed(ticket, null),
      () => this.#run.broke(this.#run.scope, failure),
    )
  }
}
