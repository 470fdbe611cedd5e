import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Deadlines } from './deadlines.ts'

describe('deadlines', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  })

  afterEach(() => {
    vi.useRealTimers()
  })

  test('strike in time: never early, at most two ticks late, whenever they are set', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3000), fc.nat(8000)), { maxLength: 40 }), (plan) => {
        const deadlines = new Deadlines()
        let struck = 0
        for (const [pauseMs, delayMs] of plan) {
          vi.advanceTimersByTime(pauseMs)
          const setAt = performance.now()
          deadlines.after(delayMs, () => {
            struck += 1
            const lateMs = performance.now() - setAt - delayMs
            expect(lateMs).toBeGreaterThanOrEqual(0)
            expect(lateMs).toBeLessThanOrEqual(20)
          })
        }
        vi.advanceTimersByTime(9000)
        expect(struck).toBe(plan.length)
        expect(vi.getTimerCount()).toBe(0)
      }),
    )
  })

  test('one that is cancelled does not strike, not even by another one in its tick', () => {
    const deadlines = new Deadlines()
    const second = vi.fn()
    deadlines.after(50, () => deadlines.cancel(cancelled))
    const cancelled = deadlines.after(50, second)
    vi.advanceTimersByTime(10_000)
    expect(second).not.toHaveBeenCalled()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('one set from within another has its whole time', () => {
    const deadlines = new Deadlines()
    const begin = performance.now()
    let struckAt = 0
    deadlines.after(10, () => {
      deadlines.after(2560, () => {
        struckAt = performance.now()
      })
    })
    vi.advanceTimersByTime(6000)
    expect(struckAt - begin).toBeGreaterThanOrEqual(2570)
    expect(struckAt - begin).toBeLessThanOrEqual(2610)
  })
})
