import type { Kernel } from '../define.ts'
import type { PlannedNode, PlannedStage } from '../document/plan.ts'
import type { BatchInput } from '../expressions/ir.ts'
import type { Batch } from '../flow/batch.ts'
import { batch } from '../flow/batch.ts'
import type { Failure } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import { withValue } from '../flow/message.ts'
import { Scope } from '../flow/scope.ts'
import type { Clock, Span } from '../host.ts'
import { explainError } from './explain-error.ts'
import type { Outlet } from './outlet.ts'
import type { StageRuntimeDoor } from './stage-text.ts'

/** A loop in one of its forms: generated, interpreted, or around a kernel. */
export type Loop = (
  messages: readonly Message[],
  batch: BatchInput,
  exits: Message[][],
  runtime: StageRuntimeDoor,
  scope: Scope,
) => void

/** What counts a stage's work; absent when telemetry is compiled out. */
export interface StageCounts {
  in: number
  batches: number
  busyMs: number
  /** By node index. */
  readonly errors: Map<number, number>
  /** One per counter of the loop. */
  readonly ports: number[]
}

/** Who hears of messages that fail inside a synchronous stage. */
export interface ErrorRoutes {
  /** Index of the exit that takes a node's errors; the one past the last exit is the dead-letter; null drops. */
  exitOf(node: number): number | null
  /** The node says `onError: stop`. */
  stops(node: number): boolean
  nodeOf(node: number): PlannedNode
  /** Who looks at a node's error port; the list lives. */
  readersOf(node: number): readonly ((messages: readonly Message[]) => void)[]
}

const noScope = new Scope(0, 0, null)

/**
 * Runs a synchronous stage: one loop over the messages of a batch, an array per exit, and the receipt's arithmetic.
 * The loop sits in one slot, so that an instrumented twin can take its place between two batches.
 */
export class SyncStage implements StageRuntimeDoor {
  loop: Loop
  readonly counts: number[] | null = null
  readonly #stage: PlannedStage
  readonly #outlets: readonly Outlet[]
  readonly #deadLetter: (batch: Batch) => void
  readonly #routes: ErrorRoutes
  readonly #inputOf: (scope: Scope) => BatchInput
  #exits: Message[][] = []
  #scope: Scope = noScope
  #stop: { failure: Failure } | null = null
  readonly taps: ((message: Message) => void)[] = []

  constructor(
    stage: PlannedStage,
    loop: Loop,
    outlets: readonly Outlet[],
    deadLetter: (batch: Batch) => void,
    routes: ErrorRoutes,
    inputOf: (scope: Scope) => BatchInput,
  ) {
    this.#stage = stage
    this.loop = loop
    this.#outlets = outlets
    this.#deadLetter = deadLetter
    this.#routes = routes
    this.#inputOf = inputOf
  }

  accept(input: Batch): void {
    const { messages } = input
    const exits: Message[][] = []
    for (let i = 0; i <= this.#outlets.length; i++) exits.push([])
    if (messages.length > 0) {
      this.#exits = exits
      this.#scope = input.scope
      this.run(messages, input.scope, exits)
    }
    this.#distribute(input, exits)
  }

  protected run(messages: readonly Message[], scope: Scope, exits: Message[][]): void {
    this.loop(messages, this.#inputOf(scope), exits, this, scope)
  }

  /** Called by the loop: sends one message to its node's error port. */
  error(node: number, original: Message, value: unknown, thrown: unknown): void {
    const failure = explainError(this.#routes.nodeOf(node), original, value, this.#inputOf(this.#scope), thrown)
    if (this.#routes.stops(node)) this.#stop ??= { failure }
    else {
      const exit = this.#routes.exitOf(node)
      const readers = this.#routes.readersOf(node)
      if (exit === null && readers.length === 0) return
      const failed = withValue(original, { error: failure, value })
      for (const read of readers) read([failed])
      if (exit !== null) this.#exits[exit]?.push(failed)
    }
  }

  tapped(tap: number, original: Message, value: unknown): void {
    this.taps[tap]?.(withValue(original, value))
  }

  #distribute(input: Batch, exits: readonly Message[][]): void {
    const { receipt, scope, mark } = input
    const outlets = this.#outlets
    let holders = 0
    let emitted = 0
    for (let i = 0; i < outlets.length; i++) {
      const count = exits[i]?.length ?? 0
      emitted += count
      if (count > 0 || mark !== null) holders += 1
    }
    const dead = exits[outlets.length] ?? []
    if (dead.length > 0) holders += 1
    const stop = this.#stop
    this.#stop = null
    if (stop !== null) holders += 1
    emitted += dead.length
    if (emitted > input.messages.length) receipt.grow({ messages: emitted - input.messages.length, bytes: 0 })
    if (holders === 0) {
      receipt.settle()
      return
    }
    if (holders > 1) receipt.retain(holders - 1)
    for (let i = 0; i < outlets.length; i++) {
      const messages = exits[i]
      if (messages !== undefined && (messages.length > 0 || mark !== null))
        outlets[i]?.send(batch(messages, receipt, scope, mark))
    }
    if (dead.length > 0) this.#deadLetter(batch(dead, receipt, scope))
    if (stop !== null) {
      receipt.fail(stop.failure)
      scope.owner?.broke(scope, stop.failure)
    }
  }

  get stage(): PlannedStage {
    return this.#stage
  }
}

/** A stage that counts its work: telemetry is this class in place of the other, not a switch inside it. */
export class MeteredStage extends SyncStage {
  override readonly counts: number[]
  readonly #stats: StageCounts
  readonly #clock: Clock

  constructor(stats: StageCounts, clock: Clock, ...rest: ConstructorParameters<typeof SyncStage>) {
    super(...rest)
    this.#stats = stats
    this.counts = stats.ports
    this.#clock = clock
  }

  override error(node: number, original: Message, value: unknown, thrown: unknown): void {
    this.#stats.errors.set(node, (this.#stats.errors.get(node) ?? 0) + 1)
    super.error(node, original, value, thrown)
  }

  protected override run(messages: readonly Message[], scope: Scope, exits: Message[][]): void {
    const begin = this.#clock.elapsed()
    super.run(messages, scope, exits)
    this.#stats.busyMs += this.#clock.elapsed() - begin
    this.#stats.in += messages.length
    this.#stats.batches += 1
  }
}

/** One batch in so many is a span; the first one of a stage always is. */
const spanEvery = 64

/** A metered stage that hands a span of every 64th batch to the host. */
export class TracedStage extends MeteredStage {
  readonly #clock: Clock
  readonly #nodes: readonly string[]
  readonly #span: (span: Omit<Span, 'workflow'>) => void
  #batches = 0

  constructor(
    span: (span: Omit<Span, 'workflow'>) => void,
    nodes: readonly string[],
    ...rest: ConstructorParameters<typeof MeteredStage>
  ) {
    super(...rest)
    this.#span = span
    this.#nodes = nodes
    this.#clock = rest[1]
  }

  protected override run(messages: readonly Message[], scope: Scope, exits: Message[][]): void {
    if (this.#batches++ % spanEvery !== 0) {
      super.run(messages, scope, exits)
      return
    }
    const startMs = this.#clock.now()
    const begin = this.#clock.elapsed()
    super.run(messages, scope, exits)
    this.#span({
      execution: scope.owner?.executionId(scope) ?? '',
      nodes: this.#nodes,
      startMs,
      durationMs: this.#clock.elapsed() - begin,
      messagesIn: messages.length,
      messagesOut: exits.reduce((sum, exit) => sum + exit.length, 0),
    })
  }
}

/** The loop around a kernel; `readers` look at its ports, and their lists live. What a message emitted before it threw is taken back, so that it succeeds or fails whole. */
export function kernelLoop(
  node: PlannedNode,
  kernel: Kernel,
  exitOfPort: readonly (number | null)[],
  emitsMax: number,
  readers: readonly (readonly ((messages: readonly Message[]) => void)[])[],
): Loop {
  const looked: { readonly port: number; readonly message: Message }[] = []
  let exits: Message[][] = []
  let emitted = 0
  const portCounts: number[] = exitOfPort.map(() => 0)
  const emit = (message: Message, port = 0): void => {
    if (++emitted > emitsMax) throw new RangeError(`${node.id} made more than ${emitsMax} messages of one`)
    portCounts[port] = (portCounts[port] ?? 0) + 1
    const exit = exitOfPort[port]
    if (exit !== null && exit !== undefined) exits[exit]?.push(message)
    if ((readers[port]?.length ?? 0) > 0) looked.push({ port, message })
  }
  return (messages, _batch, into, runtime, scope) => {
    exits = into
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]
      if (message === undefined) continue
      emitted = 0
      const before = into.map((each) => each.length)
      try {
        kernel(message, emit, scope)
        if (looked.length > 0)
          for (const each of looked.splice(0)) for (const read of readers[each.port] ?? []) read([each.message])
      } catch (thrown) {
        looked.length = 0
        into.forEach((each, index) => {
          each.length = before[index] ?? 0
        })
        runtime.error(node.index, message, message.value, thrown)
      }
    }
    const { counts } = runtime
    if (counts !== null)
      for (let port = 0; port < portCounts.length; port++) {
        counts[port] = (counts[port] ?? 0) + (portCounts[port] ?? 0)
        portCounts[port] = 0
      }
  }
}
