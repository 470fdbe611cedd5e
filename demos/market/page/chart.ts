import uPlot from '/uplot/uPlot.esm.js'
import { clockText, compactText, priceText } from './numbers.ts'
import type { Series } from './series.ts'
import { grouped } from './series.ts'
import type { Candle } from './values.ts'

/** From one candle to the next, in pixels of the page. */
const stepPx = 9
const axisPx = 68

interface Colours {
  readonly text: string
  readonly soft: string
  readonly line: string
  readonly surface: string
  readonly up: string
  readonly down: string
  readonly accent: string
  readonly onAccent: string
  readonly warn: string
  readonly font: string
}

/** Candles with their volume, the newest at the right. It follows the series that it is given. */
export class CandleChart {
  readonly #host: HTMLElement
  readonly #hovered: (candle: Candle | null) => void
  #series: Series | null = null
  #everyMs = 1_000
  /** The first candle that is still being formed. */
  #formingFrom = Number.POSITIVE_INFINITY
  #candles: readonly Candle[] = []
  #plot: uPlot | null = null
  #colours: Colours

  /** `hovered` is called with the candle under the pointer, null when there is none. */
  constructor(host: HTMLElement, hovered: (candle: Candle | null) => void) {
    this.#host = host
    this.#hovered = hovered
    this.#colours = coloursOf(host)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.#colours = coloursOf(host)
      this.#plot?.redraw(false, true)
    })
    new ResizeObserver(() => this.#fit()).observe(host)
  }

  /** How many candles fit. */
  get fitting(): number {
    return Math.max(20, Math.floor((this.#host.clientWidth - axisPx) / stepPx))
  }

  /** The last candle that is shown. */
  get newest(): Candle | null {
    return this.#candles.at(-1) ?? null
  }

  /** Draws the candles of a series, or longer ones made of them. */
  show(series: Series, everyMs: number): void {
    this.#series = series
    this.#everyMs = everyMs
    this.#candles = everyMs === series.everyMs ? series.candles : grouped(series.candles, everyMs)
    const final = (series.finals.at(-1)?.from ?? Number.NEGATIVE_INFINITY) + series.everyMs
    this.#formingFrom = Math.floor(final / everyMs) * everyMs
    if (this.#candles.length === 0) return this.#clear()
    const column = (read: (candle: Candle) => number): number[] => this.#candles.map(read)
    const data: uPlot.AlignedData = [
      column((each) => each.from / 1000),
      column((each) => each.high),
      column((each) => each.low),
      column((each) => each.volume),
    ]
    if (this.#plot === null) this.#plot = new uPlot(this.#options(), data, this.#host)
    else this.#plot.setData(data)
  }

  #clear(): void {
    this.#plot?.destroy()
    this.#plot = null
  }

  #fit(): void {
    const { clientWidth: width, clientHeight: height } = this.#host
    if (this.#plot !== null && width > 0 && height > 0) this.#plot.setSize({ width, height })
  }

  #options(): uPlot.Options {
    const font = `11px ${this.#colours.font}`
    const axis = { stroke: () => this.#colours.soft, font, ticks: { show: false } }
    const hidden = { paths: () => null, points: { show: false } }
    return {
      ...{ width: this.#host.clientWidth, height: this.#host.clientHeight, padding: [8, 0, 0, 0] },
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: true, range: () => this.#shown() },
        // Volume lies in the lowest fifth, under the prices.
        price: { range: (_, low, high) => padded(low, high) },
        volume: { range: (_, __, high) => [0, Math.max(1, high) * 5] },
      },
      series: [{}, { ...hidden, scale: 'price' }, { ...hidden, scale: 'price' }, { ...hidden, scale: 'volume' }],
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 28,
          space: 80,
          values: (_, splits) => splits.map((each) => clockText(each * 1000)),
        },
        {
          ...axis,
          ...{ scale: 'price', side: 1, size: axisPx, space: 36, gap: 8 },
          grid: { stroke: () => this.#colours.line, width: 1 },
          values: (_, splits) => splits.map(priceText),
        },
      ],
      hooks: {
        draw: [(plot) => this.#paint(plot)],
        setCursor: [(plot) => this.#hovered(this.#candles[plot.cursor.idx ?? -1] ?? null)],
      },
    }
  }

  /** From so many candles before the newest to a little room behind it. */
  #shown(): [number, number] {
    const step = this.#everyMs / 1000
    const last = (this.#candles.at(-1)?.from ?? 0) / 1000
    return [last - this.fitting * step, last + step * 1.5]
  }

  #paint(plot: uPlot): void {
    const { ctx, bbox } = plot
    const series = this.#series
    const [first = 0, last = 0] = plot.series[0]?.idxs ?? []
    if (series === null) return
    const ratio = devicePixelRatio
    const step = Math.abs(plot.valToPos(this.#everyMs / 1000, 'x', true) - plot.valToPos(0, 'x', true))
    const body = Math.max(ratio, Math.round(step * 0.66))
    ctx.save()
    ctx.beginPath()
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
    ctx.clip()
    this.#paintHoles(plot, series, step)
    for (let index = first; index <= last; index++) {
      const candle = this.#candles[index]
      if (candle !== undefined) this.#paintCandle(plot, candle, body, candle.from >= this.#formingFrom)
    }
    ctx.restore()
    this.#paintPrice(plot)
  }

  /** A rising candle is hollow and a falling one full, so that no one needs the colours. */
  #paintCandle(plot: uPlot, candle: Candle, body: number, forming: boolean): void {
    const { ctx, bbox } = plot
    const ratio = devicePixelRatio
    const rising = candle.close >= candle.open
    const colour = rising ? this.#colours.up : this.#colours.down
    const y = (value: number): number => Math.round(plot.valToPos(value, 'price', true))
    const centre = Math.round(plot.valToPos(candle.from / 1000, 'x', true))
    const left = centre - Math.floor(body / 2)
    const [top, bottom] = [y(Math.max(candle.open, candle.close)), y(Math.min(candle.open, candle.close))]
    ctx.globalAlpha = forming ? 0.14 : 0.24
    ctx.fillStyle = colour
    const volume = plot.valToPos(candle.volume, 'volume', true)
    ctx.fillRect(left, volume, body, bbox.top + bbox.height - volume)
    ctx.globalAlpha = forming ? 0.65 : 1
    ctx.strokeStyle = colour
    ctx.lineWidth = Math.max(1, Math.round(ratio))
    const shift = (ctx.lineWidth % 2) / 2
    ctx.beginPath()
    ctx.moveTo(centre + shift, y(candle.high))
    ctx.lineTo(centre + shift, top)
    ctx.moveTo(centre + shift, bottom)
    ctx.lineTo(centre + shift, y(candle.low))
    ctx.stroke()
    const height = Math.max(ctx.lineWidth, bottom - top)
    if (!rising || height <= ctx.lineWidth * 2) ctx.fillRect(left, top, body, height)
    else {
      ctx.fillStyle = this.#colours.surface
      ctx.globalAlpha = 1
      ctx.fillRect(left, top, body, height)
      ctx.globalAlpha = forming ? 0.65 : 1
      ctx.strokeRect(left + shift, top + shift, body - ctx.lineWidth, height - ctx.lineWidth)
    }
    ctx.globalAlpha = 1
  }

  /** What the server no longer had is hatched, so that nobody takes it for a quiet time. */
  #paintHoles(plot: uPlot, series: Series, step: number): void {
    const { ctx, bbox } = plot
    const ratio = devicePixelRatio
    for (const { after, before, count } of series.holes) {
      const from = after === null ? bbox.left : plot.valToPos(after / 1000, 'x', true) + step / 2
      const to = before === null ? bbox.left + bbox.width : plot.valToPos(before / 1000, 'x', true) - step / 2
      const [left, right] = [Math.max(from, bbox.left), Math.min(to, bbox.left + bbox.width)]
      if (right - left < ratio) continue
      ctx.save()
      ctx.beginPath()
      ctx.rect(left, bbox.top, right - left, bbox.height)
      ctx.clip()
      ctx.strokeStyle = this.#colours.line
      ctx.lineWidth = ratio
      ctx.beginPath()
      for (let x = left - bbox.height; x < right; x += 8 * ratio) {
        ctx.moveTo(x, bbox.top + bbox.height)
        ctx.lineTo(x + bbox.height, bbox.top)
      }
      ctx.stroke()
      ctx.fillStyle = this.#colours.warn
      ctx.font = `${11 * ratio}px ${this.#colours.font}`
      ctx.textAlign = 'center'
      ctx.textBaseline = 'top'
      const text = count === null ? 'gap: history lost' : `gap: ${count} not kept`
      if (right - left > ctx.measureText(text).width) ctx.fillText(text, (left + right) / 2, bbox.top + 6 * ratio)
      ctx.restore()
    }
  }

  /** The newest price, across the chart and on the axis. */
  #paintPrice(plot: uPlot): void {
    const newest = this.#candles.at(-1)
    if (newest === undefined) return
    const { ctx, bbox } = plot
    const ratio = devicePixelRatio
    const y = Math.round(plot.valToPos(newest.close, 'price', true))
    const right = bbox.left + bbox.width
    ctx.save()
    ctx.strokeStyle = this.#colours.accent
    ctx.lineWidth = Math.max(1, Math.round(ratio))
    ctx.setLineDash([3 * ratio, 3 * ratio])
    ctx.beginPath()
    ctx.moveTo(bbox.left, y + 0.5)
    ctx.lineTo(right, y + 0.5)
    ctx.stroke()
    ctx.setLineDash([])
    ctx.fillStyle = this.#colours.accent
    ctx.beginPath()
    ctx.roundRect(right + 2 * ratio, y - 9 * ratio, (axisPx - 6) * ratio, 18 * ratio, 3 * ratio)
    ctx.fill()
    ctx.fillStyle = this.#colours.onAccent
    ctx.font = `600 ${11 * ratio}px ${this.#colours.font}`
    ctx.textBaseline = 'middle'
    ctx.textAlign = 'left'
    ctx.fillText(priceText(newest.close), right + 8 * ratio, y + ratio)
    ctx.restore()
  }
}

/** `O 184.20 H … V 38.2K`, for the line above the chart. */
export function readoutOf(candle: Candle): readonly (readonly [name: string, value: string])[] {
  return [
    ['Time', clockText(candle.from)],
    ['Open', priceText(candle.open)],
    ['High', priceText(candle.high)],
    ['Low', priceText(candle.low)],
    ['Close', priceText(candle.close)],
    ['Volume', compactText(candle.volume)],
  ]
}

/** Room above, and below as much as the volume needs. */
function padded(low: number | null, high: number | null): [number, number] {
  if (low === null || high === null) return [0, 1]
  const span = Math.max(high - low, high * 2e-4)
  return [low - span * 0.32, high + span * 0.08]
}

function coloursOf(host: HTMLElement): Colours {
  const style = getComputedStyle(host)
  const read = (name: string): string => style.getPropertyValue(`--${name}`).trim()
  return {
    ...{ text: read('text'), soft: read('text-soft'), line: read('line'), surface: read('surface') },
    ...{ up: read('flow'), down: read('bad'), accent: read('accent'), onAccent: read('on-accent'), warn: read('warn') },
    font: read('font'),
  }
}
