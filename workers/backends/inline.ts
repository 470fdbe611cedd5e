import type { Backend, BootOrder, RunnerEvents, RunnerHandle } from '../backend.ts'
import type { PoolFrame } from '../frames.ts'
import type { Runner } from '../runner.ts'
import { startRunner } from '../runner.ts'
import { Scale, unclonable } from '../value.ts'

/**
 * Runners in our own thread: for tests, and for work that waits more than it computes. Values are cloned as they would
 * be elsewhere, so a task that passes here passes there. A task that blocks blocks us; it cannot be killed, only left.
 */
export const inlineBackend: Backend = {
  name: 'inline',
  boot: (order, events) => new InlineRunner(order, events),
}

class InlineRunner implements RunnerHandle {
  readonly pid = null
  readonly #events: RunnerEvents
  readonly #scale: Scale
  readonly #runner: Runner
  #ended = false

  constructor(order: BootOrder, events: RunnerEvents) {
    this.#events = events
    this.#scale = new Scale(order.valueBytesMax)
    this.#runner = startRunner(order, {
      send: (frame) => this.#pass(frame, (data) => this.#events.frame(data)),
      leave: () => this.#end('it left'),
    })
  }

  send(frame: PoolFrame): void {
    this.#pass(frame, (data) => this.#runner.receive(data))
  }

  kill(): void {
    void this.#runner.abandon(0)
    this.#end('it was killed')
  }

  /** In a later microtask, as from afar: neither side is ever called from within its own call. */
  #pass(frame: readonly unknown[], receive: (data: unknown) => void): number {
    const bytes = this.#scale.weigh(frame)
    const data = cloneOf(this.#scale.trim(frame))
    queueMicrotask(() => {
      if (!this.#ended) receive(data)
    })
    return bytes
  }

  #end(cause: string): void {
    queueMicrotask(() => {
      if (this.#ended) return
      this.#ended = true
      this.#events.ended(cause)
    })
  }
}

function cloneOf(frame: unknown): unknown {
  try {
    return structuredClone(frame)
  } catch (thrown) {
    throw unclonable(thrown)
  }
}
