import type { Failure } from '../core/flow/failure.ts'
import { failureOf, NodeError } from '../core/flow/failure.ts'
import type { LogLevel, RunnerFrame, StreamStart, TaskMode } from './frames.ts'
import type { OwnedChild, Task, TaskContext } from './task.ts'

/** What a running task needs of its runner. */
export interface TaskHost {
  /** Throws for a value that cannot cross. Answers the bytes it takes. */
  say(frame: RunnerFrame): number
  log(id: number, level: LogLevel, text: string): void
  progressLater(): void
  over(task: RunningTask): void
}

/** One task at work in a runner: drives its generator within the reader's window, and cleans up behind it. */
export class RunningTask implements TaskContext {
  readonly id: number
  readonly runner: TaskContext['runner']
  readonly resumeAfter: number
  readonly #mode: TaskMode
  readonly #task: Task
  readonly #window: StreamStart
  readonly #host: TaskHost
  #controller: AbortController | null = null
  #stopping = false
  #over = false
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | null = null
  #children: Set<OwnedChild> | null = null
  #childError: NodeError | null = null
  #progress: { readonly share: number | null; readonly note: string } | null = null
  #progressRecent = false
  /** Number of the last value that the task made, of the last one that the reader took, and the bytes between. */
  #made: number
  #taken: number
  #bytesOut = 0
  readonly #sizes: number[] = []
  #wake: (() => void) | null = null

  constructor(
    id: number,
    mode: TaskMode,
    task: Task,
    window: StreamStart,
    host: TaskHost,
    runner: TaskContext['runner'],
  ) {
    this.id = id
    this.runner = runner
    this.resumeAfter = task.skipsOnResume ? window.resumeAfter : 0
    this.#mode = mode
    this.#task = task
    this.#window = window
    this.#host = host
    this.#made = this.resumeAfter
    this.#taken = window.taken
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#stopping) this.#controller.abort()
    }
    return this.#controller.signal
  }

  start(input: unknown): void {
    try {
      const outcome = this.#task.run(input, this)
      if (isIterable(outcome)) void this.#drive(outcome[Symbol.asyncIterator]())
      else if (isIterator(outcome)) void this.#drive(outcome)
      else if (isThenable(outcome)) outcome.then(this.#answer, this.#fail)
      else this.#answer(outcome)
    } catch (thrown) {
      this.#fail(thrown)
    }
  }

  /** The reader has taken that many values since the stream's beginning. */
  credit(taken: number): void {
    const last = Math.min(taken, Math.max(this.#made, this.#window.resumeAfter))
    while (this.#taken < last) {
      this.#taken += 1
      // Values that an earlier runner sent count as values here, but not as bytes.
      if (this.#taken > this.#window.resumeAfter) this.#bytesOut -= this.#sizes.shift() ?? 0
    }
    if (!this.#shut()) this.#wakeUp()
  }

  /** Aborts the signal, ends its child processes, and returns the generator when it yields or throws next. */
  stop(): void {
    if (this.#stopping) return
    this.#stopping = true
    this.#controller?.abort(new NodeError('worker.aborted', 'Nobody waits for this task any more'))
    this.#killChildren()
    this.#wakeUp()
  }

  readonly progress = (share: number | null, note = ''): void => {
    this.#progress = { share, note: note.slice(0, 500) }
    if (this.#progressRecent) return
    this.#sendProgress()
    this.#progressRecent = true
    this.#host.progressLater()
  }

  /** Called a while after progress was sent: sends what came since. */
  flushProgress(): void {
    this.#progressRecent = this.#progress !== null
    this.#sendProgress()
    if (this.#progressRecent) this.#host.progressLater()
  }

  readonly log = (level: LogLevel, text: string): void => {
    if (!this.#over) this.#host.log(this.id, level, text)
  }

  readonly own = <Child extends OwnedChild>(child: Child): Child => {
    const { pid } = child
    child.once('error', (error) => this.#fault(error))
    if (pid === undefined || child.exitCode !== null || child.signalCode !== null) return child
    this.#children ??= new Set()
    this.#children.add(child)
    this.#host.say(['own', pid])
    child.once('exit', () => {
      this.#children?.delete(child)
      this.#host.say(['disown', pid])
    })
    if (this.#over || this.#stopping) this.#killChildren()
    return child
  }

  #fault(error: Error): void {
    this.#childError ??= new NodeError(
      'worker.child-failed',
      `A child process of "${this.#task.name}" failed: ${error.message}`,
    )
    this.stop()
  }

  async #drive(iterator: AsyncIterator<unknown> | Iterator<unknown>): Promise<void> {
    this.#iterator = iterator
    let last: unknown
    try {
      while (!this.#stopping) {
        if (this.#mode === 'stream' && this.#shut()) {
          await this.#opened()
          continue
        }
        const step = await iterator.next()
        if (step.done === true) {
          this.#iterator = null
          this.#answer(this.#mode === 'call' ? (step.value ?? last) : undefined)
          return
        }
        if (this.#stopping) break
        if (this.#mode === 'stream') this.#emit(step.value)
        else last = step.value
      }
      await this.#returnIterator()
      this.#finish(['stopped', this.id])
    } catch (thrown) {
      await this.#returnIterator().catch(() => undefined)
      this.#fail(thrown)
    }
  }

  #emit(value: unknown): void {
    this.#made += 1
    if (this.#made <= this.#window.resumeAfter) return
    const bytes = this.#host.say(['value', this.id, this.#made, value])
    this.#sizes.push(bytes)
    this.#bytesOut += bytes
    if (this.#bytesOut >= this.#window.windowBytes) this.#host.say(['full', this.id])
  }

  /** Whether the reader's window is shut. One value may always be on its way, however large. */
  #shut(): boolean {
    const out = this.#made - this.#taken
    return out > 0 && (out >= this.#window.window || this.#bytesOut >= this.#window.windowBytes)
  }

  #opened(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  #wakeUp(): void {
    const wake = this.#wake
    this.#wake = null
    wake?.()
  }

  async #returnIterator(): Promise<void> {
    const iterator = this.#iterator
    this.#iterator = null
    await iterator?.return?.()
  }

  readonly #answer = (value: unknown): void => {
    if (this.#stopping) {
      this.#finish(['stopped', this.id])
      return
    }
    try {
      if (this.#mode === 'stream' && this.#made === 0 && value !== undefined) this.#emit(value)
      this.#finish(['done', this.id, this.#mode === 'call' ? value : undefined])
    } catch (thrown) {
      this.#fail(thrown)
    }
  }

  readonly #fail = (thrown: unknown): void => {
    this.#finish(this.#stopping ? ['stopped', this.id] : ['failed', this.id, failureOfTask(thrown)])
  }

  /** Throws, and is not over, when the answer cannot cross. */
  #finish(frame: RunnerFrame): void {
    if (this.#over) return
    if (this.#progress !== null) this.#sendProgress()
    this.#host.say(this.#childError === null ? frame : ['failed', this.id, failureOfTask(this.#childError)])
    this.#over = true
    this.#killChildren()
    this.#host.over(this)
  }

  #sendProgress(): void {
    const progress = this.#progress
    this.#progress = null
    if (progress !== null && !this.#over) this.#host.say(['progress', this.id, progress.share, progress.note])
  }

  #killChildren(): void {
    if (this.#children === null) return
    for (const child of this.#children) child.kill('SIGKILL')
  }
}

function failureOfTask(thrown: unknown): Failure {
  const failure = failureOf(thrown, null)
  return { ...failure, message: failure.message.slice(0, 2000) }
}

function isIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function isIterator(value: unknown): value is Iterator<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value && 'next' in value
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
