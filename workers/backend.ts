import type { PoolFrame } from './frames.ts'

/**
 * Where runners live. This is all that a pool knows of it: a backend starts runners and carries frames.
 * Every backend passes the suite in backends/conformance.ts.
 *
 * A backend out of reach (a machine that joined, a container) fits as it stands: `boot` asks for a runner that dials
 * back with a token of its own, the handle keeps what is sent until it has, and `channel.ts` cuts the connection's
 * bytes into frames. Numbered values, resuming, credits, silence and draining are above this line, in pool and runner.
 */
export interface Backend {
  readonly name: string
  /** Starts one runner. Throws when nothing was started; what goes wrong later is told to `events.ended`. */
  boot(order: BootOrder, events: RunnerEvents): RunnerHandle
}

/** What a runner needs to know, as plain data. */
export interface BootOrder {
  readonly runner: string
  readonly backend: string
  /** URLs of the modules that define the tasks. */
  readonly tasks: readonly string[]
  /** The largest value, encoded, that may cross in either direction. */
  readonly valueBytesMax: number
  /** How often the runner lets itself be heard. */
  readonly beatMs: number
  /** How long a runner that was told to go by a signal may work on. */
  readonly drainMsMax: number
  /** Heap limit of one runner, null for the platform's own. */
  readonly heapMbMax: number | null
  /** Names of environment variables that tasks may see, besides the few that programs need to run. */
  readonly env: readonly string[]
}

/** The pool's ears. Nothing is called before `boot` has returned, and nothing after `ended`. */
export interface RunnerEvents {
  /** Something arrived. It is not checked yet: a runner may be broken. */
  frame(data: unknown): void
  /** The runner is gone for good, with what is known of the cause. Exactly once. */
  ended(cause: string): void
}

/** The pool's hand on one runner. It never keeps our process alive: unfinished tasks do, in the pool. */
export interface RunnerHandle {
  /** The runner's process, where it has one of its own. */
  readonly pid: number | null
  /** Throws a NodeError `worker.value-unclonable` or `worker.value-too-large`, and then has sent nothing. */
  send(frame: PoolFrame): void
  /** Ends the runner now, whatever it does; `ended` follows. `pids` are child processes that go with it. Idempotent. */
  kill(pids: Iterable<number>): void
}
