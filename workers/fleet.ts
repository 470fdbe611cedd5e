import { failureOf, NodeError } from '../core/flow/failure.ts'
import type { Backend, BootOrder, RunnerHandle } from './backend.ts'
import type { Deadline, Deadlines } from './deadlines.ts'
import type { RunnerFrame } from './frames.ts'
import { readRunnerFrame } from './frames.ts'
import type { Job, RunnerLink } from './job.ts'

export interface FleetOptions {
  readonly backend: Backend
  readonly order: Omit<BootOrder, 'runner' | 'backend'>
  readonly name: string
  readonly min: number
  readonly max: number
  readonly concurrencyMax: number
  readonly idleShutdownMs: number
  readonly bootMsMax: number
  readonly silenceMsMax: number
}

export interface FleetEvents {
  /** A frame that belongs to a task. */
  frame(link: RunnerLink, frame: RunnerFrame): void
  /** A runner may have a free place, or a new one may be booted. */
  room(): void
  /** A runner died under its tasks. `blamed` says whether the death counts against the task. */
  lost(job: Job, cause: string, blamed: boolean): void
  died(runner: string, cause: string): void
  /** No runner comes up. */
  bootFailed(error: NodeError): void
}

const endMsMax = 2000
/** A runner that is not gone so long after it was killed stays where it is: in the operating system's hands. */
const goneMsMax = 5000
const backoffMsMin = 100
const backoffMsMax = 5000
/** Failed boots in a row after which waiting tasks are told. */
const bootFailuresMax = 3

/** The runners of one pool: boots and ends them within min and max, and hears when one is silent or gone. */
export class Fleet {
  readonly links = new Set<RunnerLink>()
  readonly #options: FleetOptions
  readonly #events: FleetEvents
  readonly #deadlines: Deadlines
  readonly #watch: NodeJS.Timeout
  #booted = 0
  #died = 0
  #bootFailures = 0
  #bootError: NodeError | null = null
  #bootAgainAt = 0
  #bootAgain: Deadline | null = null
  #watchedAt = performance.now()
  #closing = false
  #empty: (() => void)[] = []

  constructor(options: FleetOptions, deadlines: Deadlines, events: FleetEvents) {
    this.#options = options
    this.#deadlines = deadlines
    this.#events = events
    const watchMs = Math.max(10, Math.min(1000, options.idleShutdownMs / 4, options.silenceMsMax / 4))
    this.#watch = setInterval(() => this.#look(watchMs), watchMs)
    this.#watch.unref()
    this.scale(0)
  }

  get counts(): { readonly booted: number; readonly died: number } {
    return { booted: this.#booted, died: this.#died }
  }

  /** The error to refuse a task with at once: boots have failed of late, and there is nobody else to take it. */
  get refusal(): NodeError | null {
    return this.#bootError !== null && this.links.size === 0 && performance.now() < this.#bootAgainAt
      ? this.#bootError
      : null
  }

  /** The ready runner with the fewest tasks, if it has a free place. */
  pick(): RunnerLink | null {
    let best: RunnerLink | null = null
    let fewest = this.#options.concurrencyMax
    for (const link of this.links) {
      if (link.state !== 'ready' || link.active.size >= fewest) continue
      if (link.active.size === 0) return link
      best = link
      fewest = link.active.size
    }
    return best
  }

  /** Boots what `min` and so many waiting tasks ask for; never over `max`, the booting and the dying included. */
  scale(waiting: number): void {
    if (this.#closing) return
    let booting = 0
    let alive = 0
    for (const { state } of this.links) {
      if (state === 'booting') booting += 1
      if (state === 'booting' || state === 'ready') alive += 1
    }
    const forTasks = Math.ceil(waiting / this.#options.concurrencyMax) - booting
    const wanted = Math.max(forTasks, this.#options.min - alive)
    const allowed = Math.min(wanted, this.#options.max - this.links.size)
    if (allowed <= 0) return
    const waitMs = this.#bootAgainAt - performance.now()
    if (waitMs > 0) {
      this.#bootAgain ??= this.#deadlines.after(waitMs, () => {
        this.#bootAgain = null
        this.#events.room()
      })
      return
    }
    for (let n = allowed; n > 0; n--) this.#boot()
  }

  take(link: RunnerLink, job: Job): void {
    link.active.set(job.id, job)
    job.link = link
    link.idleMs = 0
  }

  /** No runner works on this job any more. */
  release(link: RunnerLink, job: Job): void {
    if (!link.active.delete(job.id)) return
    this.#deadlines.cancel(job.stopLimit)
    job.stopLimit = null
    job.left()
    if (link.active.size > 0) return
    if (link.state === 'draining') this.end(link)
  }

  /** Lets a runner without tasks go. */
  end(link: RunnerLink): void {
    if (link.state === 'ending') return
    link.state = 'ending'
    link.handle.send(['end'])
    this.#deadlines.cancel(link.limit)
    link.limit = this.#deadlines.after(endMsMax, () => this.kill(link, 'it did not go when it was told to', null))
  }

  kill(link: RunnerLink, cause: string, guilty: Job | null): void {
    link.state = 'ending'
    link.sentence ??= { cause, guilty }
    link.handle.kill(link.children)
  }

  /** Ends runners as they become free; resolves when all are gone. */
  close(): Promise<void> {
    this.#closing = true
    this.#deadlines.cancel(this.#bootAgain)
    this.#bootAgain = null
    for (const link of this.links) {
      if (link.state === 'booting') this.kill(link, 'the pool was closed', null)
      else if (link.active.size === 0) this.end(link)
      else if (link.state === 'ready') link.state = 'draining'
    }
    return new Promise((resolve) => {
      this.#empty.push(resolve)
      this.#checkEmpty()
      this.#deadlines.after(goneMsMax, resolve)
    })
  }

  killAll(cause: string): void {
    for (const link of this.links) this.kill(link, cause, null)
  }

  #boot(): void {
    const { backend, order, name, bootMsMax } = this.#options
    this.#booted += 1
    const id = `${name}-${this.#booted}`
    const events = {
      frame: (data: unknown) => this.#onFrame(link, data),
      ended: (cause: string) => this.#onEnded(link, cause),
    }
    let handle: RunnerHandle
    try {
      handle = backend.boot({ ...order, runner: id, backend: backend.name }, events)
    } catch (thrown) {
      this.#onBootFailed(failureOf(thrown, null).message)
      return
    }
    const link: RunnerLink = {
      id,
      handle,
      active: new Map(),
      children: new Set(),
      state: 'booting',
      wasReady: false,
      heard: false,
      silentMs: 0,
      idleMs: 0,
      limit: null,
      sentence: null,
    }
    link.limit = this.#deadlines.after(bootMsMax, () =>
      this.kill(link, `it was not ready within ${bootMsMax} ms`, null),
    )
    this.links.add(link)
  }

  #onFrame(link: RunnerLink, data: unknown): void {
    link.heard = true
    const frame = readRunnerFrame(data)
    if (frame === null) {
      this.kill(link, 'it sent what is no frame', null)
      return
    }
    switch (frame[0]) {
      case 'ready':
        this.#onReady(link)
        break
      case 'unready':
        // It would fail again: nobody waits for that.
        this.#bootFailures = bootFailuresMax
        this.kill(link, frame[1].message, null)
        break
      case 'draining':
        if (link.state === 'ready') link.state = 'draining'
        if (link.active.size === 0) this.end(link)
        this.#events.room()
        break
      case 'own':
        link.children.add(frame[1])
        break
      case 'disown':
        link.children.delete(frame[1])
        break
      case 'beat':
        break
      default:
        this.#events.frame(link, frame)
    }
  }

  #onReady(link: RunnerLink): void {
    if (link.state !== 'booting') return
    this.#deadlines.cancel(link.limit)
    link.limit = null
    link.state = 'ready'
    link.wasReady = true
    this.#bootFailures = 0
    this.#bootError = null
    this.#bootAgainAt = 0
    this.#events.room()
  }

  #onEnded(link: RunnerLink, cause: string): void {
    this.links.delete(link)
    this.#deadlines.cancel(link.limit)
    const why = link.sentence?.cause ?? cause
    if (link.state !== 'ending' || link.sentence !== null) {
      this.#died += 1
      this.#events.died(link.id, why)
    }
    if (!link.wasReady && !this.#closing) this.#onBootFailed(why)
    // One that dies idle would be replaced at once, and the next one perhaps dies as well.
    else if (link.state === 'ready' && link.active.size === 0) this.#bootAgainAt = performance.now() + backoffMsMin
    const guilty = link.sentence?.guilty ?? null
    for (const job of [...link.active.values()]) {
      this.release(link, job)
      this.#events.lost(job, why, guilty === null || guilty === job)
    }
    this.#checkEmpty()
    this.#events.room()
  }

  #onBootFailed(why: string): void {
    this.#bootFailures += 1
    const backoffMs = Math.min(backoffMsMax, backoffMsMin * 2 ** (this.#bootFailures - 1))
    this.#bootAgainAt = performance.now() + backoffMs
    if (this.#bootFailures < bootFailuresMax) return
    this.#bootError = new NodeError('worker.boot-failed', `The pool "${this.#options.name}" gets no runner: ${why}`, {
      retriable: true,
    })
    this.#events.bootFailed(this.#bootError)
  }

  #checkEmpty(): void {
    if (!this.#closing || this.links.size > 0) return
    clearInterval(this.#watch)
    for (const resolve of this.#empty.splice(0)) resolve()
  }

  /** Looks for runners that are silent or idle for too long. Time in which we ourselves stood still does not count. */
  #look(watchMs: number): void {
    const now = performance.now()
    const passedMs = Math.min(now - this.#watchedAt, watchMs * 2)
    this.#watchedAt = now
    const { idleShutdownMs, min, silenceMsMax } = this.#options
    let ready = 0
    for (const link of this.links) if (link.state === 'ready') ready += 1
    for (const link of this.links) {
      link.silentMs = link.heard ? 0 : link.silentMs + passedMs
      link.heard = false
      if (link.silentMs > silenceMsMax && link.wasReady) {
        this.kill(
          link,
          `it was silent for ${silenceMsMax} ms (a task that blocks its thread for longer needs a larger silenceMsMax)`,
          null,
        )
      } else if (link.state === 'ready' && link.active.size === 0) {
        link.idleMs += passedMs
        if (link.idleMs <= idleShutdownMs || ready <= min) continue
        ready -= 1
        this.end(link)
      }
    }
  }
}
