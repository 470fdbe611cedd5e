import { NodeError } from '../core/flow/failure.ts'

/**
 * Registers a task under a name of its own, in the process or thread that imports the module. Pools call it by that
 * name; a function is never shipped. An async generator streams its values, a plain async function answers one.
 *
 * The type of `input` is what callers promise, nothing checks it: a task that takes input from users parses it first.
 * Throws a NodeError `worker.task-duplicate` when another function has the name.
 */
export function defineTask<Input = unknown>(
  name: string,
  run: TaskFunction<Input>,
  options: TaskDefinitionOptions = {},
): Task {
  const task: Task = { name, run, skipsOnResume: options.skipsOnResume ?? false }
  const known = registry.get(name)
  if (known !== undefined && known.run.toString() !== run.toString())
    throw new NodeError('worker.task-duplicate', `Two tasks have the name "${name}"; give one of them another name`)
  registry.set(name, task)
  return task
}

export interface Task {
  readonly name: string
  readonly run: TaskFunction<unknown>
  readonly skipsOnResume: boolean
}

export interface TaskDefinitionOptions {
  /**
   * True for a task that looks at `context.resumeAfter` and begins with the value after it. Otherwise a resumed
   * stream runs from its start, and the values that the reader already has are dropped: they must come in the same order.
   */
  readonly skipsOnResume?: boolean
}

/** Written as a method, so that a task may name the type of its input: TypeScript compares methods both ways. */
export type TaskFunction<Input> = {
  run(input: Input, context: TaskContext): AsyncIterable<unknown> | Iterator<unknown> | Promise<unknown> | unknown
}['run']

export interface TaskContext {
  /** Aborted when the reader has gone, the time is over or the runner must end. */
  readonly signal: AbortSignal
  /** How many values the reader has from an earlier runner; 0 unless the task is defined with `skipsOnResume`. */
  readonly resumeAfter: number
  readonly runner: { readonly id: string; readonly backend: string }
  /** Says how far the task is: 0 to 1, or null where it cannot tell. Many calls become few messages. */
  progress(share: number | null, note?: string): void
  log(level: 'debug' | 'info' | 'warn' | 'error', text: string): void
  /**
   * Hands over a child process, and answers it. It is killed when the task is over in any way, or its runner dies; when
   * it does not start, the task is aborted and fails with `worker.child-failed`.
   */
  own<Child extends OwnedChild>(child: Child): Child
}

/** The part of node's ChildProcess that a runner needs. */
export interface OwnedChild {
  readonly pid?: number | undefined
  readonly exitCode: number | null
  readonly signalCode: NodeJS.Signals | null
  kill(signal: 'SIGKILL'): boolean
  once(event: 'exit', listener: () => void): unknown
  once(event: 'error', listener: (error: Error) => void): unknown
}

/** The task of that name, if a module that defines it was imported. */
export function findTask(name: string): Task | undefined {
  return registry.get(name)
}

/** The names of all tasks that are defined here, sorted. */
export function taskNames(): readonly string[] {
  return [...registry.keys()].sort()
}

const registryKey = Symbol.for('millrace.tasks')

/** One registry per thread, even where this package is installed twice. */
const registry = sharedRegistry()

function sharedRegistry(): Map<string, Task> {
  const holder: typeof globalThis & { [registryKey]?: Map<string, Task> } = globalThis
  holder[registryKey] ??= new Map()
  return holder[registryKey]
}
