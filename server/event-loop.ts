import { monitorEventLoopDelay } from 'node:perf_hooks'

const resolutionMs = 10

/** How late the event loop was since the last look, in seconds. */
export interface EventLoopDelay {
  readonly mean: number
  readonly p99: number
  readonly max: number
}

/** Watches the delay of the event loop from the first look on: a server that nobody asks pays nothing. */
export class EventLoopWatch {
  #histogram: ReturnType<typeof monitorEventLoopDelay> | null = null

  look(): EventLoopDelay {
    if (this.#histogram === null) {
      this.#histogram = monitorEventLoopDelay({ resolution: resolutionMs })
      this.#histogram.enable()
      return { mean: 0, p99: 0, max: 0 }
    }
    const { mean, max } = this.#histogram
    const delay = { mean: late(mean), p99: late(this.#histogram.percentile(99)), max: late(max) }
    this.#histogram.reset()
    return delay
  }

  close(): void {
    this.#histogram?.disable()
  }
}

/** The histogram holds nanoseconds between two ticks of its timer, whose own pace is no delay. Without a tick it holds no number. */
function late(nanoseconds: number): number {
  return Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9 - resolutionMs / 1e3) : 0
}
