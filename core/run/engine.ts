import { Subject } from 'rxjs'
import type { StageCounts } from '../compile/stage.ts'
import type { Face, NodeContext, ScopeOpener, Source } from '../define.ts'
import type { Plan, PlannedNode, PlannedStage } from '../document/plan.ts'
import type { BatchInput } from '../expressions/ir.ts'
import type { Batch } from '../flow/batch.ts'
import type { CreditGate } from '../flow/credits.ts'
import { createGate } from '../flow/credits.ts'
import { NodeError } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import { message } from '../flow/message.ts'
import type { Scope } from '../flow/scope.ts'
import type { Host } from '../host.ts'
import type {
  Ended,
  Execution,
  NodeMetrics,
  Outcome,
  Pipeline,
  PipelineMetrics,
  SampleLimits,
  SampleReport,
  SourceCommand,
  SourceReport,
} from '../pipeline.ts'
import type { RunOwner } from './run.ts'
import { Run } from './run.ts'
import { checkPort, Sampler } from './sampler.ts'
import { SharedThings } from './shared-things.ts'
import type { SourceRun } from './source-run.ts'
import type { KeptSource } from './stream-run.ts'
import { StreamRun } from './stream-run.ts'
import type { Trigger } from './trigger.ts'

/** A port of a loop stage that somebody looks at. */
export interface Tap {
  readonly key: string
  readonly read: (message: Message) => void
  readonly readers: ((messages: readonly Message[]) => void)[]
}

/** What a compiled pipeline is made of at run time: its triggers, executions, counters and taps. */
export class Engine {
  readonly plan: Plan
  readonly host: Host
  /** Whether stages count their messages; compiled in or out. */
  readonly countsPorts: boolean
  readonly shared: SharedThings
  readonly #controller = new AbortController()
  readonly #triggers = new Map<string, Trigger>()
  readonly #runs = new Map<string, Run>()
  readonly #started = new Subject<Execution>()
  readonly #ended = new Subject<Ended>()
  readonly #counts = new Map<number, StageCounts>()
  readonly #counters = new Map<number, readonly { readonly node: number; readonly port: string }[]>()
  readonly #portTaps = new Map<string, ((messages: readonly Message[]) => void)[]>()
  readonly #tappers = new Map<number, (taps: readonly Tap[]) => void>()
  readonly #stageTaps = new Map<number, Tap[]>()
  readonly #samplers = new Set<() => void>()
  readonly #cleanups: (() => void | Promise<void>)[] = []
  readonly #closing = new Set<Promise<unknown>>()
  readonly #prefix: string
  #scopes = 0
  #states = 0
  #deadLetters = 0
  #stream: StreamRun | null = null
  #released = false

  constructor(plan: Plan, host: Host, before: Pipeline | null) {
    this.plan = plan
    this.host = host
    this.shared = (before === null ? undefined : engines.get(before))?.shared ?? new SharedThings()
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

  deadLettered(messages: number): void {
    this.#deadLetters += messages
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

  /** Opens an execution; `owner` hears of its end in place of the engine. */
  openRun(trigger: Trigger, opener: ScopeOpener | null = null, id: string | null = null, owner: RunOwner = this): Run {
    if (this.#released) throw new NodeError('workflow.released', 'the workflow has been stopped')
    const run = new Run(owner, trigger, ++this.#scopes, opener, id)
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

  announce(run: Run, outcome: Outcome): void {
    if (this.#ended.observed) this.#ended.next({ execution: run, outcome })
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
    const pipeline: Pipeline = {
      plan: this.plan,
      executions: runs,
      started$: this.#started,
      ended$: this.#ended,
      sourceOf,
      start: (entry, input, id) => this.#start(entry, input, id ?? null),
      open: (before) => this.#open(before),
      metrics: () => this.#metrics(),
      sources: () => this.#stream?.reports() ?? [],
      control: (command) => this.#control(command),
      tap: (node, port, read) => this.#tap(node, port, read),
      sample: (node, port, limits, read) => this.#sample(node, port, limits, read),
      release: (limitMs) => this.#release(limitMs),
      rest: () => this.#rest(),
    }
    engines.set(pipeline, this)
    return pipeline
  }

  /** The source that a batch came from in the end, if it is one of the long-lived execution. */
  sourceOf(gate: CreditGate | null): SourceRun | undefined {
    return gate === null ? undefined : this.#stream?.sourceOf(gate)
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

  #startStream(id: string | null = null, kept?: ReadonlyMap<string, KeptSource>): Execution {
    if (this.#stream !== null) return this.#stream
    if (this.#released) throw new NodeError('workflow.released', 'the workflow has been stopped')
    const run = new StreamRun(this, this.#streamTriggers(), ++this.#scopes, id)
    this.#stream = run
    this.#add(run)
    void run.open(kept)
    return run
  }

  #streamTriggers(): readonly Trigger[] {
    return [...this.#triggers.values()].filter((trigger) => trigger.lifetime === 'stream')
  }

  async #open(before: Pipeline | undefined): Promise<Execution | null> {
    const old = before === undefined ? undefined : engines.get(before)
    if (old === undefined) await before?.rest()
    else await old.#closeEvents()
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
        openScope: (opener) => this.openRun(trigger, opener ?? null).scope,
        endScope: (scope) => this.runOf(scope)?.end(),
        mark: () => {
          throw new Error('an event trigger has no stream execution')
        },
        complete: () => undefined,
        fail: (failure) => this.host.log.write('error', failure.message, { node: trigger.node.id, code: failure.code }),
      })
    }
    // The stream comes last: where a trigger does not open, the one before goes on with its own.
    const kept = old === undefined ? undefined : await old.#handOver(this)
    return this.#streamTriggers().length > 0 ? this.#startStream(null, kept) : null
  }

  async #closeEvents(): Promise<void> {
    for (const trigger of this.#triggers.values()) {
      const { source } = trigger
      if (trigger.lifetime === 'stream' || source === null) continue
      trigger.source = null
      await source.close()
    }
  }

  /** Lets another version take over: the stream drains, and sources that are the same in both stay open. */
  async #handOver(next: Engine): Promise<ReadonlyMap<string, KeptSource> | undefined> {
    const limitMs = this.plan.settings.stopMsMax
    return this.#stream?.handOver((trigger) => {
      const other = next.#triggers.get(trigger.node.id)
      return other !== undefined && sameSource(this, trigger, next, other)
    }, limitMs)
  }

  async #control(command: SourceCommand): Promise<readonly SourceReport[]> {
    const stream = this.#stream
    if (stream === null)
      throw new NodeError('source.not-running', `no stream execution of ${this.plan.workflow.name} is running`)
    const all = stream.sources
    const chosen = all.filter((each) => command.node === null || each.trigger.node.id === command.node)
    if (chosen.length === 0)
      throw new NodeError(
        'source.unknown',
        `there is no stream trigger ${JSON.stringify(command.node)}; the workflow has ${all.map((each) => each.trigger.node.id).join(', ')}`,
      )
    for (const each of chosen) {
      if (command.do !== 'seek') each.setPaused(command.do === 'pause')
      else if (each.trigger.source?.seek === undefined)
        throw new NodeError(
          'source.cannot-seek',
          `${each.trigger.node.id} (${each.trigger.node.type}) has no positions to go to`,
        )
      else await each.trigger.source.seek(command.to)
    }
    return stream.reports()
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
        let ended = 0
        for (const port of node.outputs) {
          const at = counters.findIndex((each) => each.node === index && each.port === port)
          const passed = at >= 0 ? (counts?.ports[at] ?? 0) : node.outputs.length === 1 ? entered - errors : 0
          left += passed
          if (!this.plan.edges.some((edge) => edge.from === index && edge.fromPort === port)) ended += passed
          const next = stage.routes.find((route) => route.node === index && route.port === port)?.next
          if (next !== null && next !== undefined) incoming.set(next, (incoming.get(next) ?? 0) + passed)
        }
        nodes[node.id] = { in: entered, out: left, ended, errors, busyMs: counts?.busyMs ?? 0 }
      }
    }
    return { nodes, inFlight, inFlightMax, deadLetters: this.#deadLetters, blocks: 0 }
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
    const planned = checkPort(this.plan, node, port)
    const retap = port === 'error' ? undefined : this.#tappers.get(planned.stage)
    if (retap === undefined) return attach(this.tapOf(node, port), read)
    const taps = this.#stageTaps.get(planned.stage) ?? []
    this.#stageTaps.set(planned.stage, taps)
    const key = `${planned.index}.${port}`
    // The loop holds one call for a port, however many read it.
    const tap = taps.find((each) => each.key === key) ?? newTap(key)
    const detach = attach(tap.readers, read)
    if (!taps.includes(tap)) {
      taps.push(tap)
      retap(taps)
    }
    return () => {
      detach()
      if (tap.readers.length > 0 || !taps.includes(tap)) return
      taps.splice(taps.indexOf(tap), 1)
      retap(taps)
    }
  }

  #sample(node: string, port: string, limits: SampleLimits, read: (report: SampleReport) => void): () => void {
    const sampler = new Sampler(limits, this.host.clock, read)
    const stop = (): void => {
      this.#samplers.delete(stop)
      sampler.close()
      detach()
    }
    let detach = (): void => undefined
    try {
      detach = this.#tap(node, port, (messages) => sampler.take(messages))
    } catch (thrown) {
      sampler.close()
      throw thrown
    }
    this.#samplers.add(stop)
    return stop
  }

  async #rest(): Promise<void> {
    await this.#closeEvents()
    await this.#stream?.stop()
    await Promise.all([...this.#closing])
  }

  async #release(limitMs: number = this.plan.settings.stopMsMax): Promise<void> {
    if (this.#released) return
    this.#released = true
    for (const stop of this.#samplers) stop()
    const sources: Source[] = []
    for (const trigger of this.#triggers.values()) {
      if (trigger.lifetime === 'event' && trigger.source !== null) sources.push(trigger.source)
      trigger.source?.pause()
    }
    await Promise.all([...this.#runs.values()].map((run) => run.stop(limitMs)))
    for (const source of sources) this.closing(source.close())
    this.#controller.abort(new NodeError('workflow.released', 'the workflow has been stopped'))
    for (const cleanup of this.#cleanups.splice(0).reverse()) this.closing(Promise.resolve(cleanup()))
    this.closing(this.shared.release(this))
    await Promise.all([...this.#closing])
    this.#started.complete()
    this.#ended.complete()
  }
}

function newTap(key: string): Tap {
  const readers: Tap['readers'] = []
  return {
    key,
    readers,
    read: (each) => {
      for (const read of readers) read([each])
    },
  }
}

/** Adds a reader to a list that lives; the answer removes it. */
function attach(readers: Tap['readers'], read: Tap['readers'][number]): () => void {
  readers.push(read)
  return () => {
    const at = readers.indexOf(read)
    if (at >= 0) readers.splice(at, 1)
  }
}

/** The engines behind pipelines, for those that take over from one another. */
const engines = new WeakMap<Pipeline, Engine>()

/** Whether one version's source serves the other as it is: type, config and all that its gate and its receipts follow. */
function sameSource(before: Engine, old: Trigger, next: Engine, other: Trigger): boolean {
  const form = (engine: Engine, trigger: Trigger): string => {
    const { delivery, lanes, inFlightMax, inFlightBytesMax } = engine.plan.settings
    const { type, config, outputs } = trigger.node
    const env = engine.host.env
    return JSON.stringify([type, config, outputs, delivery, lanes, inFlightMax, inFlightBytesMax, env])
  }
  return form(before, old) === form(next, other)
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
