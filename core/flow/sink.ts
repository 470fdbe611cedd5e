import type { Observable } from 'rxjs'
import { Subject } from 'rxjs'
import type { SinkLimits, SinkWriter, WriteFailure } from '../define.ts'
import type { AsyncContext } from './async-map.ts'
import { backoff } from './async-map.ts'
import type { Batch, Mark } from './batch.ts'
import { batch, noMessages } from './batch.ts'
import { Deadline, wait } from './deadline.ts'
import { edge } from './edge.ts'
import type { Failure } from './failure.ts'
import { failureOf } from './failure.ts'
import type { Message } from './message.ts'
import { withValue } from './message.ts'
import type { Receipt } from './receipt.ts'
import type { Scope } from './scope.ts'

/**
 * Writes batches to the outside: collects by count and time, bounds the time of a write, retries with back-off,
 * settles per message, and flushes before a mark passes. Answers the messages that failed for good.
 */
export function sink(
  writer: SinkWriter,
  limits: SinkLimits,
  context: AsyncContext,
): (input: Observable<Batch>) => Observable<Batch> {
  return (input) => {
    const collector = new Collector(writer, limits, context)
    edge(input, (next) => collector.accept(next))
    return collector.error
  }
}

interface Parent {
  readonly receipt: Receipt
  readonly scope: Scope
  left: number
  failure: Failure | null
}

/** Where a sink waits for nothing but the end of the turn, a batch of this many is written at once. */
const companyMax = 64

/** Messages of one batch that are written together. */
interface Part {
  readonly messages: readonly Message[]
  readonly parent: Parent
}

interface WaitingMark {
  readonly mark: Mark
  readonly receipt: Receipt
  readonly scope: Scope
  /** Messages accepted before it: all of them must be written before it may pass. */
  readonly position: number
}

class Collector {
  readonly error = new Subject<Batch>()
  readonly #writer: SinkWriter
  readonly #limits: SinkLimits
  readonly #context: AsyncContext
  /** Messages that need not wait for company. */
  readonly #enough: number
  /** What waits to be written, in order; runs of messages, so that a batch that fits is handed on as it came. */
  #queue: Part[] = []
  #queued = 0
  #marks: WaitingMark[] = []
  /** Positions at which the writes under way begin. */
  readonly #writes = new Set<number>()
  /** Limits of writes that are over, by long-lived execution. */
  readonly #spares = new Map<Scope | null, Deadline>()
  readonly #sparing = new Set<Scope>()
  #accepted = 0
  #taken = 0
  #cancelTimer: (() => void) | null = null
  #flushPlanned = false
  /** Messages before this position must not wait for company: a mark is behind them, or they have waited long enough. */
  #urgentUntil = 0

  constructor(writer: SinkWriter, limits: SinkLimits, context: AsyncContext) {
    this.#writer = writer
    this.#limits = limits
    this.#context = context
    this.#enough = limits.waitMsMax === 0 ? Math.min(limits.messagesMax, companyMax) : limits.messagesMax
  }

  accept(input: Batch): void {
    const count = input.messages.length
    if (input.mark !== null && count > 0) input.receipt.retain(1)
    if (count > 0) {
      const parent: Parent = { receipt: input.receipt, scope: input.scope, left: count, failure: null }
      this.#queue.push({ messages: input.messages, parent })
      this.#queued += count
    } else if (input.mark === null) input.receipt.settle()
    this.#accepted += count
    if (input.mark !== null) {
      this.#urgentUntil = this.#accepted
      this.#marks.push({ mark: input.mark, receipt: input.receipt, scope: input.scope, position: this.#accepted })
      this.#passMarks()
    }
    this.#plan()
  }

  /** Starts writes that are due now, and sets the timer for what may still wait for company. */
  #plan(): void {
    while (this.#mayWrite() && (this.#urgentUntil > this.#taken || this.#queued >= this.#enough)) this.#startWrite()
    if (!this.#mayWrite()) return
    if (this.#limits.waitMsMax === 0) {
      if (this.#flushPlanned) return
      this.#flushPlanned = true
      queueMicrotask(() => {
        this.#flushPlanned = false
        while (this.#mayWrite()) this.#startWrite()
      })
    } else {
      this.#cancelTimer ??= this.#context.clock.after(this.#limits.waitMsMax, () => {
        this.#cancelTimer = null
        this.#urgentUntil = this.#accepted
        this.#plan()
      })
    }
  }

  #mayWrite(): boolean {
    return this.#queue.length > 0 && this.#writes.size < this.#limits.concurrency && this.#taken < this.#fence()
  }

  /** The position up to which may be written: what comes behind an epoch's mark waits until the mark has passed. */
  #fence(): number {
    for (const each of this.#marks) if (each.mark.kind === 'epoch') return each.position
    return Number.POSITIVE_INFINITY
  }

  #startWrite(): void {
    const taken = this.#take()
    const count = taken.reduce((sum, part) => sum + part.messages.length, 0)
    const position = this.#taken
    this.#taken += count
    this.#queued -= count
    this.#writes.add(position)
    if (this.#queued === 0) {
      this.#cancelTimer?.()
      this.#cancelTimer = null
    }
    this.#write(taken, position, 0)
  }

  /** Takes the first parts, up to the largest write; the last one is cut where it is too long. */
  #take(): readonly Part[] {
    const taken: Part[] = []
    let room = Math.min(this.#limits.messagesMax, this.#fence() - this.#taken)
    let whole = 0
    for (; whole < this.#queue.length; whole++) {
      const part = this.#queue[whole]
      if (part === undefined || part.messages.length > room) break
      taken.push(part)
      room -= part.messages.length
    }
    const next = this.#queue[whole]
    this.#queue = whole === this.#queue.length ? [] : this.#queue.slice(whole)
    if (next !== undefined && room > 0) {
      taken.push({ messages: next.messages.slice(0, room), parent: next.parent })
      this.#queue[0] = { messages: next.messages.slice(room), parent: next.parent }
    }
    return taken
  }

  /** Starts one attempt to write. Callbacks in place of awaits: each hop would let the source run further ahead. */
  #write(open: readonly Part[], position: number, attempt: number): void {
    const { node } = this.#context
    const scope = open[0]?.parent.scope
    const single = scope !== undefined && open.every((each) => each.parent.scope === scope)
    const deadline = this.#deadline(single ? scope : null)
    const only = open.length === 1 ? open[0]?.messages : undefined
    const messages = only ?? open.flatMap((part) => part.messages)
    deadline.watch(
      () =>
        this.#writer.write(
          messages,
          deadline.signal,
          (index) => parentAt(open, index).scope,
          (index) => parentAt(open, index).receipt.gate,
        ),
      (failed) => {
        this.#spare(single ? scope : null, deadline)
        this.#written(open, position, attempt, failed)
      },
      (thrown) => {
        const failure = failureOf(thrown, node)
        this.#spare(single ? scope : null, deadline)
        this.#written(
          open,
          position,
          attempt,
          messages.map((_, index) => ({ index, failure })),
        )
      },
    )
  }

  /** The limit of a write; a long-lived execution's writes share one after the other. */
  #deadline(scope: Scope | null): Deadline {
    const { clock, node, signal } = this.#context
    const spare = this.#spares.get(scope)
    if (spare !== undefined) {
      this.#spares.delete(scope)
      spare.restart()
      return spare
    }
    const outer = scope === null ? [signal] : [signal, scope]
    return new Deadline(clock, this.#limits.timeoutMs, `writing to ${node}`, outer)
  }

  #spare(scope: Scope | null, deadline: Deadline): void {
    const mayServeAgain = scope?.owner?.lasting === true && !deadline.signal.aborted
    if (!mayServeAgain || this.#spares.has(scope)) {
      deadline.clear()
      return
    }
    this.#spares.set(scope, deadline)
    if (this.#sparing.has(scope)) return
    this.#sparing.add(scope)
    scope.onEnd(() => {
      this.#spares.get(scope)?.clear()
      this.#spares.delete(scope)
      this.#sparing.delete(scope)
    })
  }

  /** Ends what was written, and tries again what may still succeed. */
  #written(open: readonly Part[], position: number, attempt: number, failed: readonly WriteFailure[]): void {
    const { clock, onError, signal } = this.#context
    const again: Part[] = []
    if (failed.length === 0) for (const part of open) this.#end(part.parent, part.messages.length, null)
    else {
      const failures = new Map(failed.map((each) => [each.index, each.failure]))
      let index = 0
      for (const { parent, messages } of open)
        for (const message of messages) {
          const failure = failures.get(index++)
          if (failure === undefined) this.#end(parent, 1, null)
          else if (signal.aborted || parent.scope.aborted) this.#end(parent, 1, failure)
          else if (onError.kind === 'retry' && failure.retriable && attempt < onError.attemptsMax)
            again.push({ messages: [message], parent })
          else this.#giveUp(message, parent, failure)
        }
    }
    if (again.length > 0 && onError.kind === 'retry') {
      const scopes = [...new Set(again.map((part) => part.parent.scope))]
      const cuts = scopes.length === 1 ? [signal, ...scopes] : [signal]
      void wait(clock, backoff(onError, attempt), cuts).then(() => this.#write(again, position, attempt + 1))
      return
    }
    this.#writes.delete(position)
    this.#passMarks()
    this.#plan()
  }

  #giveUp(message: Message, parent: Parent, failure: Failure): void {
    const { onError } = this.#context
    if (onError.kind === 'stop') {
      this.#context.stop(failure, parent.scope)
      this.#end(parent, 1, failure)
      return
    }
    if (onError.kind !== 'drop') {
      parent.receipt.retain(1)
      this.error.next(
        batch([withValue(message, { error: failure, value: message.value })], parent.receipt, parent.scope),
      )
    }
    this.#end(parent, 1, null)
  }

  #end(parent: Parent, count: number, failure: Failure | null): void {
    if (failure !== null) parent.failure ??= failure
    parent.left -= count
    if (parent.left > 0) return
    if (parent.failure === null) parent.receipt.settle()
    else parent.receipt.fail(parent.failure)
  }

  /** Earlier marks wait for no more than later ones, so the first that must wait stops all. */
  #passMarks(): void {
    for (
      let first = this.#marks[0];
      first !== undefined && this.#writtenUntil(first.position);
      first = this.#marks[0]
    ) {
      this.#marks.shift()
      this.error.next(batch(noMessages, first.receipt, first.scope, first.mark))
    }
  }

  #writtenUntil(position: number): boolean {
    if (this.#taken < position) return false
    for (const begin of this.#writes) if (begin < position) return false
    return true
  }
}

/** The batch of the message at an index over several parts. */
function parentAt(open: readonly Part[], index: number): Parent {
  let at = index
  for (const part of open) {
    if (at < part.messages.length) return part.parent
    at -= part.messages.length
  }
  throw new RangeError(`there is no message ${index} in this write`)
}
