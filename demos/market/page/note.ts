import { element } from '../../design/element.ts'
import type { IconName } from '../../design/icons.ts'
import { icon } from '../../design/icons.ts'

export type NoteKind = 'loading' | 'paused' | 'gap' | 'error'

const signs: Readonly<Record<NoteKind, IconName>> = {
  loading: 'hourglass',
  paused: 'pause',
  gap: 'warning',
  error: 'failed',
}
/** What weighs more hides the other. */
const order: readonly NoteKind[] = ['error', 'paused', 'gap', 'loading']
/** A gap is told for so long; its place in the chart stays marked. */
const gapMs = 12_000

/** One line over the chart that says what is the matter, and what to do. */
export class Note {
  readonly #host: HTMLElement
  readonly #texts = new Map<NoteKind, string>()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(host: HTMLElement) {
    this.#host = host
  }

  show(kind: NoteKind, text: string): void {
    if (kind === 'gap') {
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.hide('gap'), gapMs)
    }
    if (this.#texts.get(kind) === text) return
    this.#texts.set(kind, text)
    this.#draw()
  }

  hide(kind: NoteKind): void {
    if (this.#texts.delete(kind)) this.#draw()
  }

  #draw(): void {
    const kind = order.find((each) => this.#texts.has(each))
    this.#host.hidden = kind === undefined
    if (kind === undefined) return
    this.#host.dataset.kind = kind
    this.#host.replaceChildren(icon(signs[kind]), element('p', {}, this.#texts.get(kind) ?? ''))
  }
}
