import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { long } from '../../test/faults/faults.ts'
import type { RealFlow } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'
import type { ClickHouse } from '../../test/services/clickhouse.ts'
import {
  noClickHouse,
  noRecentClickHouse,
  startClickHouse,
  startRecentClickHouse,
} from '../../test/services/clickhouse.ts'

// `npm run test:faults` lets the server be away for as long, and writes as many rows, as is promised.
const awayMs = long ? 30_000 : 1_500
const count = long ? 1_000_000 : 100_000
const inFlightMax = 10_000

const done = { outcome: { state: 'done', unsettled: 0, deadLetters: 0, failure: null }, faults: [] }
const patient = { retry: { attemptsMax: 100, backoffMs: 20, backoffMsMax: 500 } }

function flowInto(url: string, config: Readonly<Record<string, unknown>>, rows = count): Promise<RealFlow> {
  return realFlow({
    millrace: 1,
    name: 'outage',
    settings: { inFlightMax },
    nodes: {
      go: { type: 'generate@1', config: { count: rows, value: "{{ { id: $json, name: 'row ' + $json } }}" } },
      out: { type: 'clickhouse.insert@1', config: { url, table: 'rows', ...config }, onError: patient },
      failed: { type: 'test.keep@1' },
    },
    edges: ['go -> out', 'out.error -> failed'],
  })
}

async function until(what: () => Promise<boolean> | boolean): Promise<void> {
  const limit = Date.now() + 50_000
  while (!(await what())) {
    if (Date.now() > limit) throw new Error('it did not come to that within 50 s')
    await sleep(5)
  }
}

const counted = async (server: ClickHouse): Promise<number> => Number(await server.sql('SELECT count() FROM rows'))
const sent = (flow: RealFlow): number => flow.pipeline.metrics()?.nodes.go?.out ?? 0
const createRows = (settings = ''): string =>
  `CREATE TABLE rows (id UInt64, name String) ENGINE = MergeTree ORDER BY id ${settings}`

describe('clickhouse.insert while the server is away', () => {
  test(
    'holds the flow back, and then writes every row once into a table that deduplicates',
    async (context) => {
      if (noRecentClickHouse !== null) return context.skip(noRecentClickHouse)
      const server = await startRecentClickHouse()
      try {
        await server.sql(createRows('SETTINGS non_replicated_deduplication_window = 1000'))
        const flow = await flowInto(server.url, { rowsMax: 3_000 })
        await until(async () => (await counted(server)) > count / 10)
        await server.kill()
        await until(() => (flow.pipeline.metrics()?.inFlight ?? 0) >= inFlightMax / 2)
        await sleep(awayMs / 2)
        const before = sent(flow)
        await sleep(awayMs / 2)
        expect(sent(flow) - before).toBe(0)
        expect(flow.pipeline.metrics()?.inFlight).toBeLessThanOrEqual(inFlightMax)
        await server.restart()
        expect(await flow.finish()).toMatchObject(done)
        expect(flow.kept).toEqual([])
        expect(flow.deadLetters).toEqual([])
        expect(await server.sql('SELECT count(), uniqExact(id) FROM rows')).toBe(`${count}\t${count}`)
      } finally {
        await server.stop()
      }
    },
    long ? 300_000 : 60_000,
  )

  test(
    'repeats at most what was under way into one that does not',
    async (context) => {
      if (noClickHouse !== null) return context.skip(noClickHouse)
      const server = await startClickHouse()
      try {
        await server.sql(createRows())
        const flow = await flowInto(server.url, { deduplicate: false, rowsMax: 3_000, concurrency: 2 })
        await until(async () => (await counted(server)) > count / 10)
        await server.kill()
        await sleep(awayMs)
        await server.restart()
        expect(await flow.finish()).toMatchObject(done)
        expect(flow.kept).toEqual([])
        const [all, distinct] = (await server.sql('SELECT count(), uniqExact(id) FROM rows')).split('\t').map(Number)
        expect(distinct).toBe(count)
        expect(all).toBeLessThanOrEqual(count + 2 * 3_000)
      } finally {
        await server.stop()
      }
    },
    long ? 300_000 : 60_000,
  )

  test('an insert that arrived although its time ran out is known again', async (context) => {
    if (noRecentClickHouse !== null) return context.skip(noRecentClickHouse)
    const server = await startRecentClickHouse()
    try {
      await server.sql(createRows('SETTINGS non_replicated_deduplication_window = 1000'))
      // The engine runs an insert that it has taken to its end, whoever waits for it.
      const flow = await flowInto(server.url, { rowsMax: 500, timeoutMs: 300 }, 20_000)
      for (let freezes = 0; freezes < 3; freezes++) {
        await until(async () => (await counted(server)) >= (freezes + 1) * 4_000)
        server.freeze()
        await sleep(700)
        server.thaw()
      }
      expect(await flow.finish()).toMatchObject(done)
      expect(flow.kept).toEqual([])
      expect(await server.sql('SELECT count(), uniqExact(id) FROM rows')).toBe('20000\t20000')
    } finally {
      await server.stop()
    }
  })

  test('a repeated insert is the same to the byte, also beside a bad row and other rows', async () => {
    const seen: { readonly token: string | null; readonly body: string }[] = []
    const stand = createServer((request, response) => {
      let body = ''
      request.on('data', (piece) => (body += String(piece)))
      request.on('end', () => {
        const token = new URL(request.url ?? '/', 'http://x').searchParams.get('insert_deduplication_token')
        seen.push({ token, body })
        const bad = body.split('\n').findIndex((line) => line.includes('"bad"'))
        if (bad >= 0) response.writeHead(500).end(`Code: 27. DB::Exception: no number: (at row ${bad + 1}) (TYPE)`)
        // The good rows beside the bad one arrive the third time only.
        else if (seen.filter((each) => each.body === body).length < 3) request.socket.destroy()
        else response.end()
      })
    })
    await new Promise<void>((resolve) => stand.listen(0, '127.0.0.1', resolve))
    const { port } = stand.address() as AddressInfo
    try {
      const flow = await realFlow({
        millrace: 1,
        name: 'same',
        nodes: {
          go: {
            type: 'generate@1',
            config: { count: 2_500, value: "{{ { id: $json === 1_400 ? 'bad' : $json } }}" },
          },
          out: {
            type: 'clickhouse.insert@1',
            config: { url: `http://127.0.0.1:${port}`, table: 'rows', rowsMax: 2_500, waitMsMax: 5_000 },
            onError: patient,
          },
          failed: { type: 'test.keep@1' },
        },
        edges: ['go -> out', 'out.error -> failed'],
      })
      expect(await flow.finish()).toMatchObject(done)
      expect(flow.kept).toMatchObject([{ error: { code: 'clickhouse.bad-row' }, value: { id: 'bad' } }])
      const bodies = new Map<string | null, Set<string>>()
      for (const { token, body } of seen) bodies.set(token, (bodies.get(token) ?? new Set()).add(body))
      expect([...bodies.values()].every((each) => each.size === 1)).toBe(true)
      const good = seen.filter((each) => !each.body.includes('bad')).map((each) => each.body)
      // Two sections and the rest of the one with the bad row, each sent three times, and no row in any other.
      expect(new Set(good).size).toBe(3)
      expect(good).toHaveLength(9)
      const rows = [...new Set(good)].flatMap((body) => body.trimEnd().split('\n'))
      expect(new Set(rows).size).toBe(2_499)
      expect(rows).toHaveLength(2_499)
    } finally {
      stand.close()
      stand.closeAllConnections()
    }
  })
})
