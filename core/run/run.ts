import type { Observable } from 'rxjs'
import { BehaviorSubject } from 'rxjs'
import type { ScopeOpener } from '../define.ts'
import type { Plan } from '../document/plan.ts'
import type { Mark } from '../flow/batch.ts'
import { batch, endMark, noMessages } from '../flow/batch.ts'
import type { CreditGate, Size } from '../flow/credits.ts'
import type { Failure } from '../flow/failure.ts'
import { NodeError, stopped } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import type { ReceiptOwner } from '../flow/receipt.ts'
import { openReceipt } from '../flow/receipt.ts'
import type { ScopeOwner } from '../flow/scope.ts'
import { Scope } from '../flow/scope.ts'
import type { Host } from '../host.ts'
import type { Execution, ExecutionState, Outcome } from '../pipeline.ts'
import type { Trigger } from './trigger.ts'

/** What a run needs of the pipeline that it belongs to. */
export interface RunOwner {
  readonly plan: Plan
  readonly host: Host
  executionId(scope: number): string
  finished(run: Run): void
  /** All that hears of its end has. */
  announce(run: Run, outcome: Outcome): void
}

export const noSize: Size = { messages: 0, bytes: 0 }

/**
 * An execution: a scope with a life. An event execution is its own receipts' owner, so that starting one makes few objects.
 * It is over when its end mark has been sent and no receipt is open; Rx completion plays no part in that.
 */
export class Run implements Execution, ReceiptOwner, ScopeOwner {
  readonly scope: Scope
  readonly startedAt: number
  state: ExecutionState = 'running'
  protected readonly engine: RunOwner
  protected readonly trigger: Trigger
  protected endSent = false
  readonly #id: string | null
  #outcome: Outcome | null = null
  #failure: Failure | null = null
  #deadLetters = 0
  #opener: ScopeOpener | null
  #waiting: ((outcome: Outcome) => void)[] | null = null
  #states: BehaviorSubject<ExecutionState> | null = null
  #cancelLimit: (() => void) | null = null

  constructor(
    engine: RunOwner,
    trigger: Trigger,
    scopeId: number,
    opener: ScopeOpener | null,
    id: string | null = null,
  ) {
    this.engine = engine
    this.#id = id
    this.trigger = trigger
    this.scope = new Scope(scopeId, trigger.group, this)
    this.startedAt = engine.host.clock.now()
    this.#opener = opener
    const limit = engine.plan.settings.executionMsMax
    if (limit > 0 && trigger.lifetime === 'event')
      this.#cancelLimit = engine.host.clock.after(limit, () =>
        this.broke(this.scope, {
          code: 'execution.timeout',
          message: `the execution took longer than ${limit} ms`,
          node: null,
          retriable: true,
        }),
      )
  }

  get id(): string {
    return this.#id ?? this.engine.executionId(this.scope.id)
  }

  get entry(): string {
    return this.trigger.node.id
  }

  get state$(): Observable<ExecutionState> {
    this.#states ??= new BehaviorSubject(this.state)
    return this.#states
  }

  get done(): Promise<Outcome> {
    if (this.#outcome !== null) return Promise.resolve(this.#outcome)
    return new Promise((resolve) => {
      this.#waiting ??= []
      this.#waiting.push(resolve)
    })
  }

  get lasting(): boolean {
    return false
  }

  get over(): boolean {
    return this.#outcome !== null
  }

  /** Its end mark has been sent, or it was cut: nothing more may be emitted for it. */
  get ending(): boolean {
    return this.endSent || this.over
  }

  /** Receipts that have not closed. */
  get receiptsOpen(): number {
    return this.scope.receiptsOpen
  }

  /** Whoever opened it is not to hear of its end; answers who would have. */
  forgetOpener(): ScopeOpener | null {
    const opener = this.#opener
    this.#opener = null
    return opener
  }

  executionId(): string {
    return this.id
  }

  /** Sends messages of this execution down a port of its trigger, under a receipt of their own. */
  emit(port: number, messages: readonly Message[], ticket: number, size: Size, mark: Mark | null): void {
    if (this.over) {
      this.trigger.gate.give(size)
      return
    }
    this.scope.receiptsOpen += 1
    this.trigger.ports[port]?.(batch(messages, openReceipt(this, ticket, size), this.scope, mark))
  }

  /** Sends the end mark down every port of the trigger. */
  end(): void {
    if (this.endSent || this.over) return
    this.endSent = true
    sendMark(this.trigger, this.scope, endMark, (failure) => this.receiptClosed(failure))
  }

  /** Everything in one batch: the whole life of most event executions. */
  emitWhole(messages: readonly Message[], size: Size): void {
    if (this.trigger.ports.length === 1) {
      this.endSent = true
      this.emit(0, messages, 0, size, endMark)
    } else {
      this.emit(0, messages, 0, size, null)
      this.end()
    }
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
    this.trigger.source?.closed?.(ticket, failure)
    this.receiptClosed(failure)
  }

  /** A batch or a mark of the execution has closed. */
  receiptClosed(failure: Failure | null): void {
    this.scope.receiptsOpen -= 1
    if (failure !== null) this.#failure ??= failure
    this.finishIfOver()
  }

  broke(_scope: Scope, failure: Failure): void {
    if (this.over) return
    this.#failure ??= failure
    this.#cut(failure.code === 'execution.stopped' ? 'stopped' : 'failed')
  }

  deadLettered(failure: Failure, messages: number): void {
    this.#deadLetters += messages
    this.#opener?.deadLettered?.(failure)
  }

  async stop(limitMs: number = this.engine.plan.settings.stopMsMax): Promise<Outcome> {
    if (this.over) return this.done
    this.setState('draining')
    this.drain()
    const cancel = this.engine.host.clock.after(limitMs, () => this.#cut('stopped'))
    const outcome = await this.done
    cancel()
    return outcome
  }

  kill(cause: string): Promise<Outcome> {
    if (!this.over) {
      this.#failure ??= { code: 'execution.killed', message: cause, node: null, retriable: false }
      this.#cut('stopped')
    }
    return this.done
  }

  /** Shuts what gives messages; what was given drains. */
  protected drain(): void {
    this.end()
  }

  protected setState(state: ExecutionState): void {
    this.state = state
    this.#states?.next(state)
  }

  protected finishIfOver(): void {
    if (!this.endSent || this.scope.receiptsOpen > 0 || this.over) return
    this.#finish(
      this.#failure === null
        ? this.state === 'draining' && this.trigger.lifetime === 'stream'
          ? 'stopped'
          : 'done'
        : 'failed',
      this.#failure,
    )
  }

  #cut(state: 'failed' | 'stopped'): void {
    if (this.over) return
    this.scope.abort(new NodeError('execution.stopped', this.#failure?.message ?? 'the execution was stopped'))
    // A stop that was asked for is no failure of the execution, but whoever waits for its answer must not take it for one that ended.
    this.#finish(state, this.#failure ?? stopped(null))
  }

  /** `told` is what its opener hears. */
  #finish(state: 'done' | 'failed' | 'stopped', told: Failure | null): void {
    this.#cancelLimit?.()
    this.#outcome = {
      state,
      unsettled: state === 'done' ? 0 : this.receiptsOpen,
      deadLetters: this.#deadLetters,
      failure: this.#failure,
    }
    this.setState(state)
    this.#states?.complete()
    this.engine.finished(this)
    this.onFinish()
    this.scope.release()
    this.forgetOpener()?.scopeEnded(told)
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting !== null) for (const resolve of waiting) resolve(this.#outcome)
    this.engine.announce(this, this.#outcome)
  }

  protected onFinish(): void {}
}

/** Sends a mark, with a receipt of its own, down every port of a trigger. `closed` is called once, when it has reached every sink. */
export function sendMark(trigger: Trigger, scope: Scope, mark: Mark, closed: (failure: Failure | null) => void): void {
  scope.receiptsOpen += 1
  const receipt = openReceipt(new MarkOwner(closed), 0, noSize)
  const ports = trigger.ports.length
  if (ports === 0) return receipt.settle()
  if (ports > 1) receipt.retain(ports - 1)
  const sent = batch(noMessages, receipt, scope, mark)
  for (const send of trigger.ports) send(sent)
}

/** The receipt of a mark costs no credit and has no position. */
class MarkOwner implements ReceiptOwner {
  readonly #closed: (failure: Failure | null) => void

  constructor(closed: (failure: Failure | null) => void) {
    this.#closed = closed
  }

  gateOf(): null {
    return null
  }

  credited(): void {}

  grown(): void {}

  closed(_ticket: number, failure: Failure | null): void {
    this.#closed(failure)
  }
}
