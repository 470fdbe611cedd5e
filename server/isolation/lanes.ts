import { BehaviorSubject, Subject } from 'rxjs'
import type { Plan } from '../../core/document/plan.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Clock, Host } from '../../core/host.ts'
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
 * threads on the way of the data. To the outside they are one pipeline with one execution; a lane that fails or dies starts again alone.
 */
export function runLanes(plan: Plan, host: Host, options: IsolationOptions): Pipeline {
  return new LanedPipeline(plan, host, options)
}

class LanedPipeline implements Pipeline {
  readonly plan: Plan
  readonly executions = new Map<string, LanedExecution>()
  readonly started$ = new Subject<Execution>()
  readonly ended$ = new Subject<Ended>()
  readonly #lanes: readonly Pipeline[]
  readonly #clock: Clock

  constructor(plan: Plan, host: Host, options: IsolationOptions) {
    this.plan = plan
    this.#clock = host.clock
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
    if (old.length === 0) await before?.rest()
    const opened = await Promise.all(this.#lanes.map((lane, index) => lane.open(old[index])))
    return this.#add(opened.map(startedOf))
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
    for (const execution of this.executions.values()) execution.restNoMore()
    await Promise.all(this.#lanes.map((lane) => lane.release(limitMs)))
    this.started$.complete()
    this.ended$.complete()
  }

  async rest(): Promise<void> {
    for (const execution of this.executions.values()) execution.restNoMore()
    await Promise.all(this.#lanes.map((lane) => lane.rest()))
  }

  #add(parts: readonly Execution[]): Execution {
    const execution = new LanedExecution(this.#lanes, parts, this.#clock)
    this.executions.set(execution.id, execution)
    void execution.done.then((outcome) => {
      this.executions.delete(execution.id)
      this.ended$.next({ execution, outcome })
    })
    this.started$.next(execution)
    return execution
  }
}

/** A lane that fails starts again after a second, then two, and so on up to a minute. */
const restartMs = 1_000
const restartMsMax = 60_000

/** The executions of all lanes as one. It fails when no lane runs any more; until then one that fails starts again. */
class LanedExecution implements Execution {
  readonly id: string
  readonly entry: string
  readonly lasting = true
  readonly startedAt: number
  readonly state$ = new BehaviorSubject<ExecutionState>('running')
  readonly done: Promise<Outcome>
  readonly #lanes: readonly Pipeline[]
  readonly #clock: Clock
  /** By lane. */
  readonly #running = new Map<number, Execution>()
  readonly #waiting = new Map<number, { readonly outcome: Outcome; readonly cancel: () => void }>()
  readonly #ended: Outcome[] = []
  /** Times in a row that a lane has failed. */
  readonly #failures = new Map<number, number>()
  #ending = false
  #resolve: (outcome: Outcome) => void = () => undefined

  constructor(lanes: readonly Pipeline[], parts: readonly Execution[], clock: Clock) {
    const [first] = parts
    if (first === undefined) throw new Error('an execution in lanes has at least one lane')
    this.id = first.id
    this.entry = first.entry
    this.startedAt = first.startedAt
    this.#lanes = lanes
    this.#clock = clock
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
    parts.forEach((part, lane) => {
      this.#run(lane, part)
    })
  }

  get state(): ExecutionState {
    return this.state$.value
  }

  stop(limitMs?: number): Promise<Outcome> {
    if (this.state === 'running') this.state$.next('draining')
    return this.#end((part) => part.stop(limitMs))
  }

  kill(cause: string): Promise<Outcome> {
    return this.#end((part) => part.kill(cause))
  }

  /** No lane starts again. */
  restNoMore(): void {
    this.#ending = true
    for (const { cancel } of this.#waiting.values()) cancel()
  }

  async #end(way: (part: Execution) => Promise<Outcome>): Promise<Outcome> {
    this.restNoMore()
    await Promise.all([
      ...[...this.#running.values()].map(way),
      ...[...this.#waiting.keys()].map(async (lane) => {
        // Where its thread had died, it is about to run, or does already.
        await this.#startAgain(lane)
        const part = this.#running.get(lane)
        if (part !== undefined) await way(part)
      }),
    ])
    return this.done
  }

  #run(lane: number, part: Execution): void {
    this.#waiting.delete(lane)
    this.#running.set(lane, part)
    void part.done.then((outcome) => {
      this.#running.delete(lane)
      if (outcome.state !== 'failed' || this.#ending || this.#running.size === 0) this.#ended.push(outcome)
      else this.#wait(lane, outcome, this.#clock.now() - part.startedAt)
      this.#finishIfOver()
    })
  }

  #wait(lane: number, outcome: Outcome, ranMs: number): void {
    const failures = ranMs > restartMsMax ? 1 : (this.#failures.get(lane) ?? 0) + 1
    this.#failures.set(lane, failures)
    const delayMs = Math.min(restartMs * 2 ** (failures - 1), restartMsMax)
    this.#waiting.set(lane, { outcome, cancel: this.#clock.after(delayMs, () => void this.#startAgain(lane)) })
  }

  async #startAgain(lane: number): Promise<void> {
    const outcome = this.#waiting.get(lane)?.outcome
    try {
      const part = startedOf((await this.#lanes[lane]?.open()) ?? null)
      if (this.#waiting.has(lane)) this.#run(lane, part)
    } catch {
      if (outcome === undefined || !this.#waiting.has(lane)) return
      if (!this.#ending) return this.#wait(lane, outcome, 0)
      this.#waiting.delete(lane)
      this.#ended.push(outcome)
      this.#finishIfOver()
    }
  }

  #finishIfOver(): void {
    if (this.#running.size > 0 || (this.#ending && this.#waiting.size > 0) || this.state$.isStopped) return
    const outcome = worst([...this.#ended, ...[...this.#waiting.values()].map((each) => each.outcome)])
    this.restNoMore()
    this.state$.next(outcome.state)
    this.state$.complete()
    this.#resolve(outcome)
  }
}

function startedOf(execution: Execution | null): Execution {
  if (execution === null) throw new NodeError('execution.not-started', 'a lane has no stream execution')
  return execution
}

const severity: readonly Outcome['state'][] = ['done', 'stopped', 'failed', 'lost']

function worst(outcomes: readonly Outcome[]): Outcome {
  const unsettled = outcomes.reduce((sum, each) => sum + each.unsettled, 0)
  const [first] = [...outcomes].sort((a, b) => severity.indexOf(b.state) - severity.indexOf(a.state))
  const deadLetters = outcomes.reduce((sum, each) => sum + each.deadLetters, 0)
  return { state: first?.state ?? 'done', failure: first?.failure ?? null, unsettled, deadLetters }
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
