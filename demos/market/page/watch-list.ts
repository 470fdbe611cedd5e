import { drawing, element, setText } from '../../design/element.ts'
import { icon } from '../../design/icons.ts'
import { compactText, percentText, priceText } from './numbers.ts'
import type { Listing } from './symbols.ts'

/** What a row shows of a symbol. */
export interface Shown {
  readonly price: number | null
  readonly change: number
  /** Shares of the last minute. */
  readonly volume: number | null
  /** Closes of the last minutes, oldest first. */
  readonly closes: readonly number[]
}

export interface WatchListActions {
  select(symbol: string): void
  toggle(symbol: string): void
}

interface Row {
  readonly root: HTMLElement
  readonly choose: HTMLButtonElement
  readonly star: HTMLButtonElement
  readonly price: HTMLElement
  readonly change: HTMLElement
  readonly volume: HTMLElement
  readonly line: SVGPolylineElement
  last: number | null
  flashedAt: number
}

const sparkWidth = 64
const sparkHeight = 22
const flashEveryMs = 2_000

/** Rows of symbols with their live prices. One of them is selected; arrow keys go from row to row. */
export class WatchList {
  readonly #host: HTMLElement
  readonly #actions: WatchListActions
  readonly #rows = new Map<string, Row>()
  #order: readonly string[] = []

  constructor(host: HTMLElement, actions: WatchListActions) {
    this.#host = host
    this.#actions = actions
    host.addEventListener('keydown', (event) => this.#move(event))
  }

  /** Shows these symbols in this order, or says why there is none. */
  arrange(listings: readonly Listing[], selected: string, watched: ReadonlySet<string>, empty: string): void {
    this.#order = listings.map((each) => each.symbol)
    if (listings.length === 0) {
      this.#host.replaceChildren(element('p', { class: 'rows-empty' }, empty))
      return
    }
    const rows = listings.map((listing) => this.#rowOf(listing))
    const held = document.activeElement
    // Rows that stay in their places are not touched, so that the focus stays too.
    if (rows.length !== this.#host.children.length || rows.some((row, at) => this.#host.children[at] !== row.root)) {
      this.#host.replaceChildren(...rows.map((row) => row.root))
      if (held instanceof HTMLElement && this.#host.contains(held)) held.focus()
    }
    const tabStop = this.#order.includes(selected) ? selected : this.#order[0]
    listings.forEach(({ symbol, name }, at) => {
      const row = rows[at]
      if (row === undefined) return
      row.root.classList.toggle('selected', symbol === selected)
      row.choose.setAttribute('aria-pressed', String(symbol === selected))
      row.choose.tabIndex = symbol === tabStop ? 0 : -1
      row.star.tabIndex = row.choose.tabIndex
      row.star.setAttribute('aria-pressed', String(watched.has(symbol)))
      row.star.setAttribute('aria-label', `Watch ${name}`)
    })
  }

  draw(symbol: string, shown: Shown): void {
    const row = this.#rows.get(symbol)
    if (row === undefined) return
    const { price, change, volume, closes } = shown
    if (price !== null) {
      setText(row.price, priceText(price))
      setText(row.change, percentText(change))
      row.change.dataset.way = wayOf(change)
      flash(row, price)
      row.last = price
    }
    setText(row.volume, volume === null ? '–' : compactText(volume))
    row.line.setAttribute('points', pointsOf(closes))
    row.root.dataset.trend = wayOf((closes.at(-1) ?? 0) - (closes[0] ?? 0))
  }

  #rowOf({ symbol, name }: Listing): Row {
    const known = this.#rows.get(symbol)
    if (known !== undefined) return known
    const line = drawing('polyline', { class: 'spark-line' })
    const spark = drawing(
      'svg',
      {
        viewBox: `0 0 ${sparkWidth} ${sparkHeight}`,
        width: sparkWidth,
        height: sparkHeight,
        class: 'spark',
        'aria-hidden': 'true',
      },
      line,
    )
    const choose = element(
      'button',
      { class: 'row-choose', type: 'button' },
      element('b', {}, symbol),
      element('span', { class: 'row-name' }, name),
    )
    const star = element('button', { class: 'star', type: 'button' })
    star.append(icon('star'))
    const price = element('span', { class: 'row-price' }, '–')
    const change = element('span', { class: 'row-change change' }, '–')
    const volume = element('span', { class: 'row-volume', title: 'Shares traded in the last minute' }, '–')
    const root = element('div', { class: 'row', 'data-symbol': symbol }, star, choose)
    root.append(spark, element('span', { class: 'row-figures' }, price, change), volume)
    choose.addEventListener('click', () => this.#actions.select(symbol))
    star.addEventListener('click', () => this.#actions.toggle(symbol))
    const row: Row = { root, choose, star, price, change, volume, line, last: null, flashedAt: 0 }
    this.#rows.set(symbol, row)
    return row
  }

  #move(event: KeyboardEvent): void {
    const steps: Readonly<Record<string, number>> = { ArrowDown: 1, ArrowUp: -1, Home: -1_000, End: 1_000 }
    const step = steps[event.key]
    const at = this.#order.findIndex((symbol) => this.#rows.get(symbol)?.root.contains(document.activeElement))
    if (step === undefined || at < 0) return
    event.preventDefault()
    const to = this.#order[Math.min(this.#order.length - 1, Math.max(0, at + step))]
    if (to === undefined) return
    this.#actions.select(to)
    this.#rows.get(to)?.choose.focus()
  }
}

function wayOf(change: number): string {
  return change > 0 ? 'up' : change < 0 ? 'down' : 'same'
}

const calm = matchMedia('(prefers-reduced-motion: reduce)')

/** The price takes the colour of its way for a moment, once in a while: a list in which all blinks says nothing. */
function flash(row: Row, price: number): void {
  const now = performance.now()
  if (calm.matches || row.last === null || price === row.last || now - row.flashedAt < flashEveryMs) return
  row.flashedAt = now
  // Colours that can be read on all grounds of a row; that of lines in the chart is too light for text.
  const colour = getComputedStyle(row.price).getPropertyValue(price > row.last ? '--accent' : '--bad')
  row.price.animate([{ color: colour }, {}], { duration: 600, easing: 'ease-in' })
}

function pointsOf(closes: readonly number[]): string {
  if (closes.length < 2) return ''
  const low = Math.min(...closes)
  const span = Math.max(Math.max(...closes) - low, low * 1e-5)
  const x = (sparkWidth - 2) / (closes.length - 1)
  return closes
    .map(
      (close, at) =>
        `${(1 + at * x).toFixed(1)},${(sparkHeight - 2 - ((close - low) / span) * (sparkHeight - 4)).toFixed(1)}`,
    )
    .join(' ')
}
