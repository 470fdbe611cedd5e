import { element, setText } from '../../design/element.ts'
import { count, span } from '../../design/quantities.ts'
import type { Beat, Rejected } from './values.ts'

const none = '–'
/** Rates are those of so long: short enough to be live, long enough to be read. */
const windowMs = 2_000
const minuteMs = 60_000

const titles = {
  trades: ['Trades in', 'What the workflow takes from its source'],
  candles: ['Candles out', 'Seconds of symbols that were summed up'],
  latency: ['Trade to screen', 'From the newest trade of a quote to this page; the middle of the last two seconds'],
  inFlight: ['In flight', 'Trades between the source and what they end in'],
  lag: ['Behind in Kafka', 'Records of the topic that have not been read yet'],
  rejected: ['Rejected', 'Bad and late trades since the start, and the reasons of the last minute'],
} as const

type Figure = keyof typeof titles

/** The row of figures on how the flow does. */
export class Figures {
  readonly #values = new Map<
    Figure,
    { readonly root: HTMLElement; readonly value: HTMLElement; readonly more: HTMLElement }
  >()
  readonly #beats: Beat[] = []
  #latencies: { readonly at: number; readonly ms: number }[] = []
  #rejected: Rejected[] = []

  constructor(host: HTMLElement) {
    for (const figure of Object.keys(titles) as Figure[]) {
      const [name, title] = titles[figure]
      const value = element('span', { class: 'figure-value' }, none)
      const more = element('span', { class: 'figure-more' })
      const root = element(
        'div',
        { class: 'figure', title, 'data-figure': figure },
        element('dt', {}, name),
        element('dd', {}, value, more),
      )
      if (figure === 'lag') root.hidden = true
      host.append(root)
      this.#values.set(figure, { root, value, more })
    }
  }

  beat(beat: Beat): void {
    const last = this.#beats.at(-1)
    const taken = (each: Beat | undefined): number => each?.nodes.get('trades')?.out ?? 0
    // Counters that went back belong to a server that was started anew.
    if (last !== undefined && (beat.at < last.at || taken(beat) < taken(last))) this.#beats.length = 0
    this.#beats.push(beat)
    while (this.#beats.length > 2 && beat.at - (this.#beats[1]?.at ?? 0) >= windowMs) this.#beats.shift()
  }

  latency(ms: number, now: number): void {
    this.#latencies.push({ at: now, ms: Math.max(0, ms) })
    if (this.#latencies.length > 1_000) this.#latencies.shift()
  }

  rejected(rejected: Rejected): void {
    this.#rejected.push(rejected)
    if (this.#rejected.length > 1_000) this.#rejected.shift()
  }

  lag(records: number | null): void {
    const figure = this.#values.get('lag')
    if (figure === undefined || records === null) return
    figure.root.hidden = false
    setText(figure.value, count(records))
    setText(figure.more, records === 1 ? 'record' : 'records')
  }

  /** The server is out of reach: what flows now is not known. */
  rest(): void {
    this.#beats.length = 0
    this.#latencies = []
    for (const { value, more } of this.#values.values()) {
      setText(value, none)
      setText(more, '')
    }
  }

  /** How long trades take to this page now, in milliseconds; null when none has come of late. */
  middleLatency(now: number): number | null {
    this.#latencies = this.#latencies.filter((each) => now - each.at < windowMs)
    const sorted = this.#latencies.map((each) => each.ms).sort((a, b) => a - b)
    return sorted[Math.floor(sorted.length / 2)] ?? null
  }

  draw(now: number): void {
    const [first] = this.#beats
    const last = this.#beats.at(-1)
    const latency = this.middleLatency(now)
    this.#set('latency', latency === null ? none : span(latency), '')
    if (first === undefined || last === undefined) return
    const seconds = (last.at - first.at) / 1000
    const rate = (id: string): string => {
      const made = (last.nodes.get(id)?.out ?? 0) - (first.nodes.get(id)?.out ?? 0)
      return seconds <= 0 ? none : count(Math.round(made / seconds))
    }
    this.#set('trades', rate('trades'), 'a second')
    this.#set('candles', rate('seconds'), 'a second')
    this.#set('inFlight', count(last.inFlight), `of ${count(last.inFlightMax)}`)
    const inOf = (id: string): number => last.nodes.get(id)?.in ?? 0
    this.#set('rejected', count(inOf('bad') + inOf('failed')), this.#reasons(now))
  }

  #set(figure: Figure, value: string, more: string): void {
    const found = this.#values.get(figure)
    if (found === undefined) return
    setText(found.value, value)
    setText(found.more, more)
  }

  /** The reasons of the last minute, the most frequent first. */
  #reasons(now: number): string {
    this.#rejected = this.#rejected.filter((each) => now - each.from < minuteMs)
    const counts = new Map<string, number>()
    for (const { reason, count: more } of this.#rejected) counts.set(reason, (counts.get(reason) ?? 0) + more)
    const sorted = [...counts].sort((a, b) => b[1] - a[1])
    return sorted.map(([reason, many]) => `${count(many)} ${reason}`).join(' · ')
  }
}
