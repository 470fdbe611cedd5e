import { BehaviorSubject, Subject } from 'rxjs'
import type { Plan } from '../../core/document/plan.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Host } from '../../core/host.ts'
import type {
  Ended,
  Execution,
  ExecutionState,
  Outcome,
  Pipeline,
  PipelineMetrics,
  SampleLimits,
  SampleReport,
  SourceCommand,
  SourceReport,
} from '../../core/pipeline.ts'
import { checkPort, sampleFilter } from '../../core/run/sampler.ts'
import type { IsolationOptions, ThreadEvents } from './thread.ts'
import { Thread } from './thread.ts'

/**
 * Runs a plan in a thread of its own: what blocks there blocks nobody else, and a kill is certain. It answers the same interface
 * as `compile`. When the thread is ended or dies, its executions fail, with the node's name where the watchdog knows it,
 * and a new thread takes over what starts after that.
 */
export function isolate(plan: Plan, host: Host, options: IsolationOptions): Pipeline {
  return new IsolatedPipeline(plan, host, options)
}

const nobody: ThreadEvents = {
  knows: () => false,
  started: () => undefined,
  ended: () => undefined,
  metrics: () => undefined,
  tapped: () => undefined,
  sampled: () => undefined,
  blocked: () => undefined,
  over: () => undefined,
}

/** How long a version may take to open its triggers in a thread that it has taken over. */
const openMsMax = 60_000

class IsolatedPipeline implements Pipeline {
  readonly plan: Plan
  readonly #host: Host
  readonly #options: IsolationOptions
  readonly #executions = new Map<string, RemoteExecution>()
  readonly #started = new Subject<Execution>()
  readonly ended$ = new Subject<Ended>()
  readonly #taps = new Map<number, ThreadTap>()
  #thread: Thread | null = null
  #metrics: PipelineMetrics | null = null
  #sources: readonly SourceReport[] = []
  #blocks = 0
  #opened = false
  #released = false
  /** Its thread is another version's, or gone; it gets another one where it is opened again. */
  #replaced = false

  constructor(plan: Plan, host: Host, options: IsolationOptions) {
    this.plan = plan
    this.#host = host
    this.#options = options
  }

  get executions(): ReadonlyMap<string, Execution> {
    return this.#executions
  }

  get started$(): Subject<Execution> {
    return this.#started
  }

  sourceOf(): string {
    return ''
  }

  start(entry: string, input: readonly Message[] = [], id: string = this.#host.id()): Execution {
    const thread = this.#running()
    const known = this.#executions.get(id)
    if (known !== undefined) return known
    const { entries, nodes } = this.plan
    const lasting = entries.some((each) => each.lifetime === 'stream' && nodes[each.node]?.id === entry)
    const execution = this.#add(id, entry, this.#host.clock.now(), lasting, thread)
    const values = input.map(({ value, key, time }) => ({ value, key, time }))
    thread.peer.call('start', [entry, values, id]).catch((thrown: unknown) => {
      const text = thrown instanceof Error ? thrown.message : String(thrown)
      execution.end({
        state: 'failed',
        unsettled: 0,
        deadLetters: 0,
        failure: {
          code: thrown instanceof NodeError ? thrown.code : 'execution.failed',
          message: text,
          node: null,
          retriable: false,
        },
      })
    })
    return execution
  }

  /** Taking over from another version happens in that version's thread, where its sources are. */
  async open(before?: Pipeline): Promise<Execution | null> {
    this.#opened = true
    this.#replaced = false
    const inherited = before instanceof IsolatedPipeline ? before.#giveThread() : null
    if (inherited !== null) this.#take(inherited)
    else await before?.rest()
    const thread = this.#running()
    const limitMs = before === undefined ? 0 : before.plan.settings.stopMsMax
    // A short execution may be over before the thread has answered.
    const started = new Map<unknown, Execution>(this.#executions)
    const watching = this.#started.subscribe((each) => void started.set(each.id, each))
    try {
      const id =
        inherited === null
          ? await thread.peer.call('open', [])
          : await thread.peer.call('replace', [this.plan], AbortSignal.timeout(limitMs + openMsMax))
      return started.get(id) ?? null
    } finally {
      watching.unsubscribe()
    }
  }

  metrics(): PipelineMetrics | null {
    return this.#metrics === null ? null : { ...this.#metrics, blocks: this.#blocks }
  }

  sources(): readonly SourceReport[] {
    return this.#sources
  }

  async control(command: SourceCommand): Promise<readonly SourceReport[]> {
    if (this.#thread === null)
      throw new NodeError('source.not-running', `no stream execution of ${this.plan.workflow.name} is running`)
    // The thread's side answers in the form that both share.
    this.#sources = (await this.#thread.peer.call('control', [command])) as SourceReport[]
    return this.#sources
  }

  tap(node: string, port: string, read: (messages: readonly Message[]) => void): () => void {
    return this.#attach({ node, port, limits: null, read })
  }

  /** Messages are chosen and cut where they go by, so that a busy thread sends few of them, and small ones. */
  sample(node: string, port: string, limits: SampleLimits, read: (report: SampleReport) => void): () => void {
    checkPort(this.plan, node, port)
    if (limits.filter !== null) sampleFilter(limits.filter)
    return this.#attach({ node, port, limits, read })
  }

  #attach(tap: ThreadTap): () => void {
    const id = tapIds++
    // A thread that starts with this call is told of all taps.
    const thread = this.#thread
    this.#taps.set(id, tap)
    if (thread === null) this.#running()
    else thread.peer.notify('tap', id, tap.node, tap.port, tap.limits)
    return () => {
      this.#taps.delete(id)
      this.#thread?.peer.notify('untap', id)
    }
  }

  async release(limitMs: number = this.plan.settings.stopMsMax): Promise<void> {
    this.#released = true
    if (this.#thread !== null) return this.#end(this.#thread, limitMs)
    // In the thread that the next version has they may take as long as they take.
    await Promise.all([...this.#executions.values()].map((each) => each.done))
  }

  async rest(): Promise<void> {
    const thread = this.#giveThread()
    if (thread !== null) await this.#end(thread, this.plan.settings.stopMsMax)
  }

  async #end(thread: Thread, limitMs: number): Promise<void> {
    const cut = new Promise<void>((resolve) => this.#host.clock.after(limitMs + 1_000, resolve))
    await Promise.race([thread.peer.call('release', [limitMs]).catch(() => undefined), cut])
    await thread.end('the workflow was stopped')
  }

  get #over(): boolean {
    return this.#released || this.#replaced
  }

  #running(): Thread {
    if (this.#thread !== null) return this.#thread
    if (this.#over) throw new NodeError('workflow.released', 'the workflow has been stopped')
    const thread = new Thread(this.plan, this.#host, this.#options, nobody)
    this.#take(thread)
    return thread
  }

  /** For whoever comes next: the thread, if there is one; from then on it is no longer this one's. */
  #giveThread(): Thread | null {
    const thread = this.#thread
    this.#thread = null
    this.#replaced = true
    return thread
  }

  #take(thread: Thread): void {
    this.#thread = thread
    const before = thread.events
    thread.plan = this.plan
    thread.events = {
      knows: (id) => this.#executions.has(id) || before.knows(id),
      started: (id, entry, startedAt, lasting) => {
        if (!thread.events.knows(id)) this.#add(id, entry, startedAt, lasting, thread)
      },
      ended: (id, outcome) => {
        const own = this.#executions.get(id)
        if (own === undefined) before.ended(id, outcome)
        else own.end(outcome)
      },
      metrics: (metrics, sources) => {
        this.#metrics = metrics
        this.#sources = sources
      },
      tapped: (id, messages) => {
        const tap = this.#taps.get(id)
        if (tap?.limits === null) tap.read(messages)
      },
      sampled: (id, report) => {
        const tap = this.#taps.get(id)
        if (tap !== undefined && tap.limits !== null) tap.read(report)
      },
      blocked: () => {
        this.#blocks += 1
      },
      over: (failure) => {
        before.over(failure)
        this.#threadOver(thread, failure)
      },
    }
    for (const [id, tap] of this.#taps) thread.peer.notify('tap', id, tap.node, tap.port, tap.limits)
  }

  #add(id: string, entry: string, startedAt: number, lasting: boolean, thread: Thread): RemoteExecution {
    const execution = new RemoteExecution(
      id,
      entry,
      startedAt,
      lasting,
      thread,
      this.plan.settings.stopMsMax,
      (outcome) => {
        this.#executions.delete(id)
        if (this.ended$.observed) this.ended$.next({ execution, outcome })
      },
    )
    this.#executions.set(id, execution)
    if (this.#started.observed) this.#started.next(execution)
    return execution
  }

  #threadOver(thread: Thread, failure: Outcome['failure']): void {
    if (this.#thread === thread) this.#thread = null
    for (const execution of [...this.#executions.values()])
      if (execution.thread === thread)
        execution.end({ state: this.#over ? 'stopped' : 'failed', unsettled: 0, deadLetters: 0, failure })
    if (this.#over || !this.#opened) return
    // What listens must listen again; a stream begins where its source says.
    this.open().catch((thrown: unknown) =>
      this.#host.log.write('error', `the workflow could not be opened again: ${String(thrown)}`),
    )
  }
}

/** Whoever looks at a port of a pipeline in a thread: at all of it, or at samples. */
type ThreadTap = { readonly node: string; readonly port: string } & (
  | { readonly limits: null; readonly read: (messages: readonly Message[]) => void }
  | { readonly limits: SampleLimits; readonly read: (report: SampleReport) => void }
)

/** Versions follow one another in a thread; their taps must not share numbers. */
let tapIds = 0

class RemoteExecution implements Execution {
  readonly id: string
  readonly entry: string
  readonly startedAt: number
  readonly lasting: boolean
  readonly thread: Thread
  readonly state$ = new BehaviorSubject<ExecutionState>('running')
  readonly done: Promise<Outcome>
  readonly #stopMsMax: number
  readonly #onEnd: (outcome: Outcome) => void
  #resolve: (outcome: Outcome) => void = () => undefined

  constructor(
    id: string,
    entry: string,
    startedAt: number,
    lasting: boolean,
    thread: Thread,
    stopMsMax: number,
    onEnd: (outcome: Outcome) => void,
  ) {
    this.lasting = lasting
    this.id = id
    this.entry = entry
    this.startedAt = startedAt
    this.thread = thread
    this.#stopMsMax = stopMsMax
    this.#onEnd = onEnd
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  get state(): ExecutionState {
    return this.state$.value
  }

  end(outcome: Outcome): void {
    if (this.state$.closed || this.state$.isStopped) return
    this.state$.next(outcome.state)
    this.state$.complete()
    this.#resolve(outcome)
    this.#onEnd(outcome)
  }

  /** Asks the thread; one that does not answer in time is ended, and with it everything in it. */
  async stop(limitMs: number = this.#stopMsMax): Promise<Outcome> {
    if (this.state === 'running') this.state$.next('draining')
    return this.thread.within(limitMs + 1_000, this.thread.peer.call('stop', [this.id, limitMs]), this.done)
  }

  async kill(cause: string): Promise<Outcome> {
    return this.thread.within(1_000, this.thread.peer.call('kill', [this.id, cause]), this.done)
  }
}
