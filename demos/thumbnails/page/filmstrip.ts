import { element } from './element.ts'
import { place } from './quantities.ts'
import type { Thumb } from './run.ts'

/**
 * A time line on which each thumbnail lies where it is in the video. A later one covers the right part of those before
 * it, so a finer row falls between the coarse one and nothing that is there moves.
 */
export class Filmstrip {
  readonly root: HTMLElement
  readonly #track = element('div', { class: 'track', role: 'listbox', 'aria-orientation': 'horizontal' })
  readonly #ruler = element('div', { class: 'ruler', 'aria-hidden': 'true' })
  readonly #needle = element('div', { class: 'needle', 'aria-hidden': 'true' })
  /** In time order. */
  readonly #tiles: { readonly thumb: Thumb; readonly tile: HTMLElement }[] = []
  readonly #onLook: (thumb: Thumb | null) => void
  #spanMs = 0
  #picked: Thumb | null = null
  #current: HTMLElement | null = null

  /** `onLook` gets the thumbnail that is looked at: under the pointer, with the focus, or picked; null when none is. */
  constructor(name: string, onLook: (thumb: Thumb | null) => void) {
    this.#onLook = onLook
    this.#track.setAttribute('aria-label', `Time line of ${name}`)
    this.root = element('div', { class: 'filmstrip' }, this.#track, this.#ruler)
    this.#track.append(this.#needle)
    this.#needle.hidden = true
    this.#track.addEventListener('pointermove', (event) => this.#look(this.#under(event)))
    this.#track.addEventListener('pointerleave', () => this.#look(this.#focused() ?? this.#picked))
    this.#track.addEventListener('click', (event) => this.#pick(this.#under(event)))
    this.#track.addEventListener('focusin', () => this.#look(this.#focused()))
    this.#track.addEventListener('focusout', () => this.#look(this.#picked))
    this.#track.addEventListener('keydown', (event) => this.#key(event))
  }

  /** The length that the time line stands for. Where it is not known it grows by doubling, so that it seldom moves. */
  setSpan(durationMs: number | null): void {
    const last = this.#tiles.at(-1)?.thumb.atMs ?? 0
    let span = durationMs ?? Math.max(this.#spanMs, 10_000)
    while (span <= last) span *= 2
    if (span === this.#spanMs) return
    this.#spanMs = span
    for (const { thumb, tile } of this.#tiles) this.#put(tile, thumb)
    this.#drawRuler()
  }

  add(thumb: Thumb): void {
    const tile = element('div', {
      class: 'tile',
      role: 'option',
      'aria-selected': 'false',
      'aria-label': place(thumb.atMs),
      'data-index': String(thumb.index),
      tabindex: this.#current === null ? '0' : '-1',
    })
    tile.append(element('img', { src: thumb.url, alt: '', draggable: 'false', decoding: 'async' }))
    this.#current ??= tile
    this.#put(tile, thumb)
    let at = this.#tiles.length
    while (at > 0 && (this.#tiles[at - 1]?.thumb.index ?? -1) > thumb.index) at--
    const before = this.#tiles[at]?.tile ?? this.#needle
    this.#track.insertBefore(tile, before)
    this.#tiles.splice(at, 0, { thumb, tile })
  }

  /** Shows where in the video the picture is that is shown large. */
  point(thumb: Thumb | null): void {
    this.#needle.hidden = thumb === null
    if (thumb !== null) this.#needle.style.setProperty('left', `${this.#share(thumb) * 100}%`)
  }

  #put(tile: HTMLElement, thumb: Thumb): void {
    tile.style.setProperty('left', `${this.#share(thumb) * 100}%`)
  }

  #share(thumb: Thumb): number {
    return this.#spanMs === 0 ? 0 : Math.min(1, thumb.atMs / this.#spanMs)
  }

  /** The last thumbnail at or before the pointer; the first one for a pointer before all. */
  #under(event: MouseEvent): Thumb | null {
    const box = this.#track.getBoundingClientRect()
    const atMs = ((event.clientX - box.left) / box.width) * this.#spanMs
    const found = this.#tiles.findLast(({ thumb }) => thumb.atMs <= atMs) ?? this.#tiles[0]
    return found?.thumb ?? null
  }

  #focused(): Thumb | null {
    return this.#tiles.find(({ tile }) => tile === document.activeElement)?.thumb ?? null
  }

  #look(thumb: Thumb | null): void {
    for (const each of this.#track.querySelectorAll('.looked')) each.classList.remove('looked')
    this.#tiles.find((each) => each.thumb === thumb)?.tile.classList.add('looked')
    this.#onLook(thumb)
  }

  /** Picks a thumbnail to stay; the same one again lets it go. */
  #pick(thumb: Thumb | null): void {
    this.#picked = thumb === this.#picked ? null : thumb
    for (const { thumb: each, tile } of this.#tiles) tile.setAttribute('aria-selected', String(each === this.#picked))
    this.#look(this.#picked)
  }

  #key(event: KeyboardEvent): void {
    const at = this.#tiles.findIndex(({ tile }) => tile === document.activeElement)
    if (at < 0) return
    const to: Readonly<Record<string, number>> = {
      ArrowRight: at + 1,
      ArrowLeft: at - 1,
      PageDown: at + 10,
      PageUp: at - 10,
      Home: 0,
      End: this.#tiles.length - 1,
    }
    const next = to[event.key]
    if (next !== undefined) this.#focus(Math.max(0, Math.min(this.#tiles.length - 1, next)))
    else if (event.key === 'Enter' || event.key === ' ') this.#pick(this.#tiles[at]?.thumb ?? null)
    else if (event.key === 'Escape' && this.#picked !== null) this.#pick(this.#picked)
    else return
    event.preventDefault()
  }

  #focus(at: number): void {
    const tile = this.#tiles[at]?.tile
    if (tile === undefined) return
    this.#current?.setAttribute('tabindex', '-1')
    this.#current = tile
    tile.setAttribute('tabindex', '0')
    tile.focus({ preventScroll: true })
  }

  #drawRuler(): void {
    const stepMs = stepOf(this.#spanMs)
    this.#ruler.replaceChildren()
    for (let atMs = 0; atMs < this.#spanMs * 0.96; atMs += stepMs) {
      const mark = element('span', {}, place(atMs, false))
      mark.style.setProperty('left', `${(atMs / this.#spanMs) * 100}%`)
      this.#ruler.append(mark)
    }
  }
}

/** A round step that gives 4 to 8 marks, which also a phone has room for. */
function stepOf(spanMs: number): number {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200]
  return (steps.find((each) => spanMs / (each * 1000) <= 8) ?? Math.ceil(spanMs / 8_000)) * 1000
}
