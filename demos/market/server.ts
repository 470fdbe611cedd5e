import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compile } from '../../core/compile/compile.ts'
import { createServer } from '../../server/create-server.ts'
import { createHost } from '../../server/host.ts'
import { createLog } from '../../server/log.ts'
import { sdkPages } from '../../server/sdk-pages.ts'
import { openTable } from './candle-table.ts'
import { catalogue, marketPlan } from './document.ts'
import { symbolTable } from './page/symbols.ts'
import { openTradesTopic } from './trades-topic.ts'

export interface MarketOptions {
  readonly port: number
  /** Trades a second; 50,000 when left out. */
  readonly perSecond?: number
  readonly seed?: number
  /** Brokers, `host:port` each: another process writes the trades to a topic there, and the workflow reads it. */
  readonly kafka?: { readonly brokers: readonly string[]; readonly topic?: string } | null
  /** The HTTP interface of a ClickHouse that keeps the candles. */
  readonly clickhouse?: { readonly url: string; readonly table?: string } | null
  /** Messages that each topic keeps for readers that come late or were away. */
  readonly keep?: number
}

export interface RunningMarket {
  readonly url: string
  close(): Promise<void>
}

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** Twenty minutes of candles. */
const keptMessages = 1_200

/** Starts the market demo: a server with the page, and the workflow with its trades. */
export async function startMarket(options: MarketOptions): Promise<RunningMarket> {
  const trades = { perSecond: options.perSecond ?? 50_000, seed: options.seed ?? 1 }
  const log = createLog('warn')
  const open: { close(): Promise<void> }[] = []
  const close = async (): Promise<void> => {
    for (const each of open.splice(0).reverse()) await each.close()
  }
  try {
    const table = options.clickhouse ? await openTable(options.clickhouse.url, options.clickhouse.table) : null
    const topic = options.kafka ? await openTradesTopic(options.kafka.brokers, options.kafka.topic, trades) : null
    if (topic !== null) open.push(topic)
    const uplot = dirname(createRequire(import.meta.url).resolve('uplot'))
    const server = await createServer({
      port: options.port,
      log,
      pages: [
        { path: '/', directory: here('page') },
        { path: '/design', directory: here('../design') },
        { path: '/uplot', directory: uplot },
        ...sdkPages,
      ],
      limits: { subscriptionsPerSocketMax: 200, topics: { messagesMax: options.keep ?? keptMessages } },
    })
    open.push(server)
    const host = createHost({
      vars: { symbols: symbolTable(trades.perSecond) },
      log,
      deadLetter: async (letters) => {
        for (const letter of letters)
          log.write('warn', letter.failure.message, { code: letter.failure.code, node: letter.failure.node })
      },
      hub: server.hub,
      topics: server.topics,
    })
    await server.deploy('market', compile(marketPlan(trades, topic, table), catalogue, host))
    await topic?.produce()
    return { url: server.url, close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}
