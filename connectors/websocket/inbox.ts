import type { ScopeOpener, TriggerContext } from '../../core/define.ts'
import { failureOf } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Pump, Step } from '../../core/flow/pump.ts'
import { createPump } from '../../core/flow/pump.ts'
import type { Scope } from '../../core/flow/scope.ts'

/** Whoever has an execution of its own: a connection. */
export interface ScopeHolder extends ScopeOpener {
  /** Opened with its first message. */
  scope: Scope | null
  /** The execution is over, by itself or by somebody's hand: nothing more is emitted for it. */
  readonly executionOver: boolean
}

export interface InboxOwner {
  /** More has come than may wait: nothing more must come, from anywhere. */
  overfull(): void
  /** There is room again. */
  roomy(): void
}

/** Messages of one port and one execution: what becomes a batch. */
interface Run {
  readonly port: number
  readonly holder: ScopeHolder | null
  readonly messages: Message[]
  bytes: number
  /** The holder's execution ends behind it. */
  last: boolean
}

/**
 * What sockets have brought and the gate has not let through yet, in the order in which it came. What all sockets bring in one turn of the
 * event loop leaves together; another port or another execution begins another batch, so that order holds across ports.
 * It is bounded by the gate's own limit: from there on whoever fills it must keep its sockets from reading.
 */
export class Inbox {
  readonly #context: TriggerContext
  readonly #owner: InboxOwner
  readonly #pump: Pump
  readonly #batchMessagesMax: number
  readonly #batchBytesMax: number
  #runs: Run[] = []
  #first = 0
  #tail: Run | null = null
  #messages = 0
  #bytes = 0
  /** Batches in flight, in case that they fail: values are never changed in place, so they can be sent as they are. */
  readonly #inFlight = new Map<number, readonly Message[]>()
  #tickets = 0
  #shut = false
  #paused = false
  #overfull = false
  #ended = false
  #now = -1

  constructor(context: TriggerContext, owner: InboxOwner) {
    const { gate, host, node } = context
    this.#context = context
    this.#owner = owner
    this.#batchMessagesMax = gate.batchMax.messages
    this.#batchBytesMax = gate.batchMax.bytes
    this.#pump = createPump(
      host.clock,
      gate,
      () => this.#step(),
      () => context.complete(),
      (thrown) => context.fail(failureOf(thrown, node)),
    )
  }

  /** Whoever brings more should be kept from it, now or when it next brings something. */
  get crowded(): boolean {
    return this.#shut || this.#paused || this.#overfull
  }

  /** As much waits as may: what still comes is too much. */
  get full(): boolean {
    const { limit } = this.#context.gate
    return this.#messages >= limit.messages || this.#bytes >= limit.bytes
  }

  /** Milliseconds since the epoch, read once per turn. */
  get now(): number {
    if (this.#now < 0 || this.crowded) this.#now = this.#context.host.clock.now()
    return this.#now
  }

  /** Time goes on, though nothing was pushed. */
  newTurn(): void {
    this.#now = -1
  }

  push(port: number, holder: ScopeHolder | null, message: Message, bytes: number, last = false): void {
    let run = this.#tail
    if (
      run === null ||
      run.port !== port ||
      run.holder !== holder ||
      run.messages.length >= this.#batchMessagesMax ||
      run.bytes + bytes > this.#batchBytesMax
    ) {
      run = { port, holder, messages: [], bytes: 0, last: false }
      this.#tail = run
      this.#runs.push(run)
    }
    run.messages.push(message)
    run.bytes += bytes
    run.last = last
    this.#messages += 1
    this.#bytes += bytes
    if (!this.#overfull && this.full) {
      this.#overfull = true
      this.#owner.overfull()
    }
    this.#pump.wake()
  }

  /** Takes back the oldest message of a port that still waits; false where there is none. */
  dropOldest(port: number): boolean {
    for (let at = this.#first; at < this.#runs.length; at++) {
      const run = this.#runs[at]
      if (run === undefined || run.port !== port || run.messages.length === 0) continue
      // How long each is was not kept.
      const bytes = Math.round(run.bytes / run.messages.length)
      run.messages.shift()
      run.bytes -= bytes
      this.#messages -= 1
      this.#bytes -= bytes
      return true
    }
    return false
  }

  /** Nothing more will come: when all has been emitted, the source is done. */
  end(): void {
    this.#ended = true
    this.#pump.wake()
  }

  closed(ticket: number): void {
    this.#inFlight.delete(ticket)
  }

  again(ticket: number): readonly Message[] | null {
    return this.#inFlight.get(ticket) ?? null
  }

  pause(): void {
    this.#paused = true
    this.#pump.pause()
  }

  resume(): void {
    this.#paused = false
    this.#pump.resume()
  }

  close(): void {
    this.#pump.close()
    this.#runs = []
    this.#tail = null
    this.#inFlight.clear()
  }

  #step(): Step {
    this.#now = -1
    const run = this.#runs[this.#first]
    if (run === undefined) return this.#rest()
    const { gate } = this.#context
    const { holder, messages, bytes } = run
    const size = { messages: messages.length, bytes }
    if (holder?.executionOver === true || messages.length === 0) {
      this.#drop(run)
      return 'emitted'
    }
    if (!gate.take(size)) {
      this.#shut = true
      return 'full'
    }
    this.#drop(run)
    const ticket = this.#tickets++
    this.#inFlight.set(ticket, messages)
    const scope = holder === null ? this.#context.streamScope : this.#scopeOf(holder)
    this.#context.emit(run.port, messages, scope, ticket, size)
    if (run.last && holder !== null) this.#context.endScope(scope)
    return 'emitted'
  }

  #scopeOf(holder: ScopeHolder): Scope {
    holder.scope ??= this.#context.openScope(holder)
    return holder.scope
  }

  #drop(run: Run): void {
    this.#runs[this.#first] = emptyRun
    this.#first += 1
    if (this.#tail === run) this.#tail = null
    this.#messages -= run.messages.length
    this.#bytes -= run.bytes
    // Cut when half of it is past, at amortised constant cost.
    if (this.#first > 1024 && this.#first * 2 > this.#runs.length) {
      this.#runs = this.#runs.slice(this.#first)
      this.#first = 0
    }
  }

  #rest(): Step {
    this.#runs = []
    this.#first = 0
    if (this.#shut || this.#overfull) {
      this.#shut = false
      this.#overfull = false
      this.#owner.roomy()
    }
    return this.#ended ? 'done' : 'idle'
  }
}

const emptyRun: Run = { port: 0, holder: null, messages: [], bytes: 0, last: false }
