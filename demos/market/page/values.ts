/** What the server sends, checked once where it comes in. Each answers null for a value of another form. */

export interface Quote {
  readonly symbol: string
  readonly price: number
  /** Against the last close, in percent. */
  readonly change: number
  /** Shares traded since the quote before. */
  readonly size: number
  /** When the newest trade in it was, in milliseconds since the epoch. */
  readonly at: number
}

export function readQuote(value: unknown): Quote | null {
  if (!isRecord(value) || typeof value.symbol !== 'string') return null
  const { symbol, price, change, size, at } = value
  return isNumber(price) && isNumber(change) && isNumber(size) && isNumber(at)
    ? { symbol, price, change, size, at }
    : null
}

export interface Candle {
  /** Its first millisecond. */
  readonly from: number
  readonly open: number
  readonly high: number
  readonly low: number
  readonly close: number
  readonly volume: number
}

export function readCandle(value: unknown): Candle | null {
  if (!isRecord(value)) return null
  const { from, open, high, low, close, volume } = value
  const known =
    isNumber(from) && isNumber(open) && isNumber(high) && isNumber(low) && isNumber(close) && isNumber(volume)
  return known ? { from, open, high, low, close, volume } : null
}

export interface Alert {
  /** `move`: `amount` is the percentage of a second. `spike`: how many times the usual turnover. */
  readonly kind: 'move' | 'spike'
  readonly symbol: string
  readonly at: number
  readonly price: number
  readonly amount: number
}

export function readAlert(value: unknown): Alert | null {
  if (!isRecord(value) || typeof value.symbol !== 'string') return null
  const { kind, symbol, at, price, amount } = value
  if (kind !== 'move' && kind !== 'spike') return null
  return isNumber(at) && isNumber(price) && isNumber(amount) ? { kind, symbol, at, price, amount } : null
}

/** How many trades were rejected for a reason within a second. */
export interface Rejected {
  readonly reason: string
  readonly from: number
  readonly count: number
}

export function readRejected(value: unknown): Rejected | null {
  if (!isRecord(value) || typeof value.key !== 'string') return null
  const { key, from, count } = value
  return isNumber(from) && isNumber(count) ? { reason: key, from, count } : null
}

/** One beat of the workflow's own metrics. */
export interface Beat {
  readonly at: number
  readonly inFlight: number
  readonly inFlightMax: number
  /** By node, since the start. */
  readonly nodes: ReadonlyMap<string, { readonly in: number; readonly out: number }>
}

export function readBeat(value: unknown): Beat | null {
  if (!isRecord(value) || !isNumber(value.at) || !isRecord(value.nodes)) return null
  const nodes = Object.entries(value.nodes).flatMap(([id, each]) =>
    isRecord(each) ? [[id, { in: Number(each.in), out: Number(each.out) }] as const] : [],
  )
  const { at } = value
  return { at, inFlight: Number(value.inFlight), inFlightMax: Number(value.inFlightMax), nodes: new Map(nodes) }
}

/** Reads the answer of `GET /api/workflows/{id}/sources`: records that have not been read yet, null where nobody knows. */
export function readLag(answer: unknown): number | null {
  if (!isRecord(answer) || !Array.isArray(answer.sources)) return null
  const partitions = answer.sources
    .filter(isRecord)
    .flatMap((each) => (Array.isArray(each.partitions) ? each.partitions : []))
  const unread = partitions
    .filter(isRecord)
    .flatMap(({ next, end }) => (isNumber(next) && isNumber(end) ? [Math.max(0, end - next)] : []))
  return unread.length === 0 ? null : unread.reduce((sum, each) => sum + each, 0)
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value)
}
