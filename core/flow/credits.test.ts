import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Size } from './credits.ts'
import { createGate } from './credits.ts'

const messages = (count: number): Size => ({ messages: count, bytes: 0 })
const size = fc.record({ messages: fc.integer({ min: 1, max: 60 }), bytes: fc.integer({ min: 0, max: 600 }) })

describe('a credit gate', () => {
  test('never lets more in flight than its limit, but for one giant alone, and tells each change once', () => {
    const limits = fc.record({ messages: fc.integer({ min: 1, max: 40 }), bytes: fc.integer({ min: 1, max: 400 }) })
    fc.assert(
      fc.property(limits, fc.array(fc.oneof(size, fc.nat(100)), { maxLength: 80 }), (limit, steps) => {
        const gate = createGate(limit)
        const seen: boolean[] = []
        gate.open$.subscribe((open) => void seen.push(open))
        const flying: Size[] = []
        const sum = (field: keyof Size): number => flying.reduce((total, each) => total + each[field], 0)
        for (const step of steps) {
          const wasOpen = gate.open
          if (typeof step === 'number') {
            const [back] = flying.splice(step % Math.max(1, flying.length), 1)
            if (back === undefined) continue
            gate.give(back)
            const half = sum('messages') * 2 <= limit.messages && sum('bytes') * 2 <= limit.bytes
            expect(gate.open).toBe(wasOpen || half)
          } else {
            const fits = sum('messages') + step.messages <= limit.messages && sum('bytes') + step.bytes <= limit.bytes
            const alone = flying.length === 0
            expect(gate.take(step)).toBe(alone || (wasOpen && fits))
            if (alone || (wasOpen && fits)) flying.push(step)
            const full = sum('messages') >= limit.messages || sum('bytes') >= limit.bytes
            expect(gate.open).toBe(wasOpen && fits && !full)
          }
          expect(gate.inFlight).toEqual({ messages: sum('messages'), bytes: sum('bytes') })
          expect(
            flying.length <= 1 || (sum('messages') <= limit.messages && sum('bytes') <= limit.bytes),
            'over the limit',
          ).toBe(true)
          expect(seen.at(-1)).toBe(gate.open)
        }
        for (let i = 1; i < seen.length; i++) expect(seen[i]).not.toBe(seen[i - 1])
      }),
      { numRuns: 500 },
    )
  })

  test('shuts at the limit and opens again only at half of it', () => {
    const gate = createGate({ messages: 8, bytes: 1_000 })
    const seen: boolean[] = []
    gate.open$.subscribe((open) => void seen.push(open))
    for (let n = 0; n < 8; n++) gate.take(messages(1))
    for (let n = 8; n > 5; n--) gate.give(messages(1))
    expect(gate.take(messages(1))).toBe(false)
    gate.give(messages(1))
    expect(gate.take(messages(1))).toBe(true)
    expect(seen).toEqual([true, false, true])
  })

  test('is overdrawn by what a one-to-many node adds, and shuts', () => {
    const gate = createGate({ messages: 8, bytes: 1_000 })
    const seen: boolean[] = []
    gate.open$.subscribe((open) => void seen.push(open))
    gate.take(messages(1))
    gate.overdraw(messages(19))
    gate.overdraw(messages(1))
    expect(seen).toEqual([true, false])
    expect(gate.inFlight.messages).toBe(21)
    expect(gate.take(messages(1))).toBe(false)
    gate.give(messages(17))
    expect(gate.take(messages(1))).toBe(true)
  })

  test.each([
    [1, 1],
    [7, 1],
    [80, 10],
    [1_000_000, 1024],
  ])('of %i messages cuts batches of at most %i, so that eight overlap', (limit, batchMax) => {
    expect(createGate({ messages: limit, bytes: 80 }).batchMax).toEqual({ messages: batchMax, bytes: 10 })
  })
})
