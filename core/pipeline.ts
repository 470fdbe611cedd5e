import type { Observable } from 'rxjs'
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
  /** Opens all triggers: event triggers begin to listen, stream triggers to flow. Answers the long-lived execution, if any. */
  open(): Promise<Execution | null>
  /** Executions that are not over yet. */
  readonly executions: ReadonlyMap<string, Execution>
  /** Every execution that starts, also those that triggers start by themselves. */
  readonly started$: Observable<Execution>
  /** Counters per node since the pipeline was made; null when telemetry is compiled out. */
  metrics(): PipelineMetrics | null
  /** Attaches a reader to what leaves a node's port. A slow reader loses samples. The answer detaches. */
  tap(node: string, port: string, read: (messages: readonly Message[]) => void): () => void
  /** Stops all executions within the limit and closes what the pipeline owns. */
  release(limitMs?: number): Promise<void>
}

export type ExecutionState = 'queued' | 'running' | 'draining' | 'suspended' | 'done' | 'failed' | 'stopped' | 'lost'

export interface Execution {
  readonly id: string
  readonly entry: string
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
  readonly failure: Failure | null
}

export interface PipelineMetrics {
  readonly nodes: Readonly<Record<string, NodeMetrics>>
  readonly inFlight: number
  readonly inFlightMax: number
}

export interface NodeMetrics {
  readonly in: number
  readonly out: number
  readonly errors: number
  /** Milliseconds that the node's stage was busy; shared by the nodes of one stage. */
  readonly busyMs: number
}
