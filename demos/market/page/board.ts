import type { Reading } from './feed.ts'
import type { Interval } from './saved.ts'
import { everyMs } from './saved.ts'
import { Series } from './series.ts'
import type { Quote } from './values.ts'
import { readCandle, readQuote } from './values.ts'
import type { Shown } from './watch-list.ts'

/** As many candles as the server keeps. */
const candlesMax = 600
/** What a row draws as a line: two minutes. */
const sparkCandles = 120
const minuteCandles = 60

export interface BoardEvents {
  quoted(quote: Quote): void
  /** Candles of this symbol have come or are missing. */
  moved(symbol: string): void
  /** The server no longer had so many candles; null when nobody knows. */
  missed(symbol: string, interval: Interval, candles: number | null): void
}

/** What the page knows of each symbol, and what is read of it. */
export class Board {
  readonly #events: BoardEvents
  readonly #quotes = new Map<string, Quote>()
  readonly #series = new Map<string, Series>()

  constructor(events: BoardEvents) {
    this.#events = events
  }

  series(symbol: string, interval: Interval): Series {
    const key = `${interval}/${symbol}`
    const known = this.#series.get(key)
    if (known !== undefined) return known
    const made = new Series(everyMs[interval], candlesMax)
    this.#series.set(key, made)
    return made
  }

  quote(symbol: string): Quote | null {
    return this.#quotes.get(symbol) ?? null
  }

  shown(symbol: string): Shown {
    const quote = this.quote(symbol)
    const candles = this.series(symbol, '1s').finals
    const minute = candles.slice(-minuteCandles)
    return {
      price: quote?.price ?? candles.at(-1)?.close ?? null,
      change: quote?.change ?? 0,
      volume: minute.length === 0 ? null : minute.reduce((sum, each) => sum + each.volume, 0),
      closes: candles.slice(-sparkCandles).map((each) => each.close),
    }
  }

  /** The topics of a symbol: its quotes from now on, and its candles of a second from as far back as they go. */
  topicsOf(symbol: string): readonly (readonly [topic: string, reading: Reading])[] {
    const quotes: Reading = {
      from: 'now',
      take: (value) => {
        const quote = readQuote(value)
        if (quote === null) return
        this.#quotes.set(symbol, quote)
        for (const interval of Object.keys(everyMs) as Interval[])
          this.#series.get(`${interval}/${symbol}`)?.quote(quote)
        this.#events.quoted(quote)
      },
    }
    return [[`market/quotes/${symbol.toLowerCase()}`, quotes], this.candlesOf(symbol, '1s')]
  }

  candlesOf(symbol: string, interval: Interval): readonly [topic: string, reading: Reading] {
    const series = this.series(symbol, interval)
    const reading: Reading = {
      from: 'start',
      take: (value) => {
        const candle = readCandle(value)
        if (candle === null) return
        series.take(candle)
        this.#events.moved(symbol)
      },
      gap: ({ from, to }) => {
        const count = to === null ? null : to - from + 1
        series.gap(count)
        this.#events.missed(symbol, interval, count)
      },
    }
    return [`market/candles/${interval}/${symbol.toLowerCase()}`, reading]
  }
}
