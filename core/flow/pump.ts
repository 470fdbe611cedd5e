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

  const run = (): void => {
    if (state === 'closed') return
    state = 'resting'
    if (paused) return
    const begin = clock.elapsed()
    try {
      for (let count = 0; ; count++) {
        const found = step()
        if (found === 'done') {
          close()
          done()
          return
        }
        if (found === 'full') {
          waitsForGate = true
          if (gate.open) wake()
          return
        }
        if (found === 'idle') return
        // The clock is asked every few batches only: asking costs more than a small batch.
        if (paused || ((count & 3) === 3 && clock.elapsed() - begin > sliceMsMax)) return wake()
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
    clock.soon(run)
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
