import type { Clock } from '../host.ts'
import type { CreditGate } from './credits.ts'

export const sliceMsMax = 5

/** What a step of a source found: it emitted, the gate refused, there is nothing now, or there is nothing more. */
export type Step = 'emitted' | 'full' | 'idle' | 'done'

/** A source's engine: runs its steps in slices, so that executions of one thread take turns. */
export interface Pump {
  /** Runs steps until the gate shuts, the source is idle or done. Idempotent: call it whenever there may be something. */
  wake(): void
  pause(): void
  resume(): void
  close(): void
}

/** Makes a pump. `step` emits at most one batch a call; a throw goes to `failed` and ends the pump. */
export function createPump(
  clock: Clock,
  gate: CreditGate,
  step: () => Step,
  done: () => void,
  failed: (thrown: unknown) => void,
): Pump {
  let state: 'resting' | 'running' | 'closed' = 'resting'
  let paused = false
  let waitsForGate = false

  let sliceBegin = 0
  let steps = 0

  const begin = (): void => {
    sliceBegin = clock.elapsed()
    steps = 0
    run()
  }
  // One batch a microtask: what the last one set off (a sink's write, a receipt that closes) goes on before the next is made,
  // so that a batch is worked on while it is still in the processor's cache.
  const run = (): void => {
    if (state === 'closed') return
    state = 'resting'
    if (paused) return
    try {
      const found = step()
      if (found === 'emitted') {
        // The clock is asked every few batches only: asking costs more than a small batch.
        if ((++steps & 3) === 0 && clock.elapsed() - sliceBegin > sliceMsMax) return wake()
        if (state === 'resting') {
          state = 'running'
          queueMicrotask(run)
        }
      } else if (found === 'full') {
        waitsForGate = true
        if (gate.open) wake()
      } else if (found === 'done') {
        close()
        done()
      }
    } catch (thrown) {
      close()
      failed(thrown)
    }
  }
  const wake = (): void => {
    if (state !== 'resting' || paused) return
    state = 'running'
    waitsForGate = false
    clock.soon(begin)
  }
  const gateWatch = gate.open$.subscribe((open) => {
    if (open && waitsForGate) wake()
  })
  const close = (): void => {
    state = 'closed'
    gateWatch.unsubscribe()
  }
  return {
    wake,
    close,
    pause: () => {
      paused = true
    },
    resume: () => {
      paused = false
      wake()
    },
  }
}
