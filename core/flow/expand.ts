import type { Observable } from 'rxjs'
import { Subject } from 'rxjs'
import type { ExpandLimits, ExpandWork } from '../define.ts'
import type { AsyncContext, TwoPorts } from './async-map.ts'
import { backoff } from './async-map.ts'
import type { Batch, Mark } from './batch.ts'
import { batch, noMessages } from './batch.ts'
import type { CreditGate, Size } from './credits.ts'
import { createGate } from './credits.ts'
import { Deadline, wait } from './deadline.ts'
import { edge } from './edge.ts'
import type { Failure } from './failure.ts'
import { failureOf } from './failure.ts'
import type { Message } from './message.ts'
import { withValue } from './message.ts'
import type { Held, Receipt, ReceiptOwner } from './receipt.ts'
import { openReceipt } from './receipt.ts'
import type { Scope } from './scope.ts'

/**
 * Turns each message into as many as its iterator gives. The iterator is asked for the next one only while the child gate is open,
 * so a slow reader downstream suspends it. The input is held until the iterator has ended and all it gave is settled.
 */
export function expand(
  work: ExpandWork,
  limits: ExpandLimits,
  context: AsyncContext,
): (input: Observable<Batch>) => TwoPorts {
  return (input) => {
    const expander = new Expander(work, limits, context)
    edge(input, (next) => expander.accept(next))
    return { out: expander.out, error: expander.error }
  }
}

/** An input batch, and the owner of the receipts of what its iterators give. It owns one hold of the input's receipt. */
class Parent implements ReceiptOwner {
  readonly receipt: Receipt
  readonly #gate: CreditGate
  /** Iterators of the batch that have not ended, plus child receipts that are open. */
  #open: number
  /** The same, without child receipts that are parked: where none flies, the input does not fly either. */
  #flying: number
  #parked: Held | null = null
  #failure: Failure | null = null

  constructor(receipt: Receipt, gate: CreditGate, iterators: number) {
    this.receipt = receipt
    this.#gate = gate
    this.#open = iterators
    this.#flying = iterators
  }

  /** The receipt of messages that one of its iterators gave. */
  child(size: Size): Receipt {
    this.#gate.overdraw(size)
    this.#open += 1
    this.#flying += 1
    return openReceipt(this, 0, size)
  }

  iteratorEnded(failure: Failure | null): void {
    this.#landed()
    this.closed(0, failure)
  }

  gateOf(): CreditGate | null {
    return this.receipt.gate
  }

  credited(size: Size): void {
    this.#gate.give(size)
    this.#landed()
  }

  grown(by: Size): void {
    this.#gate.overdraw(by)
  }

  closed(_ticket: number, failure: Failure | null): void {
    if (failure !== null) this.#failure ??= failure
    this.#open -= 1
    if (this.#open > 0) return
    const hold = this.#parked ?? this.receipt
    if (this.#failure === null) hold.settle()
    else hold.fail(this.#failure)
  }

  #landed(): void {
    this.#flying -= 1
    if (this.#flying === 0) this.#parked = this.receipt.park()
  }
}

/** What a scope's marks wait for: the iterators that began before them. */
interface Turn {
  running: number
  /** Iterators that begin only when the epoch before them has passed; null when none is before. */
  held: (() => void)[] | null
  readonly mark: Mark | null
  readonly markReceipt: Receipt | null
}

class Expander {
  readonly out = new Subject<Batch>()
  readonly error = new Subject<Batch>()
  readonly #work: ExpandWork
  readonly #limits: ExpandLimits
  readonly #context: AsyncContext
  readonly #gate: CreditGate
  readonly #turns = new Map<Scope, Turn[]>()
  readonly #waiting: (() => void)[] = []
  readonly #atGate: (() => void)[] = []
  #running = 0

  constructor(work: ExpandWork, limits: ExpandLimits, context: AsyncContext) {
    this.#work = work
    this.#limits = limits
    this.#context = context
    this.#gate = createGate({ messages: limits.inFlightMax, bytes: Number.MAX_SAFE_INTEGER })
    this.#gate.open$.subscribe((open) => {
      if (open) for (const resume of this.#atGate.splice(0)) resume()
    })
  }

  accept(input: Batch): void {
    const turns = this.#turns.get(input.scope) ?? []
    if (turns.length === 0) this.#turns.set(input.scope, turns)
    const count = input.messages.length
    if (input.mark !== null && count > 0) input.receipt.retain(1)
    if (count > 0) {
      const parent = new Parent(input.receipt, this.#gate, count)
      let turn = turns.at(-1)
      if (turn === undefined || turn.mark !== null) {
        turn = { running: 0, held: turns.some(isEpoch) ? [] : null, mark: null, markReceipt: null }
        turns.push(turn)
      }
      turn.running += count
      for (const message of input.messages) this.#enqueue(message, input.scope, parent, turn)
    } else if (input.mark === null) input.receipt.settle()
    if (input.mark !== null) turns.push({ running: 0, held: null, mark: input.mark, markReceipt: input.receipt })
    this.#passMarks(input.scope, turns)
  }

  #enqueue(message: Message, scope: Scope, parent: Parent, turn: Turn): void {
    const start = (): void => {
      this.#running += 1
      void this.#drive(message, scope, parent).then((failure) => {
        this.#running -= 1
        turn.running -= 1
        parent.iteratorEnded(failure)
        const turns = this.#turns.get(scope)
        if (turns !== undefined) this.#passMarks(scope, turns)
        this.#waiting.shift()?.()
      })
    }
    if (turn.held === null) this.#begin(start)
    else turn.held.push(start)
  }

  #begin(start: () => void): void {
    if (this.#running < this.#limits.concurrency) start()
    else this.#waiting.push(start)
  }

  /** Runs one iterator to its end; answers a failure only where the message can neither go on nor to its error port. */
  async #drive(message: Message, scope: Scope, parent: Parent): Promise<Failure | null> {
    const { onError, node, clock, signal } = this.#context
    for (let attempt = 0; ; attempt++) {
      const deadline = new Deadline(clock, this.#limits.timeoutMs, node, [scope, signal])
      let given = 0
      try {
        await this.#iterate(message, scope, parent, deadline, () => {
          given += 1
        })
        return null
      } catch (thrown) {
        const failure = failureOf(thrown, node)
        if (scope.aborted || signal.aborted) return failure
        // What has been given is on its way: a second run would give it twice.
        if (onError.kind === 'retry' && failure.retriable && given === 0 && attempt < onError.attemptsMax) {
          await wait(clock, backoff(onError, attempt), [scope, signal])
          continue
        }
        if (onError.kind === 'stop') {
          this.#context.stop(failure, scope)
          return failure
        }
        if (onError.kind !== 'drop') {
          parent.receipt.retain(1)
          this.error.next(batch([withValue(message, { error: failure, value: message.value })], parent.receipt, scope))
        }
        return null
      } finally {
        deadline.clear()
      }
    }
  }

  async #iterate(
    message: Message,
    scope: Scope,
    parent: Parent,
    deadline: Deadline,
    counted: () => void,
  ): Promise<void> {
    deadline.signal.throwIfAborted()
    const iterator = this.#work(message, deadline.signal, scope)[Symbol.asyncIterator]()
    let over = false
    try {
      for (;;) {
        await this.#opened(deadline)
        const next = await deadline.race(iterator.next())
        if (next.done === true) {
          over = true
          return
        }
        counted()
        const { value } = next
        if (isOne(value)) this.#emit([value], scope, parent)
        else await this.#emitAll(value, scope, parent, deadline)
      }
    } finally {
      // An iterator that is left early is told so, and nobody waits for one that does not listen.
      if (!over) void Promise.resolve(iterator.return?.()).catch(() => undefined)
    }
  }

  async #opened(deadline: Deadline): Promise<void> {
    if (!this.#gate.open) await deadline.race(new Promise<void>((resolve) => this.#atGate.push(resolve)))
  }

  /** No more at a time than there is room for. */
  async #emitAll(messages: readonly Message[], scope: Scope, parent: Parent, deadline: Deadline): Promise<void> {
    for (let at = 0; at < messages.length; ) {
      await this.#opened(deadline)
      const { limit, inFlight } = this.#gate
      const part = messages.slice(at, at + Math.max(1, limit.messages - inFlight.messages))
      this.#emit(part, scope, parent)
      at += part.length
    }
  }

  #emit(messages: readonly Message[], scope: Scope, parent: Parent): void {
    this.out.next(batch(messages, parent.child({ messages: messages.length, bytes: 0 }), scope))
  }

  #passMarks(scope: Scope, turns: Turn[]): void {
    for (let first = turns[0]; first !== undefined && first.running === 0; first = turns[0]) {
      turns.shift()
      if (first.mark === null || first.markReceipt === null) continue
      first.markReceipt.retain(1)
      this.out.next(batch(noMessages, first.markReceipt, scope, first.mark))
      this.error.next(batch(noMessages, first.markReceipt, scope, first.mark))
      if (isEpoch(first)) this.#passFence(turns)
    }
    if (turns.length === 0) this.#turns.delete(scope)
  }

  /** Begins what waited for an epoch, up to the next one. */
  #passFence(turns: readonly Turn[]): void {
    for (const turn of turns) {
      if (isEpoch(turn)) return
      const { held } = turn
      turn.held = null
      for (const start of held ?? []) this.#begin(start)
    }
  }
}

function isEpoch(turn: Turn): boolean {
  return turn.mark?.kind === 'epoch'
}

function isOne(given: Message | readonly Message[]): given is Message {
  return !Array.isArray(given)
}
