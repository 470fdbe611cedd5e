import { availableParallelism } from 'node:os'
import type { Log, Pool, PoolOptions } from '../core/host.ts'
import type { Backend } from './backend.ts'
import type { FlameTaskOptions, RunnerState } from './job.ts'

export interface FlameOptions extends Partial<Omit<PoolOptions, 'backend'>> {
  readonly name: string
  /** `process` by default. An object is a backend of one's own. */
  readonly backend?: PoolOptions['backend'] | Backend
  /** URLs of the modules that define the tasks; every runner imports them. */
  readonly tasks: readonly (URL | string)[]
  /** Tasks that may wait for a runner; over it they are refused with `worker.queue-full`. */
  readonly queueMax?: number
  readonly bootMsMax?: number
  /** How long a task that nobody wants any more may take to stop; then its runner is killed. */
  readonly stopMsMax?: number
  /** How long `close` and a runner that got SIGTERM wait for tasks at work. */
  readonly drainMsMax?: number
  /** How long a runner may not be heard of, while a task blocks its thread. */
  readonly silenceMsMax?: number
  /** How often a task is started again because its runner died. */
  readonly resumesMax?: number
  /** The largest value that may cross, in bytes. */
  readonly valueBytesMax?: number
  readonly heapMbMax?: number
  /** Names of environment variables that tasks may see, besides PATH, HOME, TMPDIR, FFMPEG_PATH and TZ. */
  readonly env?: readonly string[]
  readonly log?: Log
}

export interface FlamePool extends Pool {
  call(task: string, input: unknown, options?: FlameTaskOptions): Promise<unknown>
  cast(task: string, input: unknown, options?: FlameTaskOptions): Promise<void>
  stream(task: string, input: unknown, options?: FlameTaskOptions): AsyncIterable<unknown>
  stats(): PoolStats
  /** Takes no more tasks, finishes those it has within `drainMsMax`, ends all runners, and resolves when they are gone. */
  close(): Promise<void>
}

export interface PoolStats {
  readonly booting: number
  readonly ready: number
  readonly draining: number
  readonly ending: number
  readonly inFlight: number
  readonly queued: number
  /** Since the pool began. */
  readonly booted: number
  readonly died: number
  readonly resumed: number
  readonly runners: readonly {
    readonly id: string
    readonly pid: number | null
    readonly state: RunnerState
    readonly inFlight: number
  }[]
}

/** The bounds of a pool, or a RangeError that names those that contradict each other. */
export function boundsOf(options: FlameOptions): {
  readonly min: number
  readonly max: number
  readonly concurrencyMax: number
} {
  const min = options.min ?? 0
  const max = options.max ?? Math.max(1, min, availableParallelism())
  const concurrencyMax = options.concurrencyMax ?? 1
  const whole = [min, max, concurrencyMax].every((each) => Number.isSafeInteger(each))
  if (whole && min >= 0 && max >= 1 && min <= max && concurrencyMax >= 1) return { min, max, concurrencyMax }
  throw new RangeError(
    `The pool "${options.name}" has min ${min}, max ${max}, concurrencyMax ${concurrencyMax}; take whole numbers with 0 ≤ min ≤ max, max ≥ 1 and concurrencyMax ≥ 1`,
  )
}
