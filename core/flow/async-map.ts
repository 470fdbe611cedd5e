import type { Observable } from 'rxjs'
import { Subject } from 'rxjs'
import type { AsyncLimits, AsyncWork } from '../define.ts'
import type { OnError } from '../document/document.ts'
import type { Clock } from '../host.ts'
import type { Batch, Mark } from './batch.ts'
import { batch, noMessages } from './batch.ts'
import { Deadline, wait } from './deadline.ts'
import { edge } from './edge.ts'
import type { Failure } from './failure.ts'
import { failureOf } from './failure.ts'
import type { Key, Message } from './message.ts'
import { withValue } from './message.ts'
import type { Receipt } from './receipt.ts'
import { joinFlying } from './receipt.ts'
import type { Scope } from './scope.ts'

const outputMessagesMax = 256

export interface AsyncContext {
  readonly node: string
  readonly clock: Clock
  readonly onError: OnError
  /** Aborted when the pipeline is released. */
  readonly signal: AbortSignal
  /** Called when `onError: stop` meets its error, or work was cut. */
  readonly stop: (failure: Failure, scope: Scope) => void
}

/** What comes out of work that takes time: results, and the messages that failed with their causes. */
export interface TwoPorts {
  readonly out: Observable<Batch>
  readonly error: Observable<Batch>
}

/**
 * Runs asynchronous work on messages: bounded, in one of four orders, with marks as fences.
 * It makes no inner observables; results of one turn leave as one batch whose receipt stands for the inputs that they came from.
 */
export function asyncMap(
  work: AsyncWork,
  limits: AsyncLimits,
  context: AsyncContext,
): (input: Observable<Batch>) => TwoPorts {
  return (input) => {
    const mapper = new AsyncMapper(work, limits, context)
    edge(input, (next) => mapper.accept(next))
    return { out: mapper.out, error: mapper.error }
  }
}

/** An input batch whose messages are being worked on. It owns one hold of the receipt until the last is done. */
interface Parent {
  readonly receipt: Receipt
  left: number
  failure: Failure | null
}

/**
 * Messages between two fences of a scope. Results of a later segment wait until the earlier ones have left.
 * In input order every message is a segment of its own.
 */
interface Segment {
  left: number
  readonly results: { readonly port: 'out' | 'error'; readonly message: Message; readonly parent: Parent }[]
  readonly mark: Mark | null
  readonly markReceipt: Receipt | null
}

interface Job {
  readonly message: Message
  readonly scope: Scope
  readonly parent: Parent
  readonly segment: Segment
}

class AsyncMapper {
  readonly out = new Subject<Batch>()
  readonly error = new Subject<Batch>()
  readonly #work: AsyncWork
  readonly #limits: AsyncLimits
  readonly #context: AsyncContext
  readonly #segments = new Map<Scope, Segment[]>()
  #waiting: Job[] = []
  #waitingHead = 0
  #running = 0
  /** What waits behind the work on a key or a scope. */
  readonly #busy = new Map<string | Scope | null, Job[]>()
  readonly #buffers = new Map<Scope, { out: Buffered; error: Buffered }>()
  #flushPlanned = false

  constructor(work: AsyncWork, limits: AsyncLimits, context: AsyncContext) {
    this.#work = work
    this.#limits = limits
    this.#context = context
  }

  accept(input: Batch): void {
    const segments = this.#segments.get(input.scope) ?? []
    if (segments.length === 0) this.#segments.set(input.scope, segments)
    const count = input.messages.length
    if (input.mark !== null && count > 0) input.receipt.retain(1)
    if (count > 0) {
      const parent: Parent = { receipt: input.receipt, left: count, failure: null }
      for (const message of input.messages) {
        const segment = this.#openSegment(segments)
        segment.left += 1
        this.#enqueue({ message, scope: input.scope, parent, segment })
      }
    } else if (input.mark === null) input.receipt.settle()
    if (input.mark !== null) segments.push({ left: 0, results: [], mark: input.mark, markReceipt: input.receipt })
    this.#release(input.scope, segments)
  }

  #openSegment(segments: Segment[]): Segment {
    const last = segments.at(-1)
    if (this.#limits.order !== 'input' && last !== undefined && last.mark === null) return last
    const segment: Segment = { left: 0, results: [], mark: null, markReceipt: null }
    segments.push(segment)
    return segment
  }

  #enqueue(job: Job): void {
    if (this.#oneByOne) {
      const line = this.#lineOf(job)
      const behind = this.#busy.get(line)
      if (behind !== undefined) {
        behind.push(job)
        return
      }
      this.#busy.set(line, [])
    }
    if (this.#running < this.#limits.concurrency) this.#start(job)
    else this.#waiting.push(job)
  }

  #start(job: Job): void {
    this.#running += 1
    void this.#attempt(job).then(() => {
      this.#running -= 1
      if (this.#oneByOne) this.#nextOf(this.#lineOf(job))
      this.#startWaiting()
    })
  }

  get #oneByOne(): boolean {
    return this.#limits.order === 'key' || this.#limits.order === 'scope'
  }

  #lineOf(job: Job): string | Scope | null {
    return this.#limits.order === 'scope' ? job.scope : textOf(job.message.key)
  }

  #nextOf(line: string | Scope | null): void {
    const next = this.#busy.get(line)?.shift()
    if (next === undefined) this.#busy.delete(line)
    // Behind those that wait already: a key that always has more would never let them begin.
    else this.#waiting.push(next)
  }

  #startWaiting(): void {
    while (this.#running < this.#limits.concurrency && this.#waitingHead < this.#waiting.length) {
      const job = this.#waiting[this.#waitingHead++]
      if (job !== undefined) this.#start(job)
    }
    if (this.#waitingHead > 1024 && this.#waitingHead * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#waitingHead)
      this.#waitingHead = 0
    }
  }

  async #attempt(job: Job): Promise<void> {
    const { clock, onError, node } = this.#context
    for (let attempt = 0; ; attempt++) {
      try {
        const result = await this.#workWithin(job)
        this.#deliver(job, 'out', result === null ? noMessages : isMany(result) ? result : [result])
        return
      } catch (thrown) {
        const failure = failureOf(thrown, node)
        if (job.scope.aborted || this.#context.signal.aborted) return this.#cut(job, failure)
        if (onError.kind === 'retry' && failure.retriable && attempt < onError.attemptsMax) {
          await wait(clock, backoff(onError, attempt), [job.scope, this.#context.signal])
          continue
        }
        if (onError.kind === 'stop') {
          this.#context.stop(failure, job.scope)
          return this.#cut(job, failure)
        }
        const failed =
          onError.kind === 'drop' ? noMessages : [withValue(job.message, { error: failure, value: job.message.value })]
        return this.#deliver(job, 'error', failed)
      }
    }
  }

  async #workWithin(job: Job): Promise<Message | readonly Message[] | null> {
    const deadline = new Deadline(this.#context.clock, this.#limits.timeoutMs, this.#context.node, [
      job.scope,
      this.#context.signal,
    ])
    try {
      deadline.signal.throwIfAborted()
      return await deadline.race(this.#work(job.message, deadline.signal, job.scope))
    } finally {
      deadline.clear()
    }
  }

  #cut(job: Job, failure: Failure): void {
    job.parent.failure ??= failure
    this.#deliver(job, 'error', noMessages)
  }

  /** Notes a job's results and lets leave what may leave. The parent is retained for results before its own hold can end. */
  #deliver(job: Job, port: 'out' | 'error', messages: readonly Message[]): void {
    const { parent, segment, scope } = job
    for (const message of messages) {
      parent.receipt.retain(1)
      segment.results.push({ port, message, parent })
    }
    parent.left -= 1
    segment.left -= 1
    if (parent.left === 0) {
      if (parent.failure === null) parent.receipt.settle()
      else parent.receipt.fail(parent.failure)
    }
    const segments = this.#segments.get(scope)
    if (segments !== undefined) this.#release(scope, segments)
  }

  /** Moves the results of the first segments into the output buffers, and marks out behind them. */
  #release(scope: Scope, segments: Segment[]): void {
    while (segments[0] !== undefined) {
      const first = segments[0]
      for (const result of first.results) this.#buffer(scope, result.port, result.message, result.parent)
      first.results.length = 0
      if (first.left > 0) return
      if (first.mark === null && this.#limits.order !== 'input' && segments.length === 1) break
      segments.shift()
      if (first.mark !== null && first.markReceipt !== null) {
        this.#flush(scope)
        first.markReceipt.retain(1)
        this.out.next(batch(noMessages, first.markReceipt, scope, first.mark))
        this.error.next(batch(noMessages, first.markReceipt, scope, first.mark))
      }
    }
    this.#segments.delete(scope)
  }

  #buffer(scope: Scope, port: 'out' | 'error', message: Message, parent: Parent): void {
    let buffers = this.#buffers.get(scope)
    if (buffers === undefined) {
      buffers = { out: new Buffered(), error: new Buffered() }
      this.#buffers.set(scope, buffers)
    }
    buffers[port].add(message, parent.receipt)
    if (buffers[port].messages.length >= outputMessagesMax) this.#flush(scope)
    else if (!this.#flushPlanned) {
      this.#flushPlanned = true
      queueMicrotask(() => {
        this.#flushPlanned = false
        for (const each of [...this.#buffers.keys()]) this.#flush(each)
      })
    }
  }

  #flush(scope: Scope): void {
    const buffers = this.#buffers.get(scope)
    if (buffers === undefined) return
    this.#buffers.delete(scope)
    if (buffers.out.messages.length > 0) this.out.next(buffers.out.batch(scope))
    if (buffers.error.messages.length > 0) this.error.next(buffers.error.batch(scope))
  }
}

/** Results of one turn with one hold for each of them. */
class Buffered {
  readonly messages: Message[] = []
  readonly #holds: Receipt[] = []

  add(message: Message, hold: Receipt): void {
    // One hold per distinct parent is enough: a second one from the same parent ends here.
    if (this.#holds.includes(hold)) hold.settle()
    else this.#holds.push(hold)
    this.messages.push(message)
  }

  batch(scope: Scope): Batch {
    const only = this.#holds.length === 1 ? this.#holds[0] : undefined
    const receipt = only ?? joinFlying(this.#holds, { messages: this.messages.length, bytes: 0 })
    return batch(this.messages, receipt, scope)
  }
}

/** Keys of bytes are the same when their bytes are. */
function textOf(key: Key): string | null {
  return typeof key === 'object' && key !== null ? oneCharAByte.decode(key) : key
}

const oneCharAByte = new TextDecoder('latin1')

function isMany(result: Message | readonly Message[]): result is readonly Message[] {
  return Array.isArray(result)
}

/** Milliseconds before the retry after attempt number `attempt` (0 …): doubled each time, up to a limit. */
export function backoff(onError: Extract<OnError, { kind: 'retry' }>, attempt: number): number {
  return Math.min(onError.backoffMs * 2 ** attempt, onError.backoffMsMax)
}
