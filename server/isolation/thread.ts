import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { Plan } from '../../core/document/plan.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { DeadLetter, Host, PoolOptions, Span } from '../../core/host.ts'
import type { Outcome, PipelineMetrics, SampleReport, SourceReport } from '../../core/pipeline.ts'
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

/** What a thread tells of itself and of the pipeline in it. */
export interface ThreadEvents {
  /** Whether one of the versions that run in the thread, or ran, has this execution. */
  knows(id: string): boolean
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

/** A worker thread with one pipeline in it, its watchdog, and its bridge to the host. */
export class Thread {
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
