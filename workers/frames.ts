import type { Failure } from '../core/flow/failure.ts'

/** What a pool says to a runner. Plain data, so that any channel can carry it. */
export type PoolFrame =
  | readonly ['start', id: number, mode: TaskMode, task: string, input: unknown, stream: StreamStart]
  /** The reader has taken so many values of the stream, counted from its first. */
  | readonly ['taken', id: number, count: number]
  | readonly ['stop', id: number]
  /** No task is left: go. */
  | readonly ['end']

export type TaskMode = 'call' | 'cast' | 'stream'

export interface StreamStart {
  /** Values that arrived from earlier runners. */
  readonly resumeAfter: number
  /** Values that the reader has taken; the window counts from here. */
  readonly taken: number
  readonly window: number
  readonly windowBytes: number
}

/** What a runner says to its pool. */
export type RunnerFrame =
  | readonly ['ready', tasks: readonly string[]]
  | readonly ['unready', failure: Failure]
  | readonly ['accepted', id: number]
  /** Not taken, because the runner is about to go. */
  | readonly ['refused', id: number]
  | readonly ['value', id: number, number: number, value: unknown]
  /** The byte window is shut: word of every value taken is wanted at once. */
  | readonly ['full', id: number]
  | readonly ['done', id: number, value: unknown]
  | readonly ['failed', id: number, failure: Failure]
  | readonly ['stopped', id: number]
  | readonly ['progress', id: number, share: number | null, note: string]
  | readonly ['log', id: number, level: LogLevel, text: string]
  | readonly ['own', pid: number]
  | readonly ['disown', pid: number]
  | readonly ['draining']
  | readonly ['beat']

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Checks what came from a runner; null for anything that no runner of ours would say. */
export function readRunnerFrame(data: unknown): RunnerFrame | null {
  if (!Array.isArray(data)) return null
  const [kind, id, third, fourth]: readonly unknown[] = data
  if (kind === 'draining') return ['draining']
  if (kind === 'beat') return ['beat']
  if (kind === 'ready') return Array.isArray(id) ? ['ready', id.filter((name) => typeof name === 'string')] : null
  if (kind === 'unready') return isFailure(id) ? ['unready', id] : null
  if (!isCount(id)) return null
  switch (kind) {
    case 'accepted':
    case 'refused':
    case 'full':
    case 'stopped':
      return [kind, id]
    case 'own':
    case 'disown':
      // 0 would mean our own group, and 1 is nobody's child.
      return id > 1 ? [kind, id] : null
    case 'value':
      return isCount(third) ? ['value', id, third, fourth] : null
    case 'done':
      return ['done', id, third]
    case 'failed':
      return isFailure(third) ? ['failed', id, third] : null
    case 'progress':
      return (third === null || typeof third === 'number') && typeof fourth === 'string'
        ? ['progress', id, third, fourth]
        : null
    case 'log':
      return isLevel(third) && typeof fourth === 'string' ? ['log', id, third, fourth] : null
    default:
      return null
  }
}

/** Checks what came from a pool; null for anything that no pool of ours would say. */
export function readPoolFrame(data: unknown): PoolFrame | null {
  if (!Array.isArray(data)) return null
  const [kind, id, third, task, input, stream]: readonly unknown[] = data
  if (kind === 'end') return ['end']
  if (!isCount(id)) return null
  if (kind === 'stop') return ['stop', id]
  if (kind === 'taken') return isCount(third) ? ['taken', id, third] : null
  if (kind !== 'start' || !isMode(third) || typeof task !== 'string' || !isStreamStart(stream)) return null
  return ['start', id, third, task, input, stream]
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isMode(value: unknown): value is TaskMode {
  return value === 'call' || value === 'cast' || value === 'stream'
}

function isLevel(value: unknown): value is LogLevel {
  return value === 'debug' || value === 'info' || value === 'warn' || value === 'error'
}

function isStreamStart(value: unknown): value is StreamStart {
  if (typeof value !== 'object' || value === null) return false
  if (!('resumeAfter' in value && 'taken' in value && 'window' in value && 'windowBytes' in value)) return false
  return isCount(value.resumeAfter) && isCount(value.taken) && isCount(value.window) && isCount(value.windowBytes)
}

function isFailure(value: unknown): value is Failure {
  if (typeof value !== 'object' || value === null) return false
  if (!('code' in value && 'message' in value && 'retriable' in value)) return false
  return typeof value.code === 'string' && typeof value.message === 'string' && typeof value.retriable === 'boolean'
}
