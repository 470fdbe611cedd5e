import type { Clock } from '../core/host.ts'

/** The machine's own clock. Its timers do not keep a process alive: a server lives by what it listens on. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  soon(callback) {
    setImmediate(callback)
  },
}
