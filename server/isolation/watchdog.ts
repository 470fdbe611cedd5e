import type { Clock } from '../../core/host.ts'

export interface WatchdogOptions {
  readonly blockMsMax: number
  readonly killMsMax: number
  /** Called with every look, to pass on what the thread should know. */
  readonly vars: () => void
  /** The thread has not moved for `blockMsMax`; told once per block, with the index of the node at work or -1. */
  readonly blocked: (node: number, forMs: number) => void
  /** … for `killMsMax`. */
  readonly kill: (node: number, forMs: number) => void
}

const lookMs = 250
const bootMsMax = 30_000

/** Looks at a thread's beats from outside, and tells which node is at work when they stop. */
export class Watchdog {
  readonly #slots: Int32Array
  readonly #clock: Clock
  readonly #options: WatchdogOptions
  #beats = 0
  #movedAt: number
  #told = false
  #cancel: () => void

  constructor(slots: Int32Array, clock: Clock, options: WatchdogOptions) {
    this.#slots = slots
    this.#clock = clock
    this.#options = options
    this.#movedAt = clock.elapsed()
    this.#cancel = clock.after(lookMs, () => this.#look())
  }

  close(): void {
    this.#cancel()
  }

  #look(): void {
    this.#cancel = this.#clock.after(lookMs, () => this.#look())
    const beats = Atomics.load(this.#slots, 1)
    const now = this.#clock.elapsed()
    if (beats !== this.#beats) {
      this.#beats = beats
      this.#movedAt = now
      this.#told = false
      this.#options.vars()
      return
    }
    const forMs = Math.round(now - this.#movedAt)
    // A thread that has not begun to beat is still starting: loading code takes longer than a message may.
    if (beats === 0 && forMs < bootMsMax) return
    const node = Atomics.load(this.#slots, 0) - 1
    if (forMs >= this.#options.killMsMax) {
      this.close()
      this.#options.kill(node, forMs)
    } else if (forMs >= this.#options.blockMsMax && !this.#told) {
      this.#told = true
      this.#options.blocked(node, forMs)
    }
  }
}
