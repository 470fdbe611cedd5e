import type { ConnectionState } from '../../../sdk/index.ts'
import { icon } from '../../design/icons.ts'

/** Nothing new for so long is called slow … */
const silentMs = 3_000
/** … and so is what takes so long to this page. */
const lateMs = 1_500

type Shown = 'connecting' | 'live' | 'slow' | 'paused' | 'reconnecting' | 'closed'

const words: Readonly<Record<Shown, string>> = {
  connecting: 'Connecting',
  live: 'Live',
  slow: 'Slow',
  paused: 'Paused',
  reconnecting: 'Reconnecting',
  closed: 'Disconnected: reload the page',
}

/** How the page is connected, in a word and a sign. */
export class LinkState {
  readonly #host: HTMLElement
  readonly #say: (text: string) => void
  #shown: Shown | null = null
  #newsAt = Date.now()

  /** `say` tells screen readers of each change. */
  constructor(host: HTMLElement, say: (text: string) => void) {
    this.#host = host
    this.#say = say
  }

  news(now: number): void {
    this.#newsAt = now
  }

  look(now: {
    readonly state: ConnectionState
    readonly paused: boolean
    readonly latency: number | null
    readonly now: number
  }): void {
    if (now.state !== 'live' || now.paused) this.#newsAt = now.now
    const slow = now.now - this.#newsAt > silentMs || (now.latency ?? 0) > lateMs
    const shown = now.state !== 'live' ? now.state : now.paused ? 'paused' : slow ? 'slow' : 'live'
    if (shown === this.#shown) return
    this.#shown = shown
    this.#host.dataset.state = shown
    const sign =
      shown === 'live' ? 'linked' : shown === 'paused' ? 'pause' : shown === 'slow' ? 'hourglass' : 'unplugged'
    this.#host.replaceChildren(icon(sign), words[shown])
    this.#say(words[shown])
  }
}
