import type { Listing } from './page/symbols.ts'
import { listings, tradeValue } from './page/symbols.ts'

/** A trade as the exchange reports it; a bad one lacks its symbol, or has a price below 0 or none at all. */
export interface Trade {
  readonly id: number
  readonly symbol: string | null
  readonly price: number | null
  readonly size: number
  /** Who took the other's offer: a buyer or a seller. */
  readonly side: 'b' | 's'
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** Prices and moods move so many times a second, whatever the number of trades. */
const stepsPerSecond = 20
/** One trade of so many is bad. */
const badEvery = 6_000
const slots = 4_096

interface Book {
  readonly listing: Listing
  price: number
  /** Logarithm of how restless it is: it comes in clusters and calms down slowly. */
  mood: number
  /** A burst: so many more steps with so many times the trades, and a drift per step. */
  burstSteps: number
  burstForce: number
  drift: number
}

/**
 * An endless tape of trades that looks like a market: few symbols trade much, calm and restless times follow each other, bursts
 * come out of nothing. Trade `n` is the same for the same seed, whenever it is asked for.
 */
export class Tape {
  readonly #random: () => number
  readonly #books: readonly Book[]
  readonly #tradesPerStep: number
  /** Which book the next trade is of: each stands in the table as often as it trades. */
  readonly #table = new Uint8Array(slots)
  #left = 0
  #id = 0

  constructor(seed: number, perSecond: number) {
    this.#random = randomFrom(seed)
    this.#tradesPerStep = Math.max(1, Math.round(perSecond / stepsPerSecond))
    this.#books = listings.map((listing) => ({
      ...{ listing, price: listing.close, mood: 0, burstSteps: 0, burstForce: 1, drift: 0 },
    }))
  }

  next(at: number): Trade {
    if (this.#left === 0) this.#step()
    this.#left -= 1
    const random = this.#random
    const book = this.#books[this.#table[Math.floor(random() * slots)] ?? 0]
    if (book === undefined) throw new Error('the table names a book that is not there')
    const side = random() < 0.5 + Math.sign(book.drift) * 0.2 ? 'b' : 's'
    // Half a spread of two hundredths of a percent, on whichever side was taken.
    const raw = book.price * (1 + (side === 'b' ? 1e-4 : -1e-4) * random())
    const price = Math.max(0.01, Math.round(raw * 100) / 100)
    const size = Math.max(1, Math.round((-Math.log(1 - random()) * tradeValue) / price))
    const id = this.#id++
    if (random() * badEvery >= 1) return { id, symbol: book.listing.symbol, price, size, side, at }
    const { symbol } = book.listing
    const kind = Math.floor(random() * 3)
    if (kind === 0) return { id, symbol, price: -price, size, side, at }
    return kind === 1 ? { id, symbol: null, price, size, side, at } : { id, symbol, price: null, size, side, at }
  }

  #step(): void {
    this.#left = this.#tradesPerStep
    for (const book of this.#books) this.#move(book)
    const intensity = this.#books.map((book) => book.listing.share * Math.exp(book.mood * 0.3) * book.burstForce)
    const all = intensity.reduce((sum, each) => sum + each, 0)
    let from = 0
    let reached = 0
    intensity.forEach((each, index) => {
      reached += each
      const to = index === intensity.length - 1 ? slots : Math.max(from + 1, Math.round((reached / all) * slots))
      this.#table.fill(index, from, to)
      from = to
    })
  }

  #move(book: Book): void {
    const random = this.#random
    book.mood = book.mood * 0.985 + this.#normal() * 0.11
    if (book.burstSteps > 0) {
      book.burstSteps -= 1
      if (book.burstSteps === 0) {
        book.burstForce = 1
        book.drift = 0
      }
    } else if (random() < 1 / (stepsPerSecond * 200)) {
      book.burstSteps = Math.ceil(stepsPerSecond * (1 + random() * 2))
      book.burstForce = 5 + random() * 7
      book.drift = ((random() < 0.5 ? -1 : 1) * (0.002 + random() * 0.006)) / stepsPerSecond
    }
    const { volatility, close } = book.listing
    const wander = (volatility / Math.sqrt(stepsPerSecond)) * Math.exp(book.mood) * this.#normal()
    // A weak pull home: after a night it is still a market.
    const home = Math.log(close / book.price) * 2e-5
    book.price *= Math.exp(wander + book.drift + home)
  }

  /** Normally distributed, by Box and Muller. */
  #normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random())
  }
}

/** Numbers from 0 to 1 that depend on the seed alone: mulberry32 by Tommy Ettinger, in the public domain. */
function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
