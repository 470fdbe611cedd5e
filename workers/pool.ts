import { failureOf, NodeError } from '../core/flow/failure.ts'
import type { Log } from '../core/host.ts'
import { backendOf } from './backends/builtin.ts'
import { Deadlines } from './deadlines.ts'
import { Fleet } from './fleet.ts'
import type { RunnerFrame, TaskMode } from './frames.ts'
import type { FlameTaskOptions, JobReader, RunnerLink, RunnerState } from './job.ts'
import { AnswerReader, Job } from './job.ts'
import type { FlameOptions, FlamePool, PoolStats } from './pool-options.ts'
import { boundsOf } from './pool-options.ts'
import { StreamReader } from './stream-reader.ts'

/**
 * Makes an elastic pool: runners come with the work and go when they are idle. Nothing is booted before it is needed,
 * except `min`. Throws a RangeError for bounds that contradict each other.
 */
export function flame(options: FlameOptions): FlamePool {
  return new ElasticPool(options)
}

const windowDefault = 8
const windowBytesDefault = 8 * 1024 * 1024

class ElasticPool implements FlamePool {
  readonly #name: string
  readonly #log: Log | null
  readonly #queueMax: number
  readonly #stopMsMax: number
  readonly #drainMsMax: number
  readonly #resumesMax: number
  readonly #deadlines = new Deadlines()
  readonly #fleet: Fleet
  /** In order of arrival; those whose runner died go before, they have waited already. */
  readonly #queue = new Set<Job>()
  readonly #resumed = new Set<Job>()
  /** Jobs that are not over: they alone keep our process alive. */
  #unfinished = 0
  readonly #keepAlive: NodeJS.Timeout
  #lastId = 0
  #resumes = 0
  #closed: Promise<void> | null = null
  readonly #drained: (() => void)[] = []

  constructor(options: FlameOptions) {
    this.#name = options.name
    this.#log = options.log ?? null
    this.#queueMax = options.queueMax ?? 1000
    this.#stopMsMax = options.stopMsMax ?? 5000
    this.#drainMsMax = options.drainMsMax ?? 10_000
    this.#resumesMax = options.resumesMax ?? 3
    this.#keepAlive = setInterval(() => undefined, 0x7fffffff)
    this.#keepAlive.unref()
    const { min, max, concurrencyMax } = boundsOf(options)
    const silenceMsMax = options.silenceMsMax ?? 60_000
    this.#fleet = new Fleet(
      {
        backend: backendOf(options.backend ?? 'process'),
        name: options.name,
        min,
        max,
        concurrencyMax,
        idleShutdownMs: options.idleShutdownMs ?? 30_000,
        bootMsMax: options.bootMsMax ?? 15_000,
        silenceMsMax,
        order: {
          tasks: options.tasks.map(String),
          valueBytesMax: options.valueBytesMax ?? 64 * 1024 * 1024,
          beatMs: Math.max(10, silenceMsMax / 6),
          drainMsMax: this.#drainMsMax,
          heapMbMax: options.heapMbMax ?? null,
          env: options.env ?? [],
        },
      },
      this.#deadlines,
      {
        frame: (link, frame) => this.#onFrame(link, frame),
        room: () => this.#assignQueued(),
        lost: (job, cause, blamed) => this.#onLost(job, cause, blamed),
        died: (runner, cause) => this.#log?.write('warn', `A runner died: ${cause}`, { pool: this.#name, runner }),
        bootFailed: (error) => this.#onBootFailed(error),
      },
    )
  }

  call(task: string, input: unknown, options: FlameTaskOptions = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#admit('call', task, input, options, new AnswerReader(resolve, reject))
    })
  }

  async cast(task: string, input: unknown, options: FlameTaskOptions = {}): Promise<void> {
    await new Promise((resolve, reject) => {
      this.#admit('cast', task, input, options, new AnswerReader(resolve, reject))
    })
  }

  stream(task: string, input: unknown, options: FlameTaskOptions = {}): AsyncIterable<unknown> {
    const window = Math.max(1, options.window ?? windowDefault)
    const windowBytes = Math.max(1, options.windowBytes ?? windowBytesDefault)
    return { [Symbol.asyncIterator]: () => this.#read(task, input, options, window, windowBytes) }
  }

  stats(): PoolStats {
    const runners = [...this.#fleet.links].map((link) => ({
      id: link.id,
      pid: link.handle.pid,
      state: link.state,
      inFlight: link.active.size,
    }))
    const count = (state: RunnerState) => runners.filter((each) => each.state === state).length
    return {
      booting: count('booting'),
      ready: count('ready'),
      draining: count('draining'),
      ending: count('ending'),
      inFlight: runners.reduce((sum, each) => sum + each.inFlight, 0),
      queued: this.#queue.size + this.#resumed.size,
      ...this.#fleet.counts,
      resumed: this.#resumes,
      runners,
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  #read(task: string, input: unknown, options: FlameTaskOptions, window: number, windowBytes: number): StreamReader {
    let job: Job | null = null
    return new StreamReader(
      {
        start: (reader) => {
          job = this.#admit('stream', task, input, options, reader)
        },
        taken: (count) => {
          if (job?.link?.state === 'ready' || job?.link?.state === 'draining')
            job.link.handle.send(['taken', job.id, count])
        },
        cancel: async () => {
          if (job === null) return
          this.#abandon(job)
          await job.gone()
        },
      },
      window,
      windowBytes,
    )
  }

  #admit(mode: TaskMode, task: string, input: unknown, options: FlameTaskOptions, reader: JobReader): Job {
    const job = new Job(++this.#lastId, mode, task, input, options, reader)
    const refusal = this.#refusal(options.signal)
    if (refusal !== null) {
      job.over = true
      reader.failed(refusal, true)
      return job
    }
    job.counted = true
    if (this.#unfinished++ === 0) this.#keepAlive.ref()
    this.#limit(job)
    const link = this.#queue.size + this.#resumed.size === 0 ? this.#fleet.pick() : null
    if (link !== null) {
      this.#start(job, link)
    } else {
      this.#queue.add(job)
      this.#fleet.scale(this.#queue.size + this.#resumed.size)
    }
    return job
  }

  #refusal(signal: AbortSignal | undefined): NodeError | null {
    if (this.#closed !== null) return new NodeError('worker.pool-closed', `The pool "${this.#name}" is closed`)
    if (signal?.aborted === true) return aborted(signal)
    if (this.#queue.size >= this.#queueMax) {
      return new NodeError(
        'worker.queue-full',
        `${this.#queue.size} tasks wait for a runner of the pool "${this.#name}" already; ask later, or raise max or queueMax`,
        { retriable: true },
      )
    }
    return this.#fleet.refusal
  }

  #limit(job: Job): void {
    const { signal, timeoutMs } = job.options
    if (timeoutMs !== undefined) {
      job.timeLimit = this.#deadlines.after(timeoutMs, () => {
        this.#giveUp(
          job,
          new NodeError('worker.timeout', `The task "${job.task}" was not done within ${timeoutMs} ms`, {
            retriable: true,
          }),
        )
      })
    }
    if (signal !== undefined) {
      job.onAbort = () => this.#giveUp(job, aborted(signal))
      signal.addEventListener('abort', job.onAbort, { once: true })
    }
  }

  #assignQueued(): void {
    for (const queue of [this.#resumed, this.#queue]) {
      for (const job of queue) {
        const link = this.#fleet.pick()
        if (link === null) break
        queue.delete(job)
        this.#start(job, link)
      }
    }
    this.#fleet.scale(this.#queue.size + this.#resumed.size)
  }

  #start(job: Job, link: RunnerLink): void {
    this.#fleet.take(link, job)
    try {
      link.handle.send(['start', job.id, job.mode, job.task, job.input, job.reader.start()])
    } catch (thrown) {
      this.#release(link, job)
      this.#fail(job, thrown instanceof NodeError ? thrown : new NodeError('worker.channel', String(thrown)))
    }
  }

  #onFrame(link: RunnerLink, frame: RunnerFrame): void {
    if (frame[0] === 'log' && frame[1] === 0)
      this.#log?.write(frame[2], frame[3], { pool: this.#name, runner: link.id })
    const id = frame[1]
    const job = typeof id === 'number' ? link.active.get(id) : undefined
    if (job === undefined) return
    switch (frame[0]) {
      case 'value':
        if (!job.over && !job.reader.value(frame[2], frame[3]))
          this.#fleet.kill(link, 'it sent a value out of order', null)
        break
      case 'full':
        job.reader.full()
        break
      case 'progress':
        if (!job.over) this.#tell(job, () => job.options.onProgress?.({ share: frame[2], note: frame[3] }))
        break
      case 'log':
        this.#log?.write(frame[2], frame[3], { pool: this.#name, runner: link.id, task: job.task })
        this.#tell(job, () => job.options.onLog?.(frame[2], frame[3]))
        break
      case 'accepted':
        job.accepted = true
        job.reader.done(undefined)
        break
      case 'done':
        this.#release(link, job)
        if (this.#finish(job) && !job.accepted) job.reader.done(frame[2])
        this.#assignQueued()
        break
      case 'failed':
        this.#release(link, job)
        this.#fail(job, new NodeError(frame[2].code, frame[2].message, { retriable: frame[2].retriable }))
        this.#assignQueued()
        break
      case 'stopped':
        this.#release(link, job)
        // Its runner has to go and could not wait: nobody here asked for it, so another one starts it again.
        if (!job.over) this.#onLost(job, 'it stopped the task', link.state === 'ready')
        this.#assignQueued()
        break
      case 'refused':
        this.#release(link, job)
        if (!job.over) this.#resumed.add(job)
        this.#assignQueued()
    }
  }

  /** The reader's own callback failed: its task is given up, and nobody else's. */
  #tell(job: Job, callback: () => void): void {
    try {
      callback()
    } catch (thrown) {
      const { code, message, retriable } = failureOf(thrown, null)
      this.#giveUp(job, new NodeError(code, `A callback of the task "${job.task}" failed: ${message}`, { retriable }))
    }
  }

  #onLost(job: Job, cause: string, blamed: boolean): void {
    if (job.over) {
      this.#uncount(job)
    } else if (job.accepted) {
      this.#fail(job, new NodeError('worker.runner-died', `The runner of "${job.task}" died: ${cause}`))
    } else {
      if (blamed) job.deaths += 1
      if (job.deaths > this.#resumesMax) this.#fail(job, runnerDied(job, cause))
      else this.#again(job)
    }
  }

  #again(job: Job): void {
    this.#resumes += 1
    this.#resumed.add(job)
  }

  #onBootFailed(error: NodeError): void {
    this.#log?.write('error', error.message, { pool: this.#name, code: error.code })
    for (const job of [...this.#resumed, ...this.#queue]) this.#fail(job, error)
  }

  /** The reader wants no more, with or without an error to be told. */
  #giveUp(job: Job, error: NodeError): void {
    if (job.over) return
    job.reader.failed(error, true)
    this.#abandon(job)
  }

  /** Ends the task wherever it is; a runner that does not stop in time is killed, and only this job is to blame. */
  #abandon(job: Job): void {
    if (!this.#finish(job)) return
    const { link } = job
    if (link === null) return
    if (link.state === 'ready' || link.state === 'draining') link.handle.send(['stop', job.id])
    job.stopLimit = this.#deadlines.after(this.#stopMsMax, () => {
      this.#fleet.kill(link, `the task "${job.task}" did not stop within ${this.#stopMsMax} ms`, job)
    })
  }

  #fail(job: Job, error: NodeError): void {
    if (!this.#finish(job)) return
    if (job.accepted) this.#log?.write('warn', error.message, { pool: this.#name, task: job.task, code: error.code })
    else job.reader.failed(error, false)
  }

  /** The reader is about to have its answer; false when it had one before. */
  #finish(job: Job): boolean {
    if (job.over) return false
    job.over = true
    this.#deadlines.cancel(job.timeLimit)
    if (job.onAbort !== null) job.options.signal?.removeEventListener('abort', job.onAbort)
    this.#queue.delete(job)
    this.#resumed.delete(job)
    this.#uncount(job)
    return true
  }

  #release(link: RunnerLink, job: Job): void {
    this.#fleet.release(link, job)
    this.#uncount(job)
  }

  #uncount(job: Job): void {
    if (!job.over || job.link !== null || !job.counted) return
    job.counted = false
    this.#unfinished -= 1
    if (this.#unfinished > 0) return
    this.#keepAlive.unref()
    for (const resolve of this.#drained.splice(0)) resolve()
  }

  async #close(): Promise<void> {
    this.#keepAlive.ref()
    const late = new Promise<void>((resolve) => this.#deadlines.after(this.#drainMsMax, resolve))
    if (this.#unfinished > 0) await Promise.race([late, new Promise<void>((resolve) => this.#drained.push(resolve))])
    const rest = new Set([
      ...this.#resumed,
      ...this.#queue,
      ...[...this.#fleet.links].flatMap((link) => [...link.active.values()]),
    ])
    for (const job of rest)
      this.#fail(
        job,
        new NodeError('worker.pool-closed', `The pool "${this.#name}" was closed before "${job.task}" was done`),
      )
    const gone = this.#fleet.close()
    if (rest.size > 0) this.#fleet.killAll('the pool was closed')
    await gone
    this.#deadlines.close()
    clearInterval(this.#keepAlive)
  }
}

function aborted(signal: AbortSignal): NodeError {
  return new NodeError('worker.aborted', 'The task was aborted by its caller', { cause: signal.reason })
}

function runnerDied(job: Job, cause: string): NodeError {
  return new NodeError(
    'worker.runner-died',
    `The task "${job.task}" lost its runner ${job.deaths} times, the last time because ${cause}`,
    { retriable: true },
  )
}
