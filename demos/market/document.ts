import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse as parseYaml } from 'yaml'
import { z } from 'zod'
import { createCatalogue } from '../../core/catalogue.ts'
import { defineVersions } from '../../core/define.ts'
import type { Plan } from '../../core/document/plan.ts'
import { planText } from '../../core/document/plan-text.ts'
import { catalogue as shipped } from '../../nodes.ts'
import { tradesV1 } from './trades.v1.ts'

/** What is shipped, and the market itself. */
export const catalogue = createCatalogue([...shipped.types, defineVersions({ 1: tradesV1 }, { latest: 1 })])

/** How trades are made. */
export interface TradeOptions {
  readonly perSecond: number
  readonly seed: number
  /** How many in all; without end when left out. */
  readonly count?: number
}

/** Where trades go through on their way, when they do. */
export interface KafkaOptions {
  /** `host:port` of each. */
  readonly brokers: readonly string[]
  readonly topic: string
  readonly group: string
}

/** Where candles are kept beside the screen. */
export interface ClickHouseOptions {
  readonly url: string
  readonly table: string
  /** Whether it knows repeated inserts by their token; servers before 22.2 do not. */
  readonly tokens: boolean
}

const documentShape = z.looseObject({
  settings: z.record(z.string(), z.unknown()),
  nodes: z.record(z.string(), z.unknown()),
  edges: z.array(z.string()),
})

/** The workflow of `workflow.yaml`, with Kafka in place of its own trades and with ClickHouse beside its candles where asked for. */
export function marketPlan(
  trades: TradeOptions,
  kafka: KafkaOptions | null,
  clickhouse: ClickHouseOptions | null,
): Plan {
  const text = readFileSync(fileURLToPath(new URL('workflow.yaml', import.meta.url)), 'utf8')
  const { settings, nodes, edges, ...rest } = documentShape.parse(parseYaml(text))
  const source =
    kafka === null
      ? { type: 'market.trades@1', label: 'Trades', config: { ...trades } }
      : {
          type: 'kafka.consume@1',
          label: 'Trades',
          config: { brokers: kafka.brokers, topic: kafka.topic, group: kafka.group, from: 'latest' },
        }
  const table = clickhouse === null ? {} : { table: tableNode(clickhouse) }
  const added = [
    ...(clickhouse === null ? [] : ['seconds -> table']),
    // A record that is no JSON has a port of its own.
    ...(kafka === null ? [] : ['trades.error -> failed']),
  ]
  return planOf(
    {
      ...rest,
      settings,
      nodes: { ...nodes, trades: source, ...table },
      edges: [...edges, ...added],
    },
    'market',
  )
}

/** The other half of `--kafka`: trades into a topic. */
export function producerPlan(trades: TradeOptions, kafka: KafkaOptions): Plan {
  const document = {
    millrace: 1,
    name: 'market-producer',
    settings: { inFlightMax: 20_000 },
    nodes: {
      trades: { type: 'market.trades@1', config: { ...trades } },
      topic: {
        type: 'kafka.produce@1',
        onError: { retry: { attemptsMax: 100 } },
        config: { brokers: kafka.brokers, topic: kafka.topic, compression: 'lz4', waitMs: 20 },
      },
    },
    edges: ['trades -> topic'],
  }
  return planOf(document, 'market-producer')
}

function tableNode({ url, table, tokens }: ClickHouseOptions): object {
  const columns = Object.fromEntries(
    ['open', 'high', 'low', 'close', 'volume', 'notional', 'trades'].map((name) => [name, `{{ $json.${name} }}`]),
  )
  return {
    type: 'clickhouse.insert@1',
    label: 'ClickHouse',
    // A server that is away slows nothing but this for as long as the gate allows; its candles wait.
    onError: { retry: { attemptsMax: 100 } },
    config: {
      ...{ url, table, deduplicate: tokens },
      columns: { at: '{{ Math.floor($json.from / 1000) }}', symbol: '{{ $json.key }}', ...columns },
    },
  }
}

function planOf(document: object, id: string): Plan {
  return planText(JSON.stringify(document), catalogue, { id, version: '1' })
}
