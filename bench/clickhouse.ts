import { Readable } from 'node:stream'
import { createClient } from '@clickhouse/client'
import { compile } from '../core/compile/compile.ts'
import { planText } from '../core/document/plan-text.ts'
import type { Pipeline } from '../core/pipeline.ts'
import { catalogue } from '../nodes.ts'
import { createHost } from '../server/host.ts'
import { noClickHouse, startClickHouse } from '../test/services/clickhouse.ts'
import { compare } from './compare.ts'
import type { BenchRow } from './row.ts'

const count = 1_000_000
const start = 1_767_225_600_000

/** A million rows into a table of a real server: a workflow beside one streamed insert of the client. */
export async function benchClickHouse(): Promise<readonly BenchRow[]> {
  if (noClickHouse !== null) {
    console.error(noClickHouse)
    return []
  }
  const server = await startClickHouse()
  const client = createClient({ url: server.url })
  try {
    await server.sql(
      'CREATE TABLE trades (id UInt64, symbol String, price Float64, size UInt32, at DateTime) ENGINE = MergeTree ORDER BY (symbol, id)',
    )
    const written = async (what: () => Promise<unknown>): Promise<void> => {
      await server.sql('TRUNCATE TABLE trades')
      await what()
      const rows = Number(await server.sql('SELECT count() FROM trades'))
      if (rows !== count) throw new Error(`${rows} of ${count} rows arrived`)
    }
    const pipeline = tradesInto(server.url)
    return [
      await compare({
        figure: 'ClickHouse insert, 1 million rows of 5 columns, JSONEachRow',
        ours: () =>
          written(async () => {
            const outcome = await pipeline.start('trades').done
            if (outcome.state !== 'done') throw new Error(outcome.failure?.message)
          }),
        peer: () =>
          written(() => client.insert({ table: 'trades', values: Readable.from(trades()), format: 'JSONEachRow' })),
        peerName: "the client's own stream insert",
        per: count,
        unit: 'ns/message',
        goal: 1 / 0.9,
        rounds: 3,
        warmups: 1,
      }),
    ]
  } finally {
    await client.close()
    await server.stop()
  }
}

const value = `{{ { id: $json, symbol: 'S' + $json % 50, price: 100 + ($json % 1000) / 8, size: $json % 100, at: Math.floor((${start} + $json) / 1000) } }}`

function* trades(): Generator<unknown> {
  for (let n = 0; n < count; n++)
    yield {
      id: n,
      symbol: `S${n % 50}`,
      price: 100 + (n % 1000) / 8,
      size: n % 100,
      at: Math.floor((start + n) / 1000),
    }
}

function tradesInto(url: string): Pipeline {
  const planned = planText(
    JSON.stringify({
      millrace: 1,
      name: 'trades',
      settings: { inFlightMax: 200_000 },
      nodes: {
        trades: { type: 'generate@1', config: { count, batch: 1_000, value } },
        table: {
          type: 'clickhouse.insert@1',
          config: { url, table: 'trades', rowsMax: 50_000, waitMsMax: 1_000, deduplicate: false },
        },
      },
      edges: ['trades -> table'],
    }),
    catalogue,
  )
  const host = createHost({
    log: { write: () => undefined },
    deadLetter: async ([letter]) => {
      throw new Error(letter?.failure.message)
    },
  })
  return compile(planned, catalogue, host)
}
