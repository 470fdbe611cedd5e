import { element } from '../../design/element.ts'
import { place } from '../../design/quantities.ts'
import { heightOf, rowCountOf, stepOf } from './rows.ts'
import type { Thumb } from './run.ts'

interface Tile {
  readonly thumb: Thumb
  readonly root: HTMLElement
}

/**
 * A time line on which each thumbnail lies where it is in the video, broken into rows like text. A later one covers the
 * right part of those before it, so a finer row falls between the coarse one and nothing that is there moves.
 */
export class Filmstrip {
  readonly root = element('div', { class: 'filmstrip', role: 'listbox' })
  readonly #needle = element('div', { class: 'needle', 'aria-hidden': 'true' })
  /** In time order. */
  readonly #tiles: Tile[] = []
  readonly #onLook: (thumb: Thumb | null) => void
  #rows: readonly HTMLElement[] = []
  #spanMs = 0
  #planned = 0
  #picked: Tile | null = null
  #looked: Tile | null = null
  /** The one that the tab key leads to. */
  #current: Tile | null = null

  /** `onLook` gets the thumbnail that is looked at: under the pointer, with the focus, or picked; null when none is. */
  constructor(name: string, onLook: (thumb: Thumb | null) => void) {
    this.#onLook = onLook
    this.root.setAttribute('aria-label', `Time line of ${name}`)
    this.root.addEventListener('pointermove', (event) => this.#look(this.#under(event)))
    this.root.addEventListener('pointerleave', () => this.#look(this.#focused() ?? this.#picked))
    this.root.addEventListener('click', (event) => this.#pick(this.#under(event)))
    this.root.addEventListener('focusin', () => this.#look(this.#focused()))
    this.root.addEventListener('focusout', () => this.#look(this.#picked))
    this.root.addEventListener('keydown', (event) => this.#key(event))
    new ResizeObserver(() => this.#arrange()).observe(this.root)
  }

  /**
   * The length that the time line stands for, and how many thumbnails will lie on it. Where these are not known it grows
   * by doubling, so that it seldom moves.
   */
  setSpan(durationMs: number | null, planned: number | null): void {
    const last = this.#tiles.at(-1)?.thumb.atMs ?? 0
    let span = durationMs ?? Math.max(this.#spanMs, 10_000)
    while (span <= last) span *= 2
    let count = planned ?? Math.max(this.#planned, 16)
    while (count < this.#tiles.length) count *= 2
    if (span === this.#spanMs && count === this.#planned) return
    this.#spanMs = span
    this.#planned = count
    this.#arrange(true)
  }

  add(thumb: Thumb): void {
    const root = element('div', {
      class: 'tile',
      role: 'option',
      'aria-selected': 'false',
      'aria-label': place(thumb.atMs),
      'data-index': String(thumb.index),
      tabindex: this.#current === null ? '0' : '-1',
    })
    root.append(element('img', { src: thumb.url, alt: '', draggable: 'false', decoding: 'async' }))
    const tile = { thumb, root }
    this.#current ??= tile
    let at = this.#tiles.length
    while (at > 0 && (this.#tiles[at - 1]?.thumb.index ?? -1) > thumb.index) at--
    this.#tiles.splice(at, 0, tile)
    this.#put(tile, this.#tiles[at + 1])
  }

  /** Shows where in the video the picture is that is shown large. */
  point(thumb: Thumb | null): void {
    const { row, share } = this.#placeOf(thumb?.atMs ?? 0)
    this.#needle.hidden = thumb === null
    this.#needle.style.setProperty('left', `${share * 100}%`)
    if (row !== undefined && this.#needle.parentElement !== row) row.append(this.#needle)
  }

  #arrange(anew = false): void {
    const count = rowCountOf(this.#planned, this.root.clientWidth)
    if (count === this.#rows.length && !anew) return
    // Moving an element takes its focus away.
    const focused = this.#tiles.find((each) => each.root === document.activeElement)
    this.#rows = Array.from({ length: count }, () => element('div', { class: 'row', role: 'none' }))
    this.root.style.setProperty('--row-height', `${heightOf(count)}px`)
    const rulers = this.#rows.map((_, at) => this.#rulerOf(at))
    this.root.replaceChildren(...this.#rows.flatMap((row, at) => [row, rulers[at] ?? '']))
    this.#tiles.forEach((tile) => {
      this.#put(tile, undefined)
    })
    focused?.root.focus({ preventScroll: true })
  }

  /** Lays a tile at its place, before the next one in the same row: later ones cover those before. */
  #put(tile: Tile, next: Tile | undefined): void {
    const { row, share } = this.#placeOf(tile.thumb.atMs)
    if (row === undefined) return
    tile.root.style.setProperty('left', `${share * 100}%`)
    row.insertBefore(tile.root, next?.root.parentElement === row ? next.root : null)
  }

  #placeOf(atMs: number): { readonly row: HTMLElement | undefined; readonly share: number } {
    const count = this.#rows.length
    if (this.#spanMs === 0 || count === 0) return { row: this.#rows[0], share: 0 }
    const at = Math.min(count * (1 - 1e-9), (atMs / this.#spanMs) * count)
    return { row: this.#rows[Math.floor(at)], share: at % 1 }
  }

  /** The last thumbnail at or before the pointer; the first one for a pointer before all. */
  #under(event: MouseEvent): Tile | null {
    const row = event.target instanceof Element ? event.target.closest('.row') : null
    if (!(row instanceof HTMLElement)) return this.#looked
    const index = this.#rows.indexOf(row)
    const box = row.getBoundingClientRect()
    const share = (event.clientX - box.left) / box.width
    const atMs = ((index + share) / this.#rows.length) * this.#spanMs
    return this.#tiles.findLast(({ thumb }) => thumb.atMs <= atMs) ?? this.#tiles[0] ?? null
  }

  #focused(): Tile | null {
    return this.#tiles.find(({ root }) => root === document.activeElement) ?? null
  }

  #look(tile: Tile | null): void {
    this.#looked?.root.classList.remove('looked')
    this.#looked = tile
    tile?.root.classList.add('looked')
    this.#onLook(tile?.thumb ?? null)
  }

  /** Picks a thumbnail to stay; the same one again lets it go. */
  #pick(tile: Tile | null): void {
    this.#picked?.root.setAttribute('aria-selected', 'false')
    this.#picked = tile === this.#picked ? null : tile
    this.#picked?.root.setAttribute('aria-selected', 'true')
    this.#look(this.#picked)
  }

  #key(event: KeyboardEvent): void {
    const at = this.#tiles.findIndex(({ root }) => root === document.activeElement)
    const tile = this.#tiles[at]
    if (tile === undefined) return
    const last = this.#tiles.length - 1
    const to: Readonly<Record<string, () => number>> = {
      ArrowRight: () => at + 1,
      ArrowLeft: () => at - 1,
      ArrowDown: () => this.#rowAway(at, 1),
      ArrowUp: () => this.#rowAway(at, -1),
      PageDown: () => at + 10,
      PageUp: () => at - 10,
      Home: () => 0,
      End: () => last,
    }
    const next = to[event.key]
    if (next !== undefined) this.#focus(this.#tiles[Math.max(0, Math.min(last, next()))])
    else if (event.key === 'Enter' || event.key === ' ') this.#pick(tile)
    else if (event.key === 'Escape' && this.#picked !== null) this.#pick(this.#picked)
    else return
    event.preventDefault()
  }

  /** The thumbnail right below or above, which is one row's length away in time; the same one where there is no such row. */
  #rowAway(at: number, rows: number): number {
    const from = this.#tiles[at]?.thumb.atMs ?? 0
    const wanted = from + (rows * this.#spanMs) / Math.max(1, this.#rows.length)
    if (wanted < 0 || wanted >= this.#spanMs) return at
    const nearest = this.#tiles.map(({ thumb }) => Math.abs(thumb.atMs - wanted))
    return nearest.indexOf(Math.min(...nearest))
  }

  #focus(tile: Tile | undefined): void {
    if (tile === undefined) return
    this.#current?.root.setAttribute('tabindex', '-1')
    this.#current = tile
    tile.root.setAttribute('tabindex', '0')
    tile.root.focus({ preventScroll: true })
    tile.root.parentElement?.scrollIntoView({ block: 'nearest' })
  }

  #rulerOf(row: number): HTMLElement {
    const ruler = element('div', { class: 'ruler', 'aria-hidden': 'true' })
    const lengthMs = this.#spanMs / this.#rows.length
    if (lengthMs === 0) return ruler
    const from = row * lengthMs
    const stepMs = stepOf(lengthMs)
    for (let atMs = Math.ceil(from / stepMs) * stepMs; atMs < from + lengthMs; atMs += stepMs) {
      const share = (atMs - from) / lengthMs
      // A mark at the very end would have its figures cut off.
      if (share > 0.95) continue
      const mark = element('span', {}, place(atMs, false))
      mark.style.setProperty('left', `${share * 100}%`)
      ruler.append(mark)
    }
    return ruler
  }
}
