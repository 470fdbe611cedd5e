import type { Failure } from '../core/flow/failure.ts'
import { failureOf } from '../core/flow/failure.ts'
import type { BootOrder } from './backend.ts'
import type { PoolFrame, RunnerFrame } from './frames.ts'
import { readPoolFrame } from './frames.ts'
import { RunningTask } from './running-task.ts'
import { findTask, taskNames } from './task.ts'

/** The runner's end of a backend. */
export interface RunnerChannel {
  /** Sends and answers the bytes it takes. Throws a NodeError for a value that cannot cross, and then has sent nothing. */
  send(frame: RunnerFrame): number
  /** Leaves for good, once what was sent is on its way. */
  leave(): void
  /** The last task at work is over. */
  idle?(): void
}

/** A runner at work, as its backend sees it. */
export interface Runner {
  /** Whether no task is at work. */
  readonly idle: boolean
  /** Takes what the pool said. */
  receive(data: unknown): void
  /** Takes no new task, works off what it has, then asks the pool for leave; leaves by itself after `drainMsMax`. */
  drain(): void
  /** Aborts every task and answers when they are over, or after `waitMsMax`. For a runner whose pool has gone. */
  abandon(waitMsMax: number): Promise<void>
}

/** Imports the task modules, says that it is ready, and serves. The same for every backend. */
export function startRunner(order: BootOrder, channel: RunnerChannel): Runner {
  const runner = new TaskRunner(order, channel)
  void runner.boot()
  return runner
}

const progressMs = 50
/** Log lines between two beats. */
const logLinesMax = 500

class TaskRunner implements Runner {
  readonly #order: BootOrder
  readonly #channel: RunnerChannel
  readonly #running = new Map<number, RunningTask>()
  #draining = false
  #left = false
  #logLines = 0
  #progressTimer: NodeJS.Timeout | null = null
  #beat: NodeJS.Timeout | null = null
  #drainTimer: NodeJS.Timeout | null = null
  #onIdle: (() => void) | null = null

  constructor(order: BootOrder, channel: RunnerChannel) {
    this.#order = order
    this.#channel = channel
  }

  get idle(): boolean {
    return this.#running.size === 0
  }

  async boot(): Promise<void> {
    for (const url of this.#order.tasks) {
      try {
        await import(url)
      } catch (thrown) {
        const { code, message } = failureOf(thrown, null)
        this.#send([
          'unready',
          {
            code: 'worker.boot-failed',
            message: `The task module ${url} does not load (${code}): ${message}`,
            node: null,
            retriable: false,
          },
        ])
        return
      }
    }
    this.#beat = setInterval(() => this.#onBeat(), this.#order.beatMs)
    this.#beat.unref()
    this.#send(['ready', taskNames()])
  }

  receive(data: unknown): void {
    const frame = readPoolFrame(data)
    if (frame === null || this.#left) return
    switch (frame[0]) {
      case 'start':
        this.#start(frame)
        break
      case 'taken':
        this.#running.get(frame[1])?.credit(frame[2])
        break
      case 'stop':
        this.#running.get(frame[1])?.stop()
        break
      case 'end':
        this.#leave()
    }
  }

  drain(): void {
    if (this.#draining) return
    this.#draining = true
    this.#send(['draining'])
    this.#drainTimer = setTimeout(() => void this.abandon(1000).then(() => this.#leave()), this.#order.drainMsMax)
  }

  async abandon(waitMsMax: number): Promise<void> {
    this.#draining = true
    if (this.#running.size === 0) return
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve
      setTimeout(resolve, waitMsMax)
    })
    for (const task of this.#running.values()) task.stop()
    await idle
  }

  /** Sends what a task said; a value that cannot cross throws. */
  say(frame: RunnerFrame): number {
    return this.#left ? 0 : this.#channel.send(frame)
  }

  log(id: number, level: 'debug' | 'info' | 'warn' | 'error', text: string): void {
    if (this.#logLines++ < logLinesMax) this.#send(['log', id, level, text.slice(0, 4000)])
  }

  /** Progress is sent at once, and then at most every `progressMs`: the last word of a task is never lost. */
  progressLater(): void {
    this.#progressTimer ??= setTimeout(() => {
      this.#progressTimer = null
      for (const task of this.#running.values()) task.flushProgress()
    }, progressMs)
  }

  over(task: RunningTask): void {
    this.#running.delete(task.id)
    if (this.#running.size > 0) return
    this.#onIdle?.()
    this.#channel.idle?.()
  }

  #start([, id, mode, name, input, stream]: Extract<PoolFrame, readonly ['start', ...unknown[]]>): void {
    if (this.#draining) {
      this.#send(['refused', id])
      return
    }
    const task = findTask(name)
    if (task === undefined) {
      this.#send(['failed', id, unknownTask(name)])
      return
    }
    const running = new RunningTask(id, mode, task, stream, this, {
      id: this.#order.runner,
      backend: this.#order.backend,
    })
    this.#running.set(id, running)
    if (mode === 'cast') this.#send(['accepted', id])
    running.start(input)
  }

  #onBeat(): void {
    if (this.#logLines > logLinesMax) {
      this.#send([
        'log',
        0,
        'warn',
        `${this.#logLines - logLinesMax} log lines were dropped: more than ${logLinesMax} in ${this.#order.beatMs} ms`,
      ])
    }
    this.#logLines = 0
    this.#send(['beat'])
  }

  #send(frame: RunnerFrame): void {
    if (!this.#left) this.#channel.send(frame)
  }

  #leave(): void {
    if (this.#left) return
    this.#left = true
    if (this.#beat !== null) clearInterval(this.#beat)
    if (this.#drainTimer !== null) clearTimeout(this.#drainTimer)
    if (this.#progressTimer !== null) clearTimeout(this.#progressTimer)
    for (const task of this.#running.values()) task.stop()
    this.#channel.leave()
  }
}

function unknownTask(name: string): Failure {
  const known = taskNames()
  const hint = known.length === 0 ? 'it knows none' : `it knows ${known.slice(0, 20).join(', ')}`
  return {
    code: 'worker.task-unknown',
    message: `The runner has no task "${name}" (${hint}); add the module that defines it to the pool's tasks`,
    node: null,
    retriable: false,
  }
}
