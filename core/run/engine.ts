import { Subject } from 'rxjs'
import type { StageCounts } from '../compile/stage.ts'
import type { Face, NodeContext, Source } from '../define.ts'
import type { Plan, PlannedNode, PlannedStage } from '../document/plan.ts'
import type { BatchInput } from '../expressions/ir.ts'
import type { Batch } from '../flow/batch.ts'
import { createGate } from '../flow/credits.ts'
import type { Failure } from '../flow/failure.ts'
import { NodeError } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import { message } from '../flow/message.ts'
import type { Scope } from '../flow/scope.ts'
import type { Host } from '../host.ts'
import type { Execution, NodeMetrics, Pipeline, PipelineMetrics } from '../pipeline.ts'
import { Run } from './run.ts'
import { StreamRun } from './stream-run.ts'
import type { Trigger } from './trigger.ts'

export interface Tap {
  readonly key: string
  readonly read: (message: Message) => void
}

/** What a compiled pipeline is made of at run time: its triggers, executions, counters and taps. */
export class Engine {
  readonly plan: Plan
  readonly host: Host
  /** Whether stages count their messages; compiled in or out. */
  readonly countsPorts: boolean
  readonly #controller = new AbortController()
  readonly #triggers = new Map<string, Trigger>()
  readonly #runs = new Map<string, Run>()
  readonly #started = new Subject<Execution>()
  readonly #counts = new Map<number, StageCounts>()
  readonly #counters = new Map<number, readonly { readonly node: number; readonly port: string }[]>()
  readonly #portTaps = new Map<string, ((messages: readonly Message[]) => void)[]>()
  readonly #tappers = new Map<number, (taps: readonly Tap[]) => void>()
  readonly #stageTaps = new Map<number, Tap[]>()
  readonly #shared = new Map<string, unknown>()
  readonly #cleanups: (() => void | Promise<void>)[] = []
  readonly #closing = new Set<Promise<unknown>>()
  readonly #prefix: string
  #scopes = 0
  #states = 0
  #stream: StreamRun | null = null
  #released = false

  constructor(plan: Plan, host: Host) {
    this.plan = plan
    this.host = host
    this.countsPorts = plan.settings.telemetry !== 'off'
    this.#prefix = host.id()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  executionId(scope: number): string {
    return `${this.#prefix}-${scope.toString(36)}`
  }

  /** What a batch's expressions read besides the message; made once per batch. */
  batchInput(scope: Scope): BatchInput {
    return new BatchView(this, scope)
  }

  addTrigger(
    node: PlannedNode,
    face: Extract<Face<unknown>, { kind: 'event-trigger' | 'stream-trigger' }>,
    context: NodeContext,
    ports: readonly ((batch: Batch) => void)[],
  ): void {
    const entry = this.plan.entries.find((each) => each.node === node.index)
    const { inFlightMax, inFlightBytesMax } = this.plan.settings
    this.#triggers.set(node.id, {
      node,
      lifetime: entry?.lifetime ?? 'event',
      group: entry?.group ?? 0,
      face,
      context,
      gate: createGate({ messages: inFlightMax, bytes: inFlightBytesMax }),
      ports,
      source: null,
    })
  }

  countsOf(
    stage: PlannedStage,
    counters: readonly { readonly node: number; readonly port: string }[],
  ): StageCounts | null {
    if (!this.countsPorts) return null
    let counts = this.#counts.get(stage.index)
    if (counts === undefined) {
      counts = { in: 0, batches: 0, busyMs: 0, errors: new Map(), ports: counters.map(() => 0) }
      this.#counts.set(stage.index, counts)
      this.#counters.set(stage.index, counters)
    }
    return counts
  }

  /** A free slot for a node's state in every scope. */
  stateSlot(): number {
    return this.#states++
  }

  shared<T>(key: string, make: () => T): T {
    if (!this.#shared.has(key)) this.#shared.set(key, make())
    // What stands under a key was made by the nodes that know the key, and has their type.
    return this.#shared.get(key) as T
  }

  onRelease(cleanup: () => void | Promise<void>): void {
    this.#cleanups.push(cleanup)
  }

  addTapper(stage: PlannedStage, retap: (taps: readonly Tap[]) => void): void {
    this.#tappers.set(stage.index, retap)
  }

  /** The readers of a port outside loop stages; the list lives, so that a reader may come and go. */
  tapOf(node: string, port: string): ((messages: readonly Message[]) => void)[] {
    const key = `${node}.${port}`
    const known = this.#portTaps.get(key)
    if (known !== undefined) return known
    const made: ((messages: readonly Message[]) => void)[] = []
    this.#portTaps.set(key, made)
    return made
  }

  openRun(trigger: Trigger, ended: ((failure: Failure | null) => void) | null = null, id: string | null = null): Run {
    if (this.#released) throw new NodeError('workflow.released', 'the workflow has been stopped')
    const run = new Run(this, trigger, ++this.#scopes, ended, id)
    this.#add(run)
    return run
  }

  runOf(scope: Scope): Run | undefined {
    return scope.owner instanceof Run ? scope.owner : undefined
  }

  finished(run: Run): void {
    this.#runs.delete(run.id)
    if (run === this.#stream) this.#stream = null
  }

  /** Notes a closing that `release` must wait for. */
  closing(promise: Promise<void>): void {
    const noted = promise.catch((thrown: unknown) =>
      this.host.log.write('warn', `closing a source failed: ${String(thrown)}`),
    )
    this.#closing.add(noted)
    void noted.then(() => this.#closing.delete(noted))
  }

  pipeline(sourceOf: (stage: number) => string): Pipeline {
    const runs: ReadonlyMap<string, Execution> = this.#runs
    return {
      plan: this.plan,
      executions: runs,
      started$: this.#started,
      sourceOf,
      start: (entry, input, id) => this.#start(entry, input, id ?? null),
      open: () => this.#open(),
      metrics: () => this.#metrics(),
      tap: (node, port, read) => this.#tap(node, port, read),
      release: (limitMs) => this.#release(limitMs),
    }
  }

  #add(run: Run): void {
    this.#runs.set(run.id, run)
    if (this.#started.observed) this.#started.next(run)
  }

  #start(entry: string, input: readonly Message[] = [], id: string | null = null): Execution {
    const trigger = this.#triggers.get(entry)
    if (trigger === undefined)
      throw new NodeError(
        'execution.unknown-entry',
        `there is no trigger ${JSON.stringify(entry)}; the workflow has ${[...this.#triggers.keys()].join(', ')}`,
      )
    if (trigger.lifetime === 'stream') return this.#startStream(id)
    const run = this.openRun(trigger, null, id)
    const size = { messages: input.length, bytes: 0 }
    trigger.gate.overdraw(size)
    run.emitWhole(input, size)
    return run
  }

  #startStream(id: string | null = null): Execution {
    if (this.#stream !== null) return this.#stream
    if (this.#released) throw new NodeError('workflow.released', 'the workflow has been stopped')
    const run = new StreamRun(this, this.#streamTriggers(), ++this.#scopes, id)
    this.#stream = run
    this.#add(run)
    void run.open()
    return run
  }

  #streamTriggers(): readonly Trigger[] {
    return [...this.#triggers.values()].filter((trigger) => trigger.lifetime === 'stream')
  }

  async #open(): Promise<Execution | null> {
    for (const trigger of this.#triggers.values()) {
      if (trigger.lifetime === 'stream' || trigger.source !== null) continue
      trigger.source = await trigger.face.open(trigger.node.config, {
        ...trigger.context,
        gate: trigger.gate,
        lifetime: 'event',
        get streamScope(): never {
          throw new Error('an event trigger has no stream execution')
        },
        emit: (port, messages, scope, ticket, size) => this.runOf(scope)?.emit(port, messages, ticket, size, null),
        openScope: (ended) => this.openRun(trigger, ended ?? null).scope,
        endScope: (scope) => this.runOf(scope)?.end(),
        mark: () => {
          throw new Error('an event trigger has no stream execution')
        },
        complete: () => undefined,
        fail: (failure) => this.host.log.write('error', failure.message, { node: trigger.node.id, code: failure.code }),
      })
    }
    return this.#streamTriggers().length > 0 ? this.#startStream() : null
  }

  /** Counts per node: where a port is not counted, all that entered and did not fail has left by it. */
  #metrics(): PipelineMetrics | null {
    if (!this.countsPorts) return null
    const nodes: Record<string, NodeMetrics> = {}
    let inFlight = 0
    let inFlightMax = 0
    for (const trigger of this.#triggers.values()) {
      inFlight += trigger.gate.inFlight.messages
      inFlightMax += trigger.gate.limit.messages
    }
    for (const stage of this.plan.stages) {
      const counts = this.#counts.get(stage.index)
      const counters = this.#counters.get(stage.index) ?? []
      const incoming = new Map<number, number>([[stage.nodes[0] ?? -1, counts?.in ?? 0]])
      for (const index of stage.nodes) {
        const node = this.plan.nodes[index]
        if (node === undefined) continue
        const entered = incoming.get(index) ?? 0
        const errors = counts?.errors.get(index) ?? 0
        let left = 0
        for (const port of node.outputs) {
          const at = counters.findIndex((each) => each.node === index && each.port === port)
          const passed = at >= 0 ? (counts?.ports[at] ?? 0) : node.outputs.length === 1 ? entered - errors : 0
          left += passed
          const next = stage.routes.find((route) => route.node === index && route.port === port)?.next
          if (next !== null && next !== undefined) incoming.set(next, (incoming.get(next) ?? 0) + passed)
        }
        nodes[node.id] = { in: entered, out: left, errors, busyMs: counts?.busyMs ?? 0 }
      }
    }
    return { nodes, inFlight, inFlightMax }
  }

  #tap(node: string, port: string, reader: (messages: readonly Message[]) => void): () => void {
    // Whoever looks on must not be able to break what it looks at.
    const read = (messages: readonly Message[]): void => {
      if (messages.length === 0) return
      try {
        reader(messages)
      } catch (thrown) {
        this.host.log.write('warn', `a reader of ${node}.${port} threw: ${String(thrown)}`, { node })
      }
    }
    const planned = this.plan.nodes.find((each) => each.id === node)
    if (planned === undefined) throw new NodeError('tap.unknown-node', `there is no node ${JSON.stringify(node)}`)
    const retap = this.#tappers.get(planned.stage)
    if (retap === undefined || port === 'error') {
      const readers = this.tapOf(node, port)
      readers.push(read)
      return () => void readers.splice(readers.indexOf(read), 1)
    }
    const taps = this.#stageTaps.get(planned.stage) ?? []
    const tap: Tap = { key: `${planned.index}.${port}`, read: (each) => read([each]) }
    this.#stageTaps.set(planned.stage, taps)
    taps.push(tap)
    retap(taps)
    return () => {
      taps.splice(taps.indexOf(tap), 1)
      retap(taps)
    }
  }

  async #release(limitMs: number = this.plan.settings.stopMsMax): Promise<void> {
    if (this.#released) return
    this.#released = true
    const sources: Source[] = []
    for (const trigger of this.#triggers.values()) {
      if (trigger.lifetime === 'event' && trigger.source !== null) sources.push(trigger.source)
      trigger.source?.pause()
    }
    await Promise.all([...this.#runs.values()].map((run) => run.stop(limitMs)))
    for (const source of sources) this.closing(source.close())
    this.#controller.abort(new NodeError('workflow.released', 'the workflow has been stopped'))
    for (const cleanup of this.#cleanups.splice(0).reverse()) this.closing(Promise.resolve(cleanup()))
    await Promise.all([...this.#closing])
    this.#started.complete()
  }
}

class BatchView implements BatchInput {
  readonly now: number
  readonly vars: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string>>
  readonly workflow: BatchInput['workflow']
  readonly #scope: Scope

  constructor(engine: Engine, scope: Scope) {
    this.#scope = scope
    this.now = engine.host.clock.now()
    this.vars = engine.host.vars()
    this.env = engine.host.env
    this.workflow = engine.plan.workflow
  }

  get execution(): BatchInput['execution'] {
    return { id: this.#scope.owner?.executionId(this.#scope) ?? '', mode: this.#scope.group === 0 ? 'stream' : 'event' }
  }
}

/** Messages of plain values, at a time. */
export function messagesOf(values: readonly unknown[], now: number): readonly Message[] {
  return values.map((value) => message(value, null, now))
}
