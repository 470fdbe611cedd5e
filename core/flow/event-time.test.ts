import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EventTime } from './event-time.ts'

const inputs = 4
const step = fc.record({
  input: fc.nat(inputs - 1),
  watermark: fc.option(fc.integer({ min: 0, max: 100 }), { freq: 4 }),
})

test('the watermark is the least of what inputs promised, idle ones left out, and it never falls', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: inputs }), fc.array(step, { maxLength: 80 }), (count, steps) => {
      const time = new EventTime(count)
      const promised: number[] = Array.from({ length: count }, () => Number.NEGATIVE_INFINITY)
      const idle = new Set<number>()
      let watermark = Number.NEGATIVE_INFINITY
      for (const { input, watermark: next } of steps) {
        const known = input < count
        if (known && next !== null) promised[input] = Math.max(promised[input] ?? 0, next)
        if (known && next === null) idle.add(input)
        else idle.delete(input)
        const told = next === null ? time.idle(input) : time.observe(input, next)
        const live = promised.filter((_, index) => !idle.has(index))
        const least = live.length === 0 ? watermark : Math.min(...live)
        expect(told).toBe(known && least > watermark ? least : null)
        watermark = Math.max(watermark, least)
        expect(time.watermark).toBe(watermark)
      }
    }),
    { numRuns: 500 },
  )
})

test('an input that has never spoken holds all back until it is idle', () => {
  const time = new EventTime(2)
  expect(time.observe(0, 50)).toBeNull()
  expect(time.idle(1)).toBe(50)
  expect(time.observe(1, 10)).toBeNull()
  expect(time.watermark).toBe(50)
})
