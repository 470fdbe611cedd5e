import { listings } from './symbols.ts'

export const intervals = ['1s', '10s', '1m'] as const
export type Interval = (typeof intervals)[number]
export const everyMs: Readonly<Record<Interval, number>> = { '1s': 1_000, '10s': 10_000, '1m': 60_000 }

/** What a reader chose, kept in this browser. */
export interface Choice {
  readonly watched: readonly string[]
  readonly selected: string
  readonly interval: Interval
  readonly list: 'watched' | 'all'
}

const key = 'millrace-market'
const symbols = new Set(listings.map((each) => each.symbol))
const first: Choice = {
  watched: listings.slice(0, 10).map((each) => each.symbol),
  selected: listings[0]?.symbol ?? '',
  interval: '1s',
  list: 'watched',
}

/** The choice of the last visit, or the first one. */
export function load(): Choice {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key) ?? 'null')
    if (typeof found !== 'object' || found === null) return first
    const read = (name: string): unknown => Reflect.get(found, name)
    const watched = read('watched')
    const selected = read('selected')
    return {
      watched: Array.isArray(watched) ? watched.filter((each) => symbols.has(each)) : first.watched,
      selected: typeof selected === 'string' && symbols.has(selected) ? selected : first.selected,
      interval: intervals.find((each) => each === read('interval')) ?? first.interval,
      list: read('list') === 'all' ? 'all' : 'watched',
    }
  } catch {
    return first
  }
}

/** Keeps the choice where the browser lets us. */
export function save(choice: Choice): void {
  try {
    localStorage.setItem(key, JSON.stringify(choice))
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
}
