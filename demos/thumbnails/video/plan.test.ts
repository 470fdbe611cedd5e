import fc from 'fast-check'
import { expect, it } from 'vitest'
import { planFrames } from './plan.ts'

const keyframes = fc.uniqueArray(fc.integer({ min: 0, max: 100_000 }), { minLength: 0, maxLength: 400 })

it('takes each keyframe once, never more than countMax, with the first and the last', () => {
  fc.assert(
    fc.property(keyframes, fc.integer({ min: 2, max: 300 }), (unsorted, countMax) => {
      const times = unsorted.toSorted((a, b) => a - b)
      for (const order of ['time', 'coarse-first'] as const) {
        const plan = planFrames(times, { countMax, order })
        expect(plan).toHaveLength(Math.min(countMax, times.length))
        const sorted = plan.toSorted((a, b) => a.index - b.index)
        expect(sorted.map((frame) => frame.index)).toEqual(sorted.map((_, at) => at))
        expect(new Set(plan.map((frame) => frame.time)).size).toBe(plan.length)
        expect(sorted.every((frame, at) => at === 0 || frame.time > (sorted[at - 1]?.time ?? 0))).toBe(true)
        expect([sorted[0]?.time, sorted.at(-1)?.time]).toEqual([times[0], times.at(-1)])
      }
    }),
  )
})

it('thins evenly over time, also where cuts crowd', () => {
  const crowded = [...Array.from({ length: 50 }, (_, at) => at / 10), 10, 20, 30, 40, 50, 60, 70, 80, 90]
  const plan = planFrames(crowded, { countMax: 10, order: 'time' })
  expect(plan.map((frame) => frame.time)).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90])
})

it('begins with at most 16 frames spread over the whole length, and halves the gaps each round', () => {
  const times = Array.from({ length: 600 }, (_, at) => at * 2)
  const order = planFrames(times, { countMax: 600, order: 'coarse-first' }).map((frame) => frame.index)
  expect(order.slice(0, 10)).toEqual([0, 64, 128, 192, 256, 320, 384, 448, 512, 576])
  expect(order.slice(10, 14)).toEqual([32, 96, 160, 224])
})
