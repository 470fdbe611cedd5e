/** The work that every side does: Kafka → set, filter, set → Kafka. */
export interface Order {
  readonly id: string
  readonly customer: string
  readonly total: number
  readonly currency: string
  readonly country: string
  readonly items: readonly { readonly sku: string; readonly count: number }[]
  readonly note: string
}

/** About 185 bytes as JSON. */
export function orderText(n: number): string {
  const order: Order = {
    id: `o-${String(n).padStart(9, '0')}`,
    customer: `c-${n % 5_000}`,
    total: (n % 1_000) / 4,
    currency: 'EUR',
    country: ['fi', 'de', 'fr', 'es'][n % 4] ?? 'fi',
    items: [
      { sku: `a-${n % 97}`, count: 1 + (n % 5) },
      { sku: `b-${n % 89}`, count: 2 },
    ],
    note: 'leave it at the door',
  }
  return JSON.stringify(order)
}

/** Whether an order is written; four in five are. */
export const passes = (order: Order): boolean => order.total >= 50

/** By hand what the document's nodes do. */
export function handWork(text: string): string | null {
  const order: Order & { usd?: number } = JSON.parse(text)
  order.usd = order.total * 1.08
  if (!passes(order)) return null
  return JSON.stringify({
    id: order.id,
    customer: order.customer,
    eur: order.total,
    usd: order.usd,
    country: order.country,
    lines: order.items.length,
  })
}

export interface SideOptions {
  readonly brokers: readonly string[]
  readonly from: string
  readonly to: string
  readonly group: string
  readonly count: number
}

export interface SideResult {
  /** Records read. */
  readonly read: number
  readonly wallMs: number
  /** From a quarter of the records on: what a stream does when its threads have started and its group has settled. */
  readonly steadyMs: number
  readonly cpuMs: number
  readonly rssMb: number
}

export function documentOf(options: SideOptions, driver: string, form: 'json' | 'raw', settings: string): string {
  const kafka = `brokers: [${options.brokers.join(', ')}], driver: ${driver}`
  const source = `type: kafka.consume@1, config: { ${kafka}, topic: ${options.from}, group: ${options.group}, key: ${form === 'raw' ? 'text' : 'none'}, decode: ${form}, until: caught-up }`
  const nodes =
    form === 'json'
      ? `  in: { ${source} }
  price: { type: set@1, into: merge, config: { fields: { usd: "{{ $json.total * 1.08 }}" } } }
  big: { type: filter@1, config: { where: "{{ $json.total >= 50 }}" } }
  slim: { type: set@1, config: { fields: { id: "{{ $json.id }}", customer: "{{ $json.customer }}", eur: "{{ $json.total }}", usd: "{{ $json.usd }}", country: "{{ $json.country }}", lines: "{{ $json.items.length }}" } } }
  out: { type: kafka.produce@1, config: { ${kafka}, topic: ${options.to} } }
edges: [in -> price, price -> big, big -> slim, slim -> out]`
      : `  in: { ${source} }
  big: { type: filter@1, config: { where: "{{ $key !== 'c-7' }}" } }
  out: { type: kafka.produce@1, config: { ${kafka}, topic: ${options.to}, encode: raw, key: "{{ null }}" } }
edges: [in -> big, big -> out]`
  return `millrace: 1\nname: bench\nsettings: { ${settings} }\nnodes:\n${nodes}\n`
}
