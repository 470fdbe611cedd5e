import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { BehaviorSubject, Subject } from 'rxjs'
import type { Plan } from '../../core/document/plan.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { DeadLetter, Host, PoolOptions, Span } from '../../core/host.ts'
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
import type { HostHub } from './host-hub.ts'
import { hostHub } from './host-hub.ts'
import type { Peer } from './peer.ts'
import { createPeer } from './peer.ts'
import type { ThreadOrder } from './thread-entry.ts'
import { Watchdog } from './watchdog.ts'

export interface IsolationOptions {
  readonly folders: readonly string[]
  /** URLs of modules with further node types (`export const nodeTypes`). */
  readonly modules?: readonly string[]
  /** A thread that does not move for so long is named in the log. */
  readonly blockMsMax?: number
  /** … and ended after so long. */
  readonly killMsMax?: number
  readonly lane?: Host['lane']
  /**
   * A thread whose heap grows over it is ended; 2,048 when left out. A single allocation far over it can still end the process, as Node cannot stop it in time;
   * work that may do that belongs in a pool of processes.
   */
  readonly heapMbMax?: number
}

// A URL is no import: nothing rewrites it, so it takes the ending that this module has, TypeScript or built.
const entry = new URL(`./thread-start${extname(import.meta.url)}`, import.meta.url)

/**
 * Runs a plan in a thread of its own: what blocks there blocks nobody else, and a kill is certain. It answers the same interface
 * as `compile`. When the thread is ended or dies, its executions fail, with the node's name where the watchdog knows it,
 * and a new thread takes over what starts after that.
 */
export function isolate(plan: Plan, host: Host, options: IsolationOptions): Pipeline {
  return new IsolatedPipeline(plan, host, options)
}

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
  /** The next version has its thread; it gets another one where it is opened again. */
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
    else await before?.release()
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
    const thread = this.#thread
    if (thread === null) return
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

  /** For the next version: the thread, if there is one; from then on it is no longer this one's to end. */
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
      started: (id, entry, startedAt, lasting) =>
        void (this.#executions.get(id) ?? this.#add(id, entry, startedAt, lasting, thread)),
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
        execution.end({ state: this.#over ? 'stopped' : 'failed', unsettled: 0, failure })
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

interface ThreadEvents {
  started(id: string, entry: string, startedAt: number, lasting: boolean): void
  ended(id: string, outcome: Outcome): void
  metrics(metrics: PipelineMetrics | null, sources: readonly SourceReport[]): void
  tapped(id: number, messages: readonly Message[]): void
  sampled(id: number, report: SampleReport): void
  /** The watchdog found the thread standing still. */
  blocked(): void
  /** The thread is gone, once. */
  over(failure: Outcome['failure']): void
}

/** The lower it is, the sooner V8 collects: at a quarter of this a stream of 500,000 messages a second collects three times as often. */
const heapMbMaxUsual = 2_048
/** Three times what new objects fill before they are looked at. By itself V8 takes double, for memory of which little comes back. */
const youngMbMax = 96
/** How long a version may take to open its triggers in a thread that it has taken over. */
const openMsMax = 60_000

const nobody: ThreadEvents = {
  started: () => undefined,
  ended: () => undefined,
  metrics: () => undefined,
  tapped: () => undefined,
  sampled: () => undefined,
  blocked: () => undefined,
  over: () => undefined,
}

/** A worker thread with one pipeline in it, its watchdog, and its bridge to the host. */
class Thread {
  readonly peer: Peer
  readonly #worker: Worker
  readonly #watchdog: Watchdog
  readonly #hub: HostHub
  readonly #host: Host
  /** Who hears of it: the version that runs in it. */
  events: ThreadEvents
  plan: Plan
  #failure: Outcome['failure'] = null
  #over = false

  constructor(plan: Plan, host: Host, options: IsolationOptions, events: ThreadEvents) {
    this.#host = host
    this.events = events
    this.plan = plan
    const watch = new Int32Array(new SharedArrayBuffer(8))
    const order: ThreadOrder = {
      plan,
      env: host.env,
      vars: host.vars(),
      folders: options.folders,
      modules: options.modules ?? [],
      has: {
        pools: host.pools !== undefined,
        hub: host.hub !== undefined,
        topics: host.topics !== undefined,
        standardStreams: host.standardStreams !== undefined,
        spans: host.span !== undefined,
      },
      lane: options.lane,
      watch,
    }
    this.#worker = new Worker(entry, {
      workerData: order,
      resourceLimits: {
        maxOldGenerationSizeMb: options.heapMbMax ?? heapMbMaxUsual,
        maxYoungGenerationSizeMb: youngMbMax,
      },
      // The thread gets what it may know through its order; of the process's environment it sees nothing.
      env: {},
      execArgv: [],
    })
    this.#hub = hostHub(host.hub, () => this.peer)
    this.peer = createPeer(this.#worker, this.#handlers())
    this.#worker.on('error', (error) =>
      this.#fail('execution.thread-died', `the thread of the workflow died: ${error.message}`, null),
    )
    this.#worker.on('exit', () => this.#ended())
    this.#watchdog = new Watchdog(watch, host.clock, {
      blockMsMax: options.blockMsMax ?? 1_000,
      killMsMax: options.killMsMax ?? 5_000,
      vars: () => this.peer.notify('vars', host.vars()),
      blocked: (index, forMs) => {
        const node = this.plan.nodes[index]?.id ?? null
        this.events.blocked()
        host.log.write('warn', `${node ?? 'a node'} has blocked its thread for ${forMs} ms`, {
          workflow: this.plan.workflow.id,
          node,
        })
      },
      kill: (index, forMs) => {
        const node = this.plan.nodes[index]?.id ?? null
        this.#fail('execution.blocked', `${node ?? 'a node'} blocked its thread for ${forMs} ms and was ended`, node)
        void this.#worker.terminate()
      },
    })
  }

  /** What `answer` gives; when it does not come in time the thread is ended, which settles `done`. */
  async within(limitMs: number, answer: Promise<unknown>, done: Promise<Outcome>): Promise<Outcome> {
    const cancel = this.#host.clock.after(limitMs, () => void this.end('the execution was stopped'))
    answer.catch(() => undefined)
    const outcome = await done
    cancel()
    return outcome
  }

  async end(cause: string): Promise<void> {
    this.#fail('execution.stopped', cause, null)
    await this.#worker.terminate()
    this.#ended()
  }

  #fail(code: string, text: string, node: string | null): void {
    this.#failure ??= { code, message: text, node, retriable: true }
  }

  #ended(): void {
    if (this.#over) return
    this.#over = true
    this.#watchdog.close()
    this.#fail('execution.thread-died', 'the thread of the workflow has ended', null)
    this.peer.lost(new NodeError(this.#failure?.code ?? '', this.#failure?.message ?? ''))
    this.#hub.close()
    this.events.over(this.#failure)
  }

  #handlers(): Parameters<typeof createPeer>[1] {
    const host = this.#host
    // What arrives was sent by thread-entry.ts, the other half of this pair, and has its form.
    return {
      calls: {
        ...this.#hub.handlers.calls,
        'dead-letter': async ([letters], signal) => host.deadLetter(letters as DeadLetter[], signal),
        publish: async ([topic, values], signal) => host.topics?.publish(String(topic), values as unknown[], signal),
        'standard-output': async ([chunk]) => host.standardStreams?.write(chunk as Uint8Array),
        'pool-call': async ([options, task, input, rest], signal) =>
          host.pools?.pool(options as PoolOptions).call(String(task), input, { ...(rest as object), signal }),
        'pool-cast': async ([options, task, input, rest], signal) =>
          host.pools?.pool(options as PoolOptions).cast(String(task), input, { ...(rest as object), signal }),
      },
      streams: {
        'standard-input': () => host.standardStreams?.input ?? nothing(),
        'pool-stream': ([options, task, input, rest], signal) =>
          host.pools?.pool(options as PoolOptions).stream(String(task), input, { ...(rest as object), signal }) ??
          nothing(),
      },
      notices: {
        ...this.#hub.handlers.notices,
        started: (id, entry, startedAt, lasting) =>
          this.events.started(String(id), String(entry), Number(startedAt), lasting === true),
        ended: (id, outcome) => this.events.ended(String(id), outcome as Outcome),
        metrics: (metrics, sources) =>
          this.events.metrics(metrics as PipelineMetrics | null, sources as readonly SourceReport[]),
        tapped: (id, messages) => this.events.tapped(Number(id), messages as Message[]),
        sampled: (id, report) => this.events.sampled(Number(id), report as SampleReport),
        span: (span) => host.span?.(span as Span),
        log: (level, text, fields) => host.log.write(level as 'info', String(text), fields as Record<string, unknown>),
      },
    }
  }
}

async function* nothing(): AsyncGenerator<never> {}
