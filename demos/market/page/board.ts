import type { Reading } from './feed.ts'
import { Series } from './series.ts'
import type { Quote } from './values.ts'
import { readCandle, readQuote } from './values.ts'
import type { Shown } from './watch-list.ts'

/** As many candles as the server keeps. */
const candlesMax = 1_200
/** What a row draws as a line: two minutes. */
const sparkCandles = 120
const minuteCandles = 60

export interface BoardEvents {
  quoted(quote: Quote): void
  /** Candles of this symbol have come or are missing. */
  moved(symbol: string): void
  /** The server no longer had so many candles; null when nobody knows. */
  missed(symbol: string, candles: number | null): void
}

/** What the page knows of each symbol, and what is read of it. */
export class Board {
  readonly #events: BoardEvents
  readonly #quotes = new Map<string, Quote>()
  readonly #series = new Map<string, Series>()

  constructor(events: BoardEvents) {
    this.#events = events
  }

  series(symbol: string): Series {
    const known = this.#series.get(symbol)
    if (known !== undefined) return known
    const made = new Series(1_000, candlesMax)
    this.#series.set(symbol, made)
    return made
  }

  quote(symbol: string): Quote | null {
    return this.#quotes.get(symbol) ?? null
  }

  shown(symbol: string): Shown {
    const quote = this.quote(symbol)
    const candles = this.series(symbol).finals
    const minute = candles.slice(-minuteCandles)
    return {
      price: quote?.price ?? candles.at(-1)?.close ?? null,
      change: quote?.change ?? 0,
      volume: minute.length === 0 ? null : minute.reduce((sum, each) => sum + each.volume, 0),
      closes: candles.slice(-sparkCandles).map((each) => each.close),
    }
  }

  /** The topics of a symbol: its quotes from now on, and its candles from as far back as they go. */
  topicsOf(symbol: string): readonly (readonly [topic: string, reading: Reading])[] {
    const series = this.series(symbol)
    const quotes: Reading = {
      from: 'now',
      take: (value) => {
        const quote = readQuote(value)
        if (quote === null) return
        this.#quotes.set(symbol, quote)
        series.quote(quote)
        this.#events.quoted(quote)
      },
    }
    const candles: Reading = {
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
        this.#events.missed(symbol, count)
      },
    }
    return [
      [`market/quotes/${symbol.toLowerCase()}`, quotes],
      [`market/candles/${symbol.toLowerCase()}`, candles],
    ]
  }
}
