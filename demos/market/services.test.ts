import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { connect } from '../../sdk/index.ts'
import { until } from '../../server/testing.ts'
import { noClickHouse, startClickHouse } from '../../test/services/clickhouse.ts'
import { noKafka } from '../../test/services/kafka.ts'
import { sharedKafka } from '../../test/services/shared.ts'
import { startMarket } from './server.ts'

const sourcesShape = z.object({
  sources: z.array(z.object({ partitions: z.array(z.object({ partition: z.string(), lag: z.number().nullable() })) })),
})

describe('the market through real services', () => {
  it('sends trades through Kafka and makes candles of them', { timeout: 90_000 }, async (context) => {
    if (noKafka !== null) return context.skip(noKafka)
    const { brokers } = await sharedKafka()
    const topic = `market-${randomUUID()}`
    const demo = await startMarket({ port: 0, perSecond: 5_000, kafka: { brokers, topic } })
    const client = connect(demo.url)
    try {
      let trades = 0
      for await (const { value } of client.topic('market/candles/kelp').subscribe()) {
        trades += z.object({ trades: z.number() }).parse(value).trades
        if (trades > 1_000) break
      }
      const { sources } = sourcesShape.parse(await client.api('GET', '/api/workflows/market/sources'))
      const positions = sources.flatMap((each) => each.partitions)
      expect(positions.map((each) => each.partition).sort()).toStrictEqual([0, 1, 2, 3].map((n) => `${topic}/${n}`))
      expect(positions.some((each) => each.lag !== null)).toBe(true)
    } finally {
      client.close()
      await demo.close()
    }
  })

  it('keeps the candles in ClickHouse', { timeout: 60_000 }, async (context) => {
    if (noClickHouse !== null) return context.skip(noClickHouse)
    const server = await startClickHouse()
    const demo = await startMarket({ port: 0, perSecond: 2_000, clickhouse: { url: server.url, table: 'candles' } })
    try {
      await until(async () => Number(await server.sql('SELECT count() FROM candles')) > 80, 30_000)
      const wrong = "SELECT count() FROM candles WHERE low > open OR high < close OR trades = 0 OR symbol = ''"
      expect(await server.sql(wrong)).toBe('0')
      expect(await server.sql('SELECT count() - uniq(symbol, at) FROM candles')).toBe('0')
    } finally {
      await demo.close()
      await server.stop()
    }
  })

  it('says what to do when a service is not there', async () => {
    await expect(startMarket({ port: 0, clickhouse: { url: 'http://127.0.0.1:9' } })).rejects.toThrow(
      /leave --clickhouse out/,
    )
    await expect(startMarket({ port: 0, kafka: { brokers: ['127.0.0.1:9'] } })).rejects.toThrow(/leave --kafka out/)
  })
})
