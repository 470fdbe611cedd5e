import { BehaviorSubject, Subject } from 'rxjs'
import type { Plan } from '../../core/document/plan.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Host } from '../../core/host.ts'
import type {
  Ended,
  Execution,
  ExecutionState,
  NodeMetrics,
  Outcome,
  Pipeline,
  PipelineMetrics,
  SampleLimits,
  SampleReport,
  SourceCommand,
  SourceReport,
} from '../../core/pipeline.ts'
import { isolate } from './isolate.ts'
import type { IsolationOptions } from './thread.ts'

/**
 * Runs a stream workflow as several lanes, a thread each, with sources of their own that share the partitions: nothing crosses
 * threads on the way of the data. To the outside they are one pipeline with one execution; a lane that dies starts again alone.
 */
export function runLanes(plan: Plan, host: Host, options: IsolationOptions): Pipeline {
  return new LanedPipeline(plan, host, options)
}

class LanedPipeline implements Pipeline {
  readonly plan: Plan
  readonly executions = new Map<string, Execution>()
  readonly started$ = new Subject<Execution>()
  readonly ended$ = new Subject<Ended>()
  readonly #lanes: readonly Pipeline[]

  constructor(plan: Plan, host: Host, options: IsolationOptions) {
    this.plan = plan
    const count = plan.settings.lanes
    this.#lanes = Array.from({ length: count }, (_, index) =>
      isolate(plan, host, { ...options, lane: { index, count } }),
    )
  }

  sourceOf(): string {
    return ''
  }

  start(): Execution {
    const [only] = this.executions.values()
    if (only !== undefined) return only
    const [entry] = this.plan.entries
    const name = this.plan.nodes[entry?.node ?? -1]?.id ?? ''
    return this.#add(this.#lanes.map((lane) => lane.start(name)))
  }

  async open(before?: Pipeline): Promise<Execution | null> {
    const old = before instanceof LanedPipeline && before.#lanes.length === this.#lanes.length ? before.#lanes : []
    if (old.length === 0) await before?.release()
    const opened = await Promise.all(this.#lanes.map((lane, index) => lane.open(old[index])))
    return this.#add(opened.flatMap((each) => each ?? []))
  }

  metrics(): PipelineMetrics | null {
    const all = this.#lanes.flatMap((lane) => lane.metrics() ?? [])
    if (all.length === 0) return null
    const nodes: Record<string, NodeMetrics> = {}
    for (const each of all)
      for (const [id, more] of Object.entries(each.nodes)) {
        const sum = nodes[id] ?? { in: 0, out: 0, ended: 0, errors: 0, busyMs: 0 }
        nodes[id] = {
          in: sum.in + more.in,
          out: sum.out + more.out,
          ended: sum.ended + more.ended,
          errors: sum.errors + more.errors,
          busyMs: sum.busyMs + more.busyMs,
        }
      }
    const total = (of: (each: PipelineMetrics) => number): number => all.reduce((sum, each) => sum + of(each), 0)
    return {
      nodes,
      inFlight: total((each) => each.inFlight),
      inFlightMax: total((each) => each.inFlightMax),
      deadLetters: total((each) => each.deadLetters),
      blocks: total((each) => each.blocks),
    }
  }

  /** Partitions of all lanes together, by trigger. */
  sources(): readonly SourceReport[] {
    return merged(this.#lanes.flatMap((lane) => lane.sources()))
  }

  async control(command: SourceCommand): Promise<readonly SourceReport[]> {
    return merged((await Promise.all(this.#lanes.map((lane) => lane.control(command)))).flat())
  }

  tap(node: string, port: string, read: (messages: readonly Message[]) => void): () => void {
    const detach = this.#lanes.map((lane) => lane.tap(node, port, read))
    return () => {
      for (const each of detach) each()
    }
  }

  sample(node: string, port: string, limits: SampleLimits, read: (report: SampleReport) => void): () => void {
    const lanes = this.#lanes.length
    const share = {
      ...limits,
      perSecondMax: Math.max(1, limits.perSecondMax / lanes),
      examinedPerSecondMax: Math.max(1, limits.examinedPerSecondMax / lanes),
    }
    const stops = this.#lanes.map((lane) => lane.sample(node, port, share, read))
    return () => {
      for (const stop of stops) stop()
    }
  }

  async release(limitMs?: number): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.release(limitMs)))
    this.started$.complete()
    this.ended$.complete()
  }

  #add(parts: readonly Execution[]): Execution {
    const execution = new LanedExecution(parts)
    this.executions.set(execution.id, execution)
    void execution.done.then((outcome) => {
      this.executions.delete(execution.id)
      this.ended$.next({ execution, outcome })
    })
    this.started$.next(execution)
    return execution
  }
}

class LanedExecution implements Execution {
  readonly id: string
  readonly entry: string
  readonly lasting = true
  readonly startedAt: number
  readonly state$ = new BehaviorSubject<ExecutionState>('running')
  readonly done: Promise<Outcome>
  readonly #parts: readonly Execution[]

  constructor(parts: readonly Execution[]) {
    const [first] = parts
    if (first === undefined) throw new Error('an execution in lanes has at least one lane')
    this.id = first.id
    this.entry = first.entry
    this.startedAt = first.startedAt
    this.#parts = parts
    this.done = Promise.all(parts.map((each) => each.done)).then((outcomes) => {
      const outcome = worst(outcomes)
      this.state$.next(outcome.state)
      this.state$.complete()
      return outcome
    })
  }

  get state(): ExecutionState {
    return this.state$.value
  }

  async stop(limitMs?: number): Promise<Outcome> {
    if (this.state === 'running') this.state$.next('draining')
    return worst(await Promise.all(this.#parts.map((each) => each.stop(limitMs))))
  }

  async kill(cause: string): Promise<Outcome> {
    return worst(await Promise.all(this.#parts.map((each) => each.kill(cause))))
  }
}

const severity: readonly Outcome['state'][] = ['done', 'stopped', 'failed', 'lost']

function worst(outcomes: readonly Outcome[]): Outcome {
  const unsettled = outcomes.reduce((sum, each) => sum + each.unsettled, 0)
  const [first] = [...outcomes].sort((a, b) => severity.indexOf(b.state) - severity.indexOf(a.state))
  return { state: first?.state ?? 'done', failure: first?.failure ?? null, unsettled }
}

function merged(reports: readonly SourceReport[]): readonly SourceReport[] {
  const byNode = new Map<string, SourceReport>()
  for (const each of reports) {
    const sum = byNode.get(each.node)
    byNode.set(
      each.node,
      sum === undefined
        ? each
        : {
            node: each.node,
            state: sum.state === each.state ? sum.state : 'open',
            inFlight: sum.inFlight + each.inFlight,
            inFlightMax: sum.inFlightMax + each.inFlightMax,
            oldestMs: Math.max(sum.oldestMs, each.oldestMs),
            partitions: [...sum.partitions, ...each.partitions],
          },
    )
  }
  return [...byNode.values()]
}
