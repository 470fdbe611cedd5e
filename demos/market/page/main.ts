// The page lies at the server's root, where `..` stays at the root: the same path serves the browser and the type checker.
import { connect } from '../../../sdk/index.ts'
import { byId, element, setText } from '../../design/element.ts'
import { icon } from '../../design/icons.ts'
import { AlertList } from './alerts.ts'
import { Board } from './board.ts'
import { CandleChart, readoutOf } from './chart.ts'
import type { Reading } from './feed.ts'
import { Feed } from './feed.ts'
import { Figures } from './figures.ts'
import { LinkState } from './link-state.ts'
import { Note } from './note.ts'
import { clockText, percentText, priceText } from './numbers.ts'
import type { Choice } from './saved.ts'
import { everyMs, load, save } from './saved.ts'
import { listings } from './symbols.ts'
import type { Candle } from './values.ts'
import { isRecord, readAlert, readBeat, readLag, readRejected } from './values.ts'
import { WatchList } from './watch-list.ts'

let choice = load()
let filter = ''
let hovered: Candle | null = null
let waiting = false
const dirty = new Set<string>()

const client = connect(location.origin)
const note = new Note(byId('note', HTMLElement))
const figures = new Figures(byId('figures', HTMLElement))
const link = new LinkState(byId('link', HTMLElement), (text) => say(text))
const feed = new Feed(client, (topic, error) => {
  note.show('error', `The server does not give ${topic}: ${messageOf(error)} Reload the page to ask again.`)
})
const board = new Board({
  quoted: (quote) => {
    const now = Date.now()
    figures.latency(now - quote.at, now)
    touch(quote.symbol)
  },
  moved: touch,
  missed: (symbol, candles) => {
    if (symbol !== choice.selected) return
    const text =
      candles === null
        ? `The server was started anew: what ${symbol} did before is not known to it.`
        : `${candles} candles of ${symbol} are gone: the server no longer keeps them.`
    note.show('gap', text)
    say(text)
  },
})
const list = new WatchList(byId('rows', HTMLElement), { select, toggle })
const chart = new CandleChart(byId('chart', HTMLElement), (candle) => {
  hovered = candle
  drawReadout()
})
const alerts = new AlertList(byId('alerts', HTMLElement), select)
const rows = new Set<string>()

const lists = segments(byId('lists', HTMLElement), { watched: 'Watched', all: 'All' }, (value) =>
  choose({ list: value }),
)
const lengths = segments(byId('intervals', HTMLElement), { '1s': '1 s', '10s': '10 s', '1m': '1 min' }, (value) =>
  choose({ interval: value }),
)
wireControls()
watchWorkflow().catch((thrown: unknown) => note.show('error', messageOf(thrown)))
arrange()
// What only time changes: figures, and that something has become slow.
setInterval(() => {
  const now = Date.now()
  figures.draw(now)
  link.look({ state: client.state, paused: feed.paused, latency: figures.middleLatency(now), now })
}, 500)
client.onState((state) => {
  if (state !== 'live') figures.rest()
  document.body.classList.toggle('cut-off', state !== 'live')
  link.look({ state, paused: feed.paused, latency: null, now: Date.now() })
  if (state === 'closed') note.show('error', 'The server has ended the connection. Reload the page.')
})

function choose(change: Partial<Choice>): void {
  choice = { ...choice, ...change }
  save(choice)
  arrange()
}

function select(symbol: string): void {
  note.hide('gap')
  choose({ selected: symbol })
}

function toggle(symbol: string): void {
  const watched = choice.watched.filter((each) => each !== symbol)
  choose({ watched: watched.length < choice.watched.length ? watched : [...watched, symbol] })
}

/** Puts on the screen what is chosen, and asks the server for that and no more. */
function arrange(): void {
  const wanted = filter.trim().toLowerCase()
  const fits = (text: string): boolean => text.toLowerCase().includes(wanted)
  const inList = listings.filter((each) => choice.list === 'all' || choice.watched.includes(each.symbol))
  const shown = inList.filter((each) => fits(each.symbol) || fits(each.name))
  const empty =
    inList.length === 0
      ? 'No symbol is watched. Choose All and star some.'
      : `No symbol fits “${filter.trim()}”. Change the filter${choice.list === 'watched' ? ', or look under All' : ''}.`
  list.arrange(shown, choice.selected, new Set(choice.watched), empty)
  rows.clear()
  for (const { symbol } of shown) rows.add(symbol)
  const read = new Set([...rows, choice.selected])
  const topics = new Map<string, Reading>([...read].flatMap((symbol) => board.topicsOf(symbol)))
  topics.set('market/alerts', { from: 'start', take: takeAlert })
  topics.set('market/rejected', { from: 'start', take: takeRejected })
  feed.want(topics)
  setText(byId('asked', HTMLElement), `Only what is shown is sent: ${read.size} of ${listings.length} symbols.`)
  document.body.dataset.topics = String(topics.size)
  lists(choice.list)
  lengths(choice.interval)
  const listing = listings.find((each) => each.symbol === choice.selected)
  setText(byId('stage-title', HTMLElement), choice.selected)
  setText(byId('stage-company', HTMLElement), listing?.name ?? '')
  hovered = null
  for (const symbol of read) touch(symbol)
}

function takeAlert(value: unknown): void {
  const alert = readAlert(value)
  if (alert === null) return
  alerts.take(alert)
  drawSoon()
}

function takeRejected(value: unknown): void {
  const rejected = readRejected(value)
  if (rejected !== null) figures.rejected(rejected)
}

function touch(symbol: string): void {
  link.news(Date.now())
  dirty.add(symbol)
  drawSoon()
}

/** Many messages come between two pictures of the screen; they are drawn at once. */
function drawSoon(): void {
  if (waiting) return
  waiting = true
  requestAnimationFrame(() => {
    waiting = false
    for (const symbol of dirty) if (rows.has(symbol)) list.draw(symbol, board.shown(symbol))
    if (dirty.has(choice.selected)) drawStage()
    dirty.clear()
    alerts.draw()
  })
}

function drawStage(): void {
  const { price, change } = board.shown(choice.selected)
  const series = board.series(choice.selected)
  setText(byId('stage-price', HTMLElement), price === null ? '–' : priceText(price))
  const shown = byId('stage-change', HTMLElement)
  const known = board.quote(choice.selected) !== null
  setText(shown, known ? percentText(change) : '')
  shown.dataset.way = change > 0 ? 'up' : change < 0 ? 'down' : 'same'
  if (series.candles.length === 0) note.show('loading', `The first candle of ${choice.selected} is on its way.`)
  else note.hide('loading')
  chart.show(series, everyMs[choice.interval])
  byId('chart', HTMLElement).dataset.candles = String(series.finals.length)
  drawReadout()
  document.title = price === null ? 'Millrace market' : `${priceText(price)} ${choice.selected} – Millrace market`
}

function drawReadout(): void {
  const candle = hovered ?? chart.newest
  const readout = byId('readout', HTMLElement)
  if (candle === null) return readout.replaceChildren()
  const parts = readoutOf(candle).map(([name, value]) => element('span', {}, element('i', {}, name), ` ${value}`))
  readout.replaceChildren(...parts)
}

function wireControls(): void {
  const input = byId('filter', HTMLInputElement)
  input.before(icon('search'))
  input.addEventListener('input', () => {
    filter = input.value
    arrange()
  })
  const pause = byId('pause', HTMLButtonElement)
  const draw = (): void => {
    pause.replaceChildren(icon(feed.paused ? 'play' : 'pause'), feed.paused ? 'Resume' : 'Pause')
    pause.setAttribute('aria-pressed', String(feed.paused))
    document.body.classList.toggle('paused', feed.paused)
    link.look({ state: client.state, paused: feed.paused, latency: null, now: Date.now() })
  }
  pause.addEventListener('click', () => {
    if (feed.paused) {
      feed.resume()
      note.hide('paused')
    } else {
      feed.pause()
      const since = clockText(Date.now())
      note.show(
        'paused',
        `Paused at ${since}. The server sends nothing meanwhile; what it still keeps follows when you resume.`,
      )
    }
    draw()
  })
  draw()
}

/** The workflow's own figures; they go on while the market is paused. */
async function watchWorkflow(): Promise<void> {
  const graph = await client.api('GET', '/api/workflows/market')
  const nodes = isRecord(graph) && Array.isArray(graph.nodes) ? graph.nodes.filter(isRecord) : []
  const kafka = nodes.some((each) => String(each.type).startsWith('kafka.consume'))
  const table = nodes.some((each) => String(each.type).startsWith('clickhouse.insert'))
  const ways = ['simulated', ...(kafka ? ['through Kafka'] : []), ...(table ? ['kept in ClickHouse'] : [])]
  setText(byId('source', HTMLElement), ways.join(', '))
  if (kafka)
    setInterval(() => {
      client.api('GET', '/api/workflows/market/sources').then(
        (answer) => figures.lag(readLag(answer)),
        // The connection's own state tells what is wrong.
        () => undefined,
      )
    }, 1_000)
  await client.topic('workflows/market/metrics').listen(
    ({ value }) => {
      const beat = readBeat(value)
      if (beat !== null) figures.beat(beat)
    },
    { after: null },
  )
}

/** A row of buttons of which one is pressed; answers what presses another. */
function segments<T extends string>(
  host: HTMLElement,
  names: Readonly<Record<T, string>>,
  chosen: (value: T) => void,
): (value: T) => void {
  const buttons = (Object.keys(names) as T[]).map((value) => {
    const button = element('button', { type: 'button' }, names[value])
    button.addEventListener('click', () => chosen(value))
    host.append(button)
    return [value, button] as const
  })
  return (value) => {
    for (const [each, button] of buttons) button.setAttribute('aria-pressed', String(each === value))
  }
}

function say(text: string): void {
  setText(byId('said', HTMLElement), text)
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
