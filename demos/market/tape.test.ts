import { describe, expect, it } from 'vitest'
import { listings } from './page/symbols.ts'
import type { Trade } from './tape.ts'
import { Tape } from './tape.ts'

const perSecond = 20_000

function tradesOf(seed: number, count: number): Trade[] {
  const tape = new Tape(seed, perSecond)
  return Array.from({ length: count }, (_, n) => tape.next(n))
}

describe('the tape', () => {
  it('is the same for the same seed, and another for another', () => {
    const first = tradesOf(7, 30_000)
    expect(tradesOf(7, 30_000)).toStrictEqual(first)
    expect(tradesOf(8, 30_000)).not.toStrictEqual(first)
  })

  const minute = tradesOf(1, perSecond * 60)
  const good = minute.filter((each) => each.symbol !== null && (each.price ?? 0) > 0)

  it('holds few bad trades, of each kind', () => {
    const bad = minute.length - good.length
    expect(bad).toBeGreaterThan(100)
    expect(bad).toBeLessThan(400)
    expect(minute.some((each) => each.symbol === null)).toBe(true)
    expect(minute.some((each) => each.price === null)).toBe(true)
    expect(minute.some((each) => (each.price ?? 1) < 0)).toBe(true)
  })

  it('trades every symbol, the first of the list many times as often as the last', () => {
    const counts = new Map<string | null, number>()
    for (const { symbol } of good) counts.set(symbol, (counts.get(symbol) ?? 0) + 1)
    expect(counts.size).toBe(listings.length)
    expect((counts.get('KELP') ?? 0) / (counts.get('WAVE') ?? 1)).toBeGreaterThan(5)
  })

  it('moves prices without tearing them apart, and more in some seconds than in others', () => {
    const prices = good.filter((each) => each.symbol === 'KELP').map((each) => each.price ?? 0)
    const [high, low] = [prices.reduce((a, b) => Math.max(a, b)), prices.reduce((a, b) => Math.min(a, b))]
    expect(high / low).toBeLessThan(1.2)
    const size = Math.floor(prices.length / 60)
    const ranges = Array.from({ length: 60 }, (_, at) => {
      const second = prices.slice(at * size, (at + 1) * size)
      return Math.max(...second) - Math.min(...second)
    }).sort((a, b) => a - b)
    expect((ranges[54] ?? 0) / (ranges[6] ?? 1)).toBeGreaterThan(1.8)
  })
})
