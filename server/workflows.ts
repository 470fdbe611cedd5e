import { NodeError } from '../core/flow/failure.ts'
import { message } from '../core/flow/message.ts'
import type { Clock, Log } from '../core/host.ts'
import type { Ended, Execution, Outcome, Pipeline, SourceCommand, SourceReport } from '../core/pipeline.ts'
import type { WireOutcome } from '../core/protocol/server-frames.ts'
import { HttpError } from './http-error.ts'
import type { Admission } from './topics.ts'

/** Makes a pipeline of what a workflow's document says now. `before` is the one that it is to take over from. */
export type Relaunch = (before: Pipeline) => Promise<Pipeline>

/** A pipeline that runs on this server. */
export interface Deployed {
  readonly id: string
  readonly pipeline: Pipeline
  readonly ready: boolean
  readonly counts: WorkflowCounts
}

/** What happened to a workflow since it was first deployed, all its versions together. */
export interface WorkflowCounts {
  /** Streams that failed and were started again. */
  restarts: number
  /** New versions that took over from the one before. */
  takeovers: number
}

/** An execution as the API shows it. */
export interface ExecutionView {
  readonly id: string
  readonly workflow: string
  readonly entry: string
  readonly state: string
  /** Milliseconds since the epoch. */
  readonly startedAt: number
  readonly endedAt: number | null
  readonly outcome: WireOutcome | null
}

/** The workflows of this server and their executions: all that run, and the last ones that ended. */
export interface Workflows {
  readonly deployed: ReadonlyMap<string, Deployed>
  /** One that is deployed. Throws an HttpError for one that is unknown. */
  named(id: string): Deployed
  /** Every workflow that is deployed has its triggers open. */
  readonly ready: boolean
  /** Ended executions by state, since the server started. */
  readonly endedCounts: Readonly<Record<WireOutcome['state'], number>>
  /**
   * Opens a pipeline under an id. Where another one runs under it, the new one takes over from that: streams go on without a gap, and the old
   * one comes back when the new one does not start. `relaunch` makes the next version when somebody asks for it.
   */
  deploy(id: string, pipeline: Pipeline, relaunch?: Relaunch): Promise<Execution | null>
  /** Puts what `relaunch` gives in the place of what runs. Throws an HttpError for a workflow that is unknown or has nothing to be read again. */
  reload(id: string): Promise<void>
  /** Pauses, resumes or moves the stream triggers of a workflow. Throws an HttpError where that cannot be. */
  control(id: string, command: SourceCommand): Promise<readonly SourceReport[]>
  undeploy(id: string): Promise<void>
  /** Starts an execution with one message. Throws an HttpError for an unknown workflow or entry, and when too many run. */
  run(workflow: string, entry: string | null, input: unknown): Execution
  list(): readonly ExecutionView[]
  find(id: string): ExecutionView | null
  /** Drains and ends, or cuts. Throws an HttpError for one that is unknown. Answers at once for one that has ended. */
  stop(id: string, kill: boolean): Promise<WireOutcome>
  /** What a topic is that nobody has published to yet; see TopicStore. */
  admit(topic: string): Admission
  /** Releases all pipelines; each may drain for so long. */
  close(limitMs: number): Promise<void>
}

export interface WorkflowsOptions {
  readonly clock: Clock
  readonly log: Log
  readonly runningMax: number
  readonly keptMax: number
  readonly onEnded: (execution: string, outcome: WireOutcome) => void
}

export function createWorkflows(options: WorkflowsOptions): Workflows {
  return new Registry(options)
}

interface Entry extends Deployed {
  ready: boolean
  readonly relaunch: Relaunch | null
  readonly unwatch: () => void
  /** Streams that failed one after the other, for the wait before the next. */
  failures: number
  cancelRestart: () => void
}

/** A stream that fails is started again after a second, then two, and so on up to a minute. */
const restartMs = 1_000
const restartMsMax = 60_000
/** One that fails so soon after it took over gives its place back. */
const probationMs = 5_000

class Registry implements Workflows {
  readonly deployed = new Map<string, Entry>()
  readonly endedCounts = { done: 0, failed: 0, stopped: 0, lost: 0 }
  readonly #options: WorkflowsOptions
  /** Executions of event triggers that are not over. Connections of a server are bounded by that server. */
  #events = 0
  /** In the order of their ends; the oldest goes first. */
  readonly #ended = new Map<string, ExecutionView>()
  /** Versions that another one has replaced, while executions of theirs may run or they may come back. */
  readonly #leaving = new Set<Entry>()
  /** The last change of what is deployed under an id that is not over: the next one waits for it. */
  readonly #changes = new Map<string, Promise<void>>()

  constructor(options: WorkflowsOptions) {
    this.#options = options
  }

  get ready(): boolean {
    for (const each of this.deployed.values()) if (!each.ready) return false
    return true
  }

  async deploy(id: string, pipeline: Pipeline, relaunch?: Relaunch): Promise<Execution | null> {
    if (!/^[A-Za-z0-9._~-]{1,100}$/.test(id))
      throw new NodeError(
        'workflow.bad-id',
        `A workflow cannot be deployed as ${JSON.stringify(id)}: use letters, digits and . _ ~ -`,
      )
    return this.#inTurn(id, () => this.#deploy(id, pipeline, relaunch))
  }

  async #deploy(id: string, pipeline: Pipeline, relaunch: Relaunch | undefined): Promise<Execution | null> {
    const before = this.deployed.get(id)
    before?.cancelRestart()
    const entry: Entry = {
      id,
      pipeline,
      ready: false,
      counts: before?.counts ?? { restarts: 0, takeovers: 0 },
      relaunch: relaunch ?? before?.relaunch ?? null,
      unwatch: () => watching.unsubscribe(),
      failures: 0,
      cancelRestart: () => undefined,
    }
    const watching = pipeline.started$.subscribe((execution) => {
      if (isEvent(entry, execution)) this.#events += 1
    })
    // What one hears of an end may stop or start others; so it is heard when this one is over altogether.
    watching.add(pipeline.ended$.subscribe((ended) => queueMicrotask(() => this.#over(entry, ended))))
    this.deployed.set(id, entry)
    if (before !== undefined) this.#leaving.add(before)
    try {
      const execution = await pipeline.open(before?.pipeline)
      entry.ready = true
      if (before !== undefined) this.#retire(before, entry, execution)
      return execution
    } catch (thrown) {
      if (before === undefined) await this.#undeploy(id)
      else await this.#giveBack(entry, before, thrown)
      throw thrown
    }
  }

  reload(id: string): Promise<void> {
    return this.#inTurn(id, () => this.#reload(id))
  }

  async #reload(id: string): Promise<void> {
    const entry = this.named(id)
    if (entry.relaunch === null)
      throw new HttpError(409, 'workflow.not-from-file', `Workflow ${id} was not read from a file of this server.`)
    try {
      await this.#deploy(id, await entry.relaunch(entry.pipeline), entry.relaunch)
    } catch (thrown) {
      if (thrown instanceof NodeError) throw new HttpError(409, thrown.code, thrown.message)
      throw thrown
    }
  }

  async control(id: string, command: SourceCommand): Promise<readonly SourceReport[]> {
    try {
      return await this.named(id).pipeline.control(command)
    } catch (thrown) {
      if (thrown instanceof NodeError) throw new HttpError(409, thrown.code, `Not done: ${thrown.message}.`)
      throw thrown
    }
  }

  undeploy(id: string, limitMs?: number): Promise<void> {
    return this.#inTurn(id, () => this.#undeploy(id, limitMs))
  }

  async #undeploy(id: string, limitMs?: number): Promise<void> {
    const entry = this.deployed.get(id)
    if (entry === undefined) return
    this.deployed.delete(id)
    entry.cancelRestart()
    await entry.pipeline.release(limitMs)
    entry.unwatch()
  }

  run(workflow: string, entry: string | null, input: unknown): Execution {
    const known = this.named(workflow)
    if (this.#events >= this.#options.runningMax)
      throw new HttpError(
        503,
        'server.busy',
        `${this.#options.runningMax} executions are running; no more are started by hand.`,
        'Try again later.',
        {
          'retry-after': '1',
        },
      )
    const name = entryOf(known.pipeline, workflow, entry)
    try {
      return known.pipeline.start(name, [
        message(input === undefined ? {} : input, null, this.#options.clock.now(), null),
      ])
    } catch (thrown) {
      if (thrown instanceof NodeError) throw new HttpError(409, thrown.code, thrown.message)
      throw thrown
    }
  }

  list(): readonly ExecutionView[] {
    const running: ExecutionView[] = []
    for (const each of this.#versions())
      for (const execution of each.pipeline.executions.values()) {
        if (running.length >= this.#options.runningMax) break
        if (!this.#ended.has(execution.id)) running.push(viewOf(each.id, execution))
      }
    return [...running.reverse(), ...[...this.#ended.values()].reverse()]
  }

  find(id: string): ExecutionView | null {
    const ended = this.#ended.get(id)
    if (ended !== undefined) return ended
    for (const each of this.#versions()) {
      const execution = each.pipeline.executions.get(id)
      if (execution !== undefined) return viewOf(each.id, execution)
    }
    return null
  }

  async stop(id: string, kill: boolean): Promise<WireOutcome> {
    for (const each of this.#versions()) {
      const execution = each.pipeline.executions.get(id)
      if (execution === undefined) continue
      return wireOutcome(await (kill ? execution.kill('stopped by a client') : execution.stop()))
    }
    const ended = this.#ended.get(id)?.outcome
    if (ended !== undefined && ended !== null) return ended
    throw new HttpError(
      404,
      'execution.unknown',
      `There is no execution ${JSON.stringify(id)}, or it ended too long ago.`,
    )
  }

  admit(topic: string): Admission {
    const segments = topic.split('/')
    const [kind, id = ''] = segments
    const over =
      this.#ended.get(segments[segments.length - 1] ?? '')?.outcome ??
      this.#ended.get(kind === 'executions' ? id : '')?.outcome
    if (over !== undefined && over !== null) return { kind: 'over', outcome: over }
    if (kind === 'executions' && this.find(id) === null)
      return { kind: 'unknown', message: `There is no execution ${JSON.stringify(id)}, or it ended too long ago.` }
    if (kind === 'workflows' && !/^workflows\/.+\/metrics$/.test(topic))
      return { kind: 'unknown', message: `There is no topic ${topic}; a workflow's own topic is workflows/ID/metrics.` }
    return { kind: 'open' }
  }

  named(id: string): Entry {
    const entry = this.deployed.get(id)
    if (entry !== undefined) return entry
    throw new HttpError(
      404,
      'workflow.unknown',
      `There is no workflow ${JSON.stringify(id)}.`,
      'GET /api/workflows lists them.',
    )
  }

  async close(limitMs: number): Promise<void> {
    await Promise.all([...this.deployed.keys()].map((id) => this.undeploy(id, limitMs)))
  }

  /** What is deployed, and what was before it and has not gone. */
  #versions(): readonly Entry[] {
    return [...this.deployed.values(), ...this.#leaving]
  }

  /** Two changes at once would take over from the same version, or take away what is just about to start. */
  async #inTurn<T>(id: string, change: () => Promise<T>): Promise<T> {
    const before = this.#changes.get(id)
    const turn = before === undefined ? change() : before.then(change)
    const over = turn.then(noop, noop)
    this.#changes.set(id, over)
    try {
      return await turn
    } finally {
      if (this.#changes.get(id) === over) this.#changes.delete(id)
    }
  }

  /** The version before goes when its executions are over; it stays at hand while the new one is on probation. */
  #retire(before: Entry, entry: Entry, execution: Execution | null): void {
    entry.counts.takeovers += 1
    const done = (): void => {
      before.pipeline
        .release()
        .then(before.unwatch, (thrown: unknown) =>
          this.#options.log.write('warn', `The version before of ${entry.id} did not close`, { error: String(thrown) }),
        )
        .finally(() => this.#leaving.delete(before))
    }
    if (execution === null) return done()
    let over = false
    const cancel = this.#options.clock.after(probationMs, () => {
      over = true
      done()
    })
    void execution.done.then((outcome) => {
      if (over) return
      cancel()
      const gives = (): boolean => outcome.state === 'failed' && this.deployed.get(entry.id) === entry
      if (!gives()) return done()
      void this.#inTurn(entry.id, async () => {
        // Somebody may have put another one in its place meanwhile.
        if (!gives()) return done()
        entry.cancelRestart()
        await this.#giveBack(entry, before, outcome.failure?.message ?? 'it failed')
      })
    })
  }

  /** The new version did not start: the one before takes its place again. */
  async #giveBack(entry: Entry, before: Entry, why: unknown): Promise<void> {
    const text = why instanceof Error ? why.message : String(why)
    this.#options.log.write('error', `The new version of ${entry.id} did not start; the one before goes on`, {
      workflow: entry.id,
      error: text,
    })
    this.deployed.set(entry.id, before)
    this.#leaving.delete(before)
    await entry.pipeline.release(0)
    entry.unwatch()
    try {
      await before.pipeline.open()
    } catch (thrown) {
      before.ready = false
      this.#options.log.write('error', `The version before of ${entry.id} did not start again either`, {
        workflow: entry.id,
        error: String(thrown),
      })
    }
  }

  /** A stream that failed begins again where its source says; one that keeps failing waits longer each time. */
  #restart(entry: Entry, execution: Execution): void {
    if (!execution.lasting || this.deployed.get(entry.id) !== entry) return
    const ranMs = this.#options.clock.now() - execution.startedAt
    entry.failures = ranMs > restartMsMax ? 1 : entry.failures + 1
    const delayMs = Math.min(restartMs * 2 ** (entry.failures - 1), restartMsMax)
    this.#options.log.write('warn', `The stream of ${entry.id} failed and starts again in ${delayMs} ms`, {
      workflow: entry.id,
    })
    entry.counts.restarts += 1
    entry.cancelRestart = this.#options.clock.after(delayMs, () => {
      entry.pipeline
        .open()
        .catch((thrown: unknown) =>
          this.#options.log.write('error', `The stream of ${entry.id} did not start`, { error: String(thrown) }),
        )
    })
  }

  #over(entry: Entry, { execution, outcome }: Ended): void {
    const told = wireOutcome(outcome)
    if (isEvent(entry, execution)) this.#events -= 1
    this.endedCounts[told.state] += 1
    this.#ended.set(execution.id, {
      ...viewOf(entry.id, execution),
      state: told.state,
      endedAt: this.#options.clock.now(),
      outcome: told,
    })
    const oldest = this.#ended.keys().next()
    if (this.#ended.size > this.#options.keptMax && oldest.done !== true) this.#ended.delete(oldest.value)
    this.#options.onEnded(execution.id, told)
    if (told.state === 'failed') this.#restart(entry, execution)
  }
}

const noop = (): void => undefined

/** Whether an execution was started at an event trigger, by hand or by a request. */
function isEvent({ pipeline }: Entry, { entry }: Execution): boolean {
  const { nodes, entries } = pipeline.plan
  return entries.some((each) => each.lifetime === 'event' && nodes[each.node]?.id === entry)
}

/** Without a name the first event trigger is meant. */
function entryOf(pipeline: Pipeline, workflow: string, wanted: string | null): string {
  const { entries, nodes } = pipeline.plan
  const names = entries.filter((each) => each.lifetime === 'event').map((each) => nodes[each.node]?.id ?? '')
  const name = wanted ?? names[0]
  if (name !== undefined && names.includes(name)) return name
  const offered = names.length === 0 ? 'it has no event trigger' : `it has ${names.join(', ')}`
  throw new HttpError(
    404,
    'entry.unknown',
    `Workflow ${workflow} cannot be started at ${wanted ?? 'a trigger'}: ${offered}.`,
    'Name one of its event triggers.',
  )
}

function viewOf(workflow: string, execution: Execution): ExecutionView {
  const { id, entry, state, startedAt } = execution
  return { id, workflow, entry, state, startedAt, endedAt: null, outcome: null }
}

function wireOutcome(outcome: Outcome): WireOutcome {
  const { state, unsettled, deadLetters, failure } = outcome
  return {
    state,
    unsettled,
    deadLetters,
    failure: failure === null ? null : { code: failure.code, message: failure.message, node: failure.node },
  }
}
