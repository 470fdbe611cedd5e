import { element, setText } from '../../design/element.ts'
import type { IconName } from '../../design/icons.ts'
import { icon } from '../../design/icons.ts'
import { bytes, count, counted, percent, place, span } from '../../design/quantities.ts'
import { figuresOf } from './figures.ts'
import { Filmstrip } from './filmstrip.ts'
import type { Thumb, VideoRun } from './run.ts'

export interface CardActions {
  readonly stop: () => void
  readonly again: () => void
  readonly remove: () => void
}

interface State {
  readonly name: string
  readonly icon: IconName
  readonly text: string
}

/** A video and all that is known about it. `draw` brings it up to date; it may be called as often as one likes. */
export class Card {
  readonly root: HTMLElement
  readonly #run: VideoRun
  readonly #strip: Filmstrip
  readonly #state = element('p', { class: 'state' })
  readonly #bar = element('div', {
    class: 'progress',
    role: 'progressbar',
    'aria-valuemin': '0',
    'aria-valuemax': '100',
  })
  readonly #fill = element('div', { class: 'progress-fill' })
  readonly #progressText = element('p', { class: 'progress-text' })
  readonly #picture = element('img', { class: 'picture', alt: '' })
  readonly #screen: HTMLElement
  readonly #hint = element('p', { class: 'hint' })
  readonly #at = element('span', { class: 'at' })
  readonly #which = element('span', { class: 'which' })
  readonly #note = element('p', { class: 'note' })
  readonly #figures = new Map<string, HTMLElement>()
  readonly #stop: HTMLButtonElement
  readonly #again: HTMLButtonElement
  readonly #remove: HTMLButtonElement
  #shown = 0
  #looked: Thumb | null = null
  #stateName = ''

  constructor(run: VideoRun, actions: CardActions) {
    this.#run = run
    const { name } = run.record
    this.#strip = new Filmstrip(name, (thumb) => {
      this.#looked = thumb
      this.#drawPicture()
    })
    this.#stop = button('stop', 'Stop', actions.stop)
    this.#again = button('retry', 'Send again', actions.again)
    this.#remove = element(
      'button',
      { class: 'icon-button', type: 'button', 'aria-label': `Remove ${name}` },
      icon('close'),
    )
    this.#remove.addEventListener('click', actions.remove)
    this.#bar.setAttribute('aria-label', `Progress of ${name}`)
    this.#bar.append(this.#fill)
    const caption = element('p', { class: 'caption' }, this.#at, this.#which)
    this.#screen = element('div', { class: 'screen' }, this.#picture, this.#hint, caption)
    const figures = element('dl', { class: 'figures' })
    for (const label of figuresOf(run).keys()) {
      const value = element('dd')
      this.#figures.set(label, value)
      figures.append(element('div', {}, element('dt', {}, label), value))
    }
    const title = element('h2', { title: name }, name)
    this.root = element(
      'article',
      { class: 'card', 'aria-label': name },
      element(
        'header',
        { class: 'card-head' },
        element('div', { class: 'card-title' }, icon('film'), title),
        this.#state,
        element('div', { class: 'card-actions' }, this.#again, this.#stop, this.#remove),
      ),
      element('div', { class: 'progress-row' }, this.#bar, this.#progressText),
      this.#note,
      element('div', { class: 'card-body' }, this.#screen, figures),
      this.#strip.root,
    )
  }

  draw(): void {
    const run = this.#run
    this.#drawState(stateOf(run))
    this.#drawProgress()
    this.#drawSpan()
    for (; this.#shown < run.thumbs.length; this.#shown++) {
      const thumb = run.thumbs[this.#shown]
      if (thumb !== undefined) this.#strip.add(thumb)
    }
    // Where the length is not known beforehand, what came now may have gone beyond it.
    this.#drawSpan()
    this.#drawPicture()
    for (const [label, text] of figuresOf(run)) {
      const value = this.#figures.get(label)
      if (value !== undefined) setText(value, text)
    }
    const note = run.trouble?.message ?? run.done?.note ?? ''
    setText(this.#note, note)
    this.#note.hidden = note === ''
    this.#stop.hidden = !run.running
    this.#stop.disabled = run.stopping
    this.#again.hidden = run.trouble?.again !== true
    this.#remove.hidden = run.running
    this.root.dataset.count = String(run.thumbs.length)
  }

  /** The state in words. */
  get stateText(): string {
    return this.#state.textContent
  }

  #drawState(state: State): void {
    this.root.dataset.state = state.name
    if (this.#stateName === state.name + state.text) return
    this.#stateName = state.name + state.text
    this.#state.replaceChildren(icon(state.icon), state.text)
  }

  #drawSpan(): void {
    const { video } = this.#run
    if (video !== null) this.#strip.setSpan(video.durationMs, video.thumbnails)
  }

  #drawProgress(): void {
    const { share, text } = progressOf(this.#run)
    this.#bar.classList.toggle('unknown', share === null && this.#run.running)
    this.#fill.style.setProperty('transform', `scaleX(${share ?? 0})`)
    if (share === null) this.#bar.removeAttribute('aria-valuenow')
    else this.#bar.setAttribute('aria-valuenow', String(Math.floor(share * 100)))
    setText(this.#progressText, text)
  }

  #drawPicture(): void {
    const run = this.#run
    const newest = run.thumbs.at(-1) ?? null
    const thumb = this.#looked ?? newest
    if (run.video !== null) this.#screen.style.setProperty('aspect-ratio', `${run.video.width} / ${run.video.height}`)
    this.#picture.hidden = thumb === null
    this.#hint.hidden = thumb !== null
    setText(this.#hint, hintOf(run))
    this.#strip.point(thumb)
    if (thumb === null) return
    if (this.#picture.getAttribute('src') !== thumb.url) this.#picture.src = thumb.url
    this.#picture.alt = `The video at ${place(thumb.atMs)}`
    setText(this.#at, place(thumb.atMs))
    setText(this.#which, this.#looked === null && run.running ? 'newest' : `no. ${count(thumb.index + 1)}`)
  }
}

function stateOf(run: VideoRun): State {
  if (run.phase === 'done')
    return { name: 'done', icon: 'done', text: run.done?.note === null ? 'Done' : 'Done, with gaps' }
  if (run.phase === 'stopped') return { name: 'stopped', icon: 'stopped', text: 'Stopped' }
  if (run.phase === 'failed') return { name: 'failed', icon: 'failed', text: 'Failed' }
  if (run.stopping) return { name: 'stopping', icon: 'hourglass', text: 'Stopping' }
  if (run.unlinked) return { name: 'unlinked', icon: 'unplugged', text: 'Reconnecting' }
  if (run.slow) return { name: 'slow', icon: 'hourglass', text: 'Slow' }
  if (run.phase === 'uploading') return { name: 'uploading', icon: 'upload', text: 'Uploading' }
  if (run.phase === 'sent') return { name: 'sent', icon: 'clock', text: 'Waiting' }
  return { name: 'live', icon: 'waves', text: 'Live' }
}

function progressOf(run: VideoRun): { readonly share: number | null; readonly text: string } {
  const { record } = run
  if (run.phase === 'uploading') {
    const total = record.bytes ?? 0
    const sinceMs = Date.now() - record.startedAt
    const speed = sinceMs > 200 && run.sentBytes > 0 ? ` · ${bytes((run.sentBytes * 1000) / sinceMs)}/s` : ''
    const share = total === 0 ? 0 : run.sentBytes / total
    return { share, text: `${bytes(run.sentBytes)} of ${bytes(total)} · ${percent(share)}${speed}` }
  }
  if (run.phase === 'sent')
    return {
      share: null,
      text: record.source === 'sample' ? 'The sample is being drawn' : 'Reading the index of the video',
    }
  const planned = run.video?.thumbnails ?? null
  const had = run.thumbs.length + run.missing
  if (run.phase === 'done') {
    const made = counted(run.thumbs.length, 'thumbnail')
    return { share: 1, text: run.done === null ? made : `${made} in ${span(run.done.elapsedMs)}` }
  }
  if (planned === null)
    return {
      share: run.running ? null : 0,
      text: run.thumbs.length === 0 ? '' : counted(run.thumbs.length, 'thumbnail'),
    }
  return { share: had / planned, text: `${count(had)} of ${count(planned)} · ${percent(had / planned)}` }
}

function hintOf(run: VideoRun): string {
  if (run.phase === 'uploading') return 'Thumbnails come as soon as the upload is complete'
  if (run.phase === 'sent')
    return run.record.source === 'sample'
      ? 'Drawing the sample; the first time takes a few seconds'
      : 'The first thumbnail is on its way'
  if (run.phase === 'live') return ''
  return 'No thumbnail'
}

function button(name: IconName, text: string, onPress: () => void): HTMLButtonElement {
  const made = element('button', { class: 'button small', type: 'button' }, icon(name), text)
  made.addEventListener('click', onPress)
  return made
}
