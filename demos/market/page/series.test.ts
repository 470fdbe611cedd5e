import { describe, expect, it } from 'vitest'
import { grouped, Series } from './series.ts'
import type { Candle, Quote } from './values.ts'

const candle = (from: number, close = 10): Candle => ({ from, open: 10, high: 12, low: 9, close, volume: 5 })
const quote = (at: number, price: number): Quote => ({ symbol: 'KELP', price, change: 0, size: 3, at })
const times = (series: Series): readonly number[] => series.candles.map((each) => each.from)

describe('a series of candles', () => {
  it('keeps each time once, in order, and no more than it may', () => {
    const series = new Series(1000, 3)
    for (const from of [1000, 2000, 4000, 3000, 4000, 5000]) series.take(candle(from))
    expect(times(series)).toStrictEqual([3000, 4000, 5000])
  })

  it('forms candles of quotes behind the final ones, until those are final', () => {
    const series = new Series(1000, 100)
    series.take(candle(1000, 10))
    series.quote(quote(1500, 99))
    series.quote(quote(2100, 11))
    series.quote(quote(2600, 8))
    series.quote(quote(3100, 9))
    expect(series.candles.slice(1)).toStrictEqual([
      { from: 2000, open: 10, high: 11, low: 8, close: 8, volume: 6 },
      { from: 3000, open: 8, high: 9, low: 8, close: 9, volume: 3 },
    ])
    series.take(candle(2000, 7))
    expect(series.finals).toHaveLength(2)
    expect(times(series)).toStrictEqual([1000, 2000, 3000])
  })

  it('opens a candle behind a long silence at its own price', () => {
    const series = new Series(1000, 100)
    series.take(candle(1000, 10))
    series.quote(quote(60_000, 20))
    expect(series.candles.at(-1)).toMatchObject({ open: 20, low: 20 })
  })

  it('marks what is gone between what was before and what comes after', () => {
    const series = new Series(1000, 100)
    series.gap(7)
    expect(series.holes).toStrictEqual([])
    series.take(candle(1000))
    series.gap(7)
    expect(series.holes).toStrictEqual([{ after: 1000, before: null, count: 7 }])
    series.take(candle(9000))
    expect(series.holes).toStrictEqual([{ after: 1000, before: 9000, count: 7 }])
  })

  it('forgets a hole whose candles have left', () => {
    const series = new Series(1000, 2)
    series.take(candle(1000))
    series.gap(null)
    for (const from of [5000, 6000, 7000]) series.take(candle(from))
    expect(series.holes).toStrictEqual([])
  })

  it('makes longer candles of short ones', () => {
    const candles = [candle(8000, 3), { ...candle(10_000, 4), high: 20 }, { ...candle(19_000, 5), low: 1 }]
    expect(grouped(candles, 10_000)).toStrictEqual([
      { from: 0, open: 10, high: 12, low: 9, close: 3, volume: 5 },
      { from: 10_000, open: 10, high: 20, low: 1, close: 5, volume: 10 },
    ])
  })
})
