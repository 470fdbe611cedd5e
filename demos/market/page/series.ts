import type { Candle, Quote } from './values.ts'

/** A hole that the server told of: candles that it no longer had when they were asked for. */
export interface Hole {
  /** The last candle before it, or null. */
  readonly after: number | null
  /** The first candle behind it; null while none has come. */
  before: number | null
  /** How many are gone; null when nobody knows, as after a restart of the server. */
  readonly count: number | null
}

/**
 * Candles of one symbol in the order of time, each once. Those that are final come from the server; behind them stand
 * candles that are still being formed, made of quotes.
 */
export class Series {
  readonly everyMs: number
  readonly holes: Hole[] = []
  readonly #max: number
  #final: Candle[] = []
  #forming: Candle[] = []

  constructor(everyMs: number, max: number) {
    this.everyMs = everyMs
    this.#max = max
  }

  /** Final candles, then those being formed. */
  get candles(): readonly Candle[] {
    return this.#forming.length === 0 ? this.#final : [...this.#final, ...this.#forming]
  }

  get finals(): readonly Candle[] {
    return this.#final
  }

  take(candle: Candle): void {
    const last = this.#final.at(-1)
    if (last !== undefined && candle.from <= last.from) {
      // The server was started anew and counts again from before, or a candle comes twice: one stands for each time.
      const at = this.#final.findIndex((each) => each.from >= candle.from)
      this.#final.splice(at, this.#final[at]?.from === candle.from ? 1 : 0, candle)
    } else this.#final.push(candle)
    if (this.#final.length > this.#max) this.#final.splice(0, this.#final.length - this.#max)
    this.#forming = this.#forming.filter((each) => each.from > candle.from)
    const hole = this.holes.at(-1)
    if (hole !== undefined && hole.before === null) hole.before = candle.from
    const first = this.#final[0]?.from ?? 0
    while (this.holes[0] !== undefined && (this.holes[0].before ?? Number.POSITIVE_INFINITY) <= first)
      this.holes.shift()
  }

  /** Notes a hole behind what is there. Of candles never seen there is nothing to be missed. */
  gap(count: number | null): void {
    const last = this.#final.at(-1)
    if (last === undefined) return
    this.#forming = []
    this.holes.push({ after: last.from, before: null, count })
  }

  /** A quote forms the candle of its time, unless that is final. */
  quote({ price, size, at }: Quote): void {
    const from = Math.floor(at / this.everyMs) * this.everyMs
    const last = this.#final.at(-1)
    if (last !== undefined && from <= last.from) return
    const newest = this.#forming.at(-1)
    if (newest !== undefined && newest.from > from) return
    if (newest === undefined || newest.from < from) {
      const before = newest ?? last
      // Across a hole the price before it says nothing of where this candle opened.
      const open = before !== undefined && from - before.from <= this.everyMs * 3 ? before.close : price
      const made = { from, open, high: Math.max(open, price), low: Math.min(open, price), close: price, volume: size }
      this.#forming.push(made)
      // The final ones are a second or so behind: many that are not followed by one were lost with a connection.
      if (this.#forming.length > 5) this.#forming.shift()
      return
    }
    this.#forming[this.#forming.length - 1] = {
      ...newest,
      high: Math.max(newest.high, price),
      low: Math.min(newest.low, price),
      close: price,
      volume: newest.volume + size,
    }
  }
}

/** Longer candles out of those of a series: each group of times is one. */
export function grouped(candles: readonly Candle[], everyMs: number): readonly Candle[] {
  const groups: Candle[] = []
  for (const each of candles) {
    const from = Math.floor(each.from / everyMs) * everyMs
    const last = groups.at(-1)
    if (last === undefined || last.from !== from) groups.push({ ...each, from })
    else
      groups[groups.length - 1] = {
        ...{ from, open: last.open, close: each.close },
        ...{ high: Math.max(last.high, each.high), low: Math.min(last.low, each.low) },
        volume: last.volume + each.volume,
      }
  }
  return groups
}
