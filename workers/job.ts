import type { NodeError } from '../core/flow/failure.ts'
import type { TaskOptions } from '../core/host.ts'
import type { RunnerHandle } from './backend.ts'
import type { Deadline } from './deadlines.ts'
import type { LogLevel, StreamStart, TaskMode } from './frames.ts'

/** What a pool's task may ask for beyond the contract that core sees. */
export interface FlameTaskOptions extends TaskOptions {
  /** Bytes that may be on their way before the reader has taken them; one value always may. */
  readonly windowBytes?: number
  readonly onLog?: (level: LogLevel, text: string) => void
}

/** Who waits for a task. Exactly one of `done` and `failed` is called, once; `value` only for streams. */
export interface JobReader {
  /** Takes a value of a stream; false when it is not the next one. */
  value(number: number, value: unknown): boolean
  /** The runner may send no more until it hears what was taken. */
  full(): void
  done(value: unknown): void
  /** `atOnce`: values that arrived and were not read are of no interest. */
  failed(error: NodeError, atOnce: boolean): void
  /** Where a runner has to start, and how far it may run ahead. */
  start(): StreamStart
}

/** One task that somebody asked for, from admission until nobody works on it any more. */
export class Job {
  readonly id: number
  readonly mode: TaskMode
  readonly task: string
  readonly input: unknown
  readonly options: FlameTaskOptions
  readonly reader: JobReader
  /** The runner that works on it. */
  link: RunnerLink | null = null
  /** How many runners died with it. */
  deaths = 0
  /** The reader has its answer; a runner may still be at work. */
  over = false
  /** Among the pool's unfinished jobs. */
  counted = false
  /** A cast that was accepted: nobody waits, and nobody runs it twice. */
  accepted = false
  timeLimit: Deadline | null = null
  stopLimit: Deadline | null = null
  onAbort: (() => void) | null = null
  #gone: (() => void)[] | null = null

  constructor(id: number, mode: TaskMode, task: string, input: unknown, options: FlameTaskOptions, reader: JobReader) {
    this.id = id
    this.mode = mode
    this.task = task
    this.input = input
    this.options = options
    this.reader = reader
  }

  /** Resolves when no runner works on it. */
  gone(): Promise<void> {
    if (this.link === null) return Promise.resolve()
    return new Promise((resolve) => {
      this.#gone ??= []
      this.#gone.push(resolve)
    })
  }

  left(): void {
    this.link = null
    for (const resolve of this.#gone ?? []) resolve()
    this.#gone = null
  }
}

const noStream: StreamStart = { resumeAfter: 0, taken: 0, window: 1, windowBytes: 1 }

/** The reader of a call or a cast: a promise. */
export class AnswerReader implements JobReader {
  readonly done: (value: unknown) => void
  readonly failed: (error: NodeError) => void

  constructor(resolve: (value: unknown) => void, reject: (error: NodeError) => void) {
    this.done = resolve
    this.failed = reject
  }

  value(): boolean {
    return false
  }

  full(): void {}

  start(): StreamStart {
    return noStream
  }
}

export type RunnerState = 'booting' | 'ready' | 'draining' | 'ending'

/** The pool's end of one runner. */
export interface RunnerLink {
  readonly id: string
  readonly handle: RunnerHandle
  readonly active: Map<number, Job>
  readonly children: Set<number>
  state: RunnerState
  wasReady: boolean
  /** Something arrived since the last look. */
  heard: boolean
  silentMs: number
  idleMs: number
  limit: Deadline | null
  /** Why we ended it, if we did. */
  sentence: Sentence | null
}

interface Sentence {
  readonly cause: string
  /** Only this job is to blame; null blames all. */
  readonly guilty: Job | null
}
