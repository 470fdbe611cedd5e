import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { compile } from '../../core/compile/compile.ts'
import { testHost, watchReceipts } from '../../core/testing.ts'
import { catalogue, marketPlan, producerPlan } from './document.ts'
import { symbolTable } from './page/symbols.ts'
import { Tape } from './tape.ts'

const candleShape = z.object({
  key: z.string(),
  from: z.number(),
  high: z.number(),
  volume: z.number(),
  trades: z.number(),
})
const countShape = z.object({ key: z.string(), count: z.number() })

describe('the workflow of the market', () => {
  it('makes of 12 seconds of trades what adding them up by hand gives, and loses none', async () => {
    const trades = { perSecond: 2_000, seed: 3, count: 24_000 }
    const topics = new Map<string, unknown[]>()
    const host = testHost({
      vars: () => ({ symbols: symbolTable(trades.perSecond) }),
      topics: {
        publish: async (topic, values) => void topics.set(topic, [...(topics.get(topic) ?? []), ...values]),
      },
    })
    const begin = host.clock.now()
    const watch = watchReceipts()
    const pipeline = compile(marketPlan(trades, null, null), catalogue, host)
    let state = ''
    void pipeline.start('trades').done.then((outcome) => {
      state = outcome.state
    })
    expect(await host.clock.runUntil(() => state !== '')).toBe(true)
    watch.restore()
    expect([state, watch.faults, watch.open.size, host.deadLetters]).toStrictEqual(['done', [], 0, []])

    const expected = new Map<string, { high: number; volume: number; trades: number }>()
    const tape = new Tape(trades.seed, trades.perSecond)
    let bad = 0
    for (let n = 0; n < trades.count; n++) {
      const at = Math.floor(begin + (n * 1000) / trades.perSecond)
      const { symbol, price, size } = tape.next(at)
      if (symbol === null || price === null || price <= 0) bad += 1
      else {
        const key = `${symbol} ${Math.floor(at / 1000) * 1000}`
        const known = expected.get(key) ?? { high: 0, volume: 0, trades: 0 }
        expected.set(key, { high: Math.max(known.high, price), volume: known.volume + size, trades: known.trades + 1 })
      }
    }
    const candles = [...topics]
      .filter(([topic]) => topic.startsWith('market/candles/'))
      .flatMap(([, values]) => values.map((value) => candleShape.parse(value)))
    expect(bad).toBeGreaterThan(0)
    expect(new Map(candles.map(({ key, from, ...rest }) => [`${key} ${from}`, rest]))).toStrictEqual(expected)
    expect(candles).toHaveLength(expected.size)
    const rejected = (topics.get('market/rejected') ?? []).map((value) => countShape.parse(value).count)
    expect(rejected.reduce((sum, each) => sum + each, 0)).toBe(bad)
  })

  it('is a whole document with Kafka and ClickHouse in it, and so is the producer', () => {
    const kafka = { brokers: ['127.0.0.1:9092'], topic: 'trades', group: 'market' }
    const clickhouse = { url: 'http://127.0.0.1:8123', table: 'candles', tokens: true }
    const trades = { perSecond: 1_000, seed: 1 }
    const types = marketPlan(trades, kafka, clickhouse).nodes.map((node) => node.type)
    expect(types).toContain('kafka.consume@1')
    expect(types).toContain('clickhouse.insert@1')
    expect(types).not.toContain('market.trades@1')
    expect(producerPlan(trades, kafka).nodes).toHaveLength(2)
  })
})
