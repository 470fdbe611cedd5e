import type { Observable } from 'rxjs'
import type { SeekTarget, SourcePosition } from './define.ts'
import type { Plan } from './document/plan.ts'
import type { Failure } from './flow/failure.ts'
import type { Message } from './flow/message.ts'

/** A plan joined to observables: subscribed once per version and thread, then shared by all its executions. */
export interface Pipeline {
  readonly plan: Plan
  /** The generated source of a stage, as `explain` prints it. */
  sourceOf(stage: number): string
  /**
   * Starts an execution at an event trigger with these messages, or the one long-lived execution of all stream triggers.
   * Costs microseconds: nothing is parsed, compiled or subscribed. `id` is for a caller that must know it before;
   * without it the pipeline gives one.
   */
  start(entry: string, input?: readonly Message[], id?: string): Execution
  /**
   * Opens all triggers: event triggers begin to listen, stream triggers to flow. Answers the long-lived execution, if any.
   * With `before`, an open pipeline of an older version that this one was compiled after, it takes over from that: what the old one has taken
   * is delivered by it, stream triggers that are the same in both stay open, and what they give from then on comes here. Release the old one afterwards.
   * Where that cannot be (one of them runs in a thread of its own), the old one rests first.
   */
  open(before?: Pipeline): Promise<Execution | null>
  /** Executions that are not over yet. */
  readonly executions: ReadonlyMap<string, Execution>
  /** Every execution that starts, also those that triggers start by themselves. */
  readonly started$: Observable<Execution>
  /** Every execution that ends. Watching all by it costs nothing for each, as asking each for `done` does. */
  readonly ended$: Observable<Ended>
  /** Counters per node since the pipeline was made; null when telemetry is compiled out. */
  metrics(): PipelineMetrics | null
  /** Where the stream triggers stand; empty while no stream execution runs. */
  sources(): readonly SourceReport[]
  /** Pauses, resumes or moves stream triggers that run. Rejects with a NodeError that says what there is instead. */
  control(command: SourceCommand): Promise<readonly SourceReport[]>
  /** Attaches a reader to what leaves a node's port. A slow reader loses samples. The answer detaches. */
  tap(node: string, port: string, read: (messages: readonly Message[]) => void): () => void
  /**
   * Looks at what leaves a node's port without slowing it: a few messages a second, cut to a size, and how many went by unseen.
   * Throws a NodeError for a filter, a node or a port that is none. The answer stops it.
   */
  sample(node: string, port: string, limits: SampleLimits, read: (report: SampleReport) => void): () => void
  /** Stops all executions within the limit and closes what the pipeline owns. */
  release(limitMs?: number): Promise<void>
  /** Drains streams and closes triggers, for another one that opens in its place; `open` begins again. */
  rest(): Promise<void>
}

export type ExecutionState = 'queued' | 'running' | 'draining' | 'suspended' | 'done' | 'failed' | 'stopped' | 'lost'

export interface Ended {
  readonly execution: Execution
  readonly outcome: Outcome
}

export interface Execution {
  readonly id: string
  readonly entry: string
  /** It is the one of all stream triggers. Others have an execution for each event, or for each connection. */
  readonly lasting: boolean
  readonly startedAt: number
  readonly state: ExecutionState
  readonly state$: Observable<ExecutionState>
  readonly done: Promise<Outcome>
  /** Shuts the gate, drains within the limit, then cuts. The outcome says what was left. */
  stop(limitMs?: number): Promise<Outcome>
  /** Cuts at once. */
  kill(cause: string): Promise<Outcome>
}

export interface Outcome {
  readonly state: 'done' | 'failed' | 'stopped' | 'lost'
  /** Messages whose receipts were still open when it was cut. */
  readonly unsettled: number
  /** Messages of it that failed for good and lie in the dead-letter: an execution that is `done` may have lost some on its way there. */
  readonly deadLetters: number
  readonly failure: Failure | null
}

/** One stream trigger. */
export interface SourceReport {
  readonly node: string
  readonly state: 'open' | 'paused' | 'closed'
  /** Messages that it has in flight, and may have. */
  readonly inFlight: number
  readonly inFlightMax: number
  /** How long the oldest batch has been in flight, in milliseconds; 0 when none is. */
  readonly oldestMs: number
  /** Empty for a source without positions. */
  readonly partitions: readonly SourcePosition[]
}

/** What a person may tell a stream trigger that runs; `node: null` means all of them. */
export type SourceCommand =
  | { readonly do: 'pause' | 'resume'; readonly node: string | null }
  | { readonly do: 'seek'; readonly node: string | null; readonly to: SeekTarget }

export interface SampleLimits {
  readonly perSecondMax: number
  /** Messages a second that are looked at, by the filter. */
  readonly examinedPerSecondMax: number
  /** About so much of a value is shown, as JSON. */
  readonly valueCharsMax: number
  /** An expression over `$json`, `$key` and `$meta`: only messages for which it is true. */
  readonly filter: string | null
}

/** What went by since the last report. */
export interface SampleReport {
  readonly samples: readonly Sample[]
  /** Messages that were not looked at, or for which there was no room. */
  readonly missed: number
}

/** A message as it is shown: JSON; bytes are `{ bytes, hex }`, with the beginning of them. */
export interface Sample {
  readonly value: unknown
  readonly key: unknown
  /** Milliseconds since the epoch. */
  readonly time: number
}

export interface PipelineMetrics {
  readonly nodes: Readonly<Record<string, NodeMetrics>>
  readonly inFlight: number
  readonly inFlightMax: number
  /** Messages that failed for good and that no error port took. */
  readonly deadLetters: number
  /** Times that the watchdog found the workflow's thread standing still; 0 without a thread of its own. */
  readonly blocks: number
}

export interface NodeMetrics {
  readonly in: number
  readonly out: number
  /** Of `out`, what left by ports that no edge leaves: it ends there. */
  readonly ended: number
  readonly errors: number
  /** Milliseconds that the node's stage was busy; shared by the nodes of one stage. */
  readonly busyMs: number
}
