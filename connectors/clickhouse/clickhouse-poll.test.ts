import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { RealFlow, RealFlowOptions } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'
import type { ClickHouse } from '../../test/services/clickhouse.ts'
import { noRecentClickHouse, startRecentClickHouse } from '../../test/services/clickhouse.ts'
import { standFor } from './stand.fixture.ts'

let server: ClickHouse

beforeAll(async () => {
  if (noRecentClickHouse === null) server = await startRecentClickHouse()
})

afterAll(async () => server?.stop())

beforeEach((context) => {
  if (noRecentClickHouse !== null) context.skip(noRecentClickHouse)
})

let tables = 0

async function table(columns: string): Promise<string> {
  const name = `t${++tables}`
  await server.sql(`CREATE TABLE ${name} (${columns}) ENGINE = MergeTree ORDER BY tuple()`)
  return name
}

function pollFlow(
  config: Readonly<Record<string, unknown>>,
  options: RealFlowOptions & { readonly settings?: Readonly<Record<string, unknown>> } = {},
): Promise<RealFlow> {
  return realFlow(
    {
      millrace: 1,
      name: 'polls',
      settings: options.settings ?? {},
      nodes: {
        poll: { type: 'clickhouse.poll@1', config: { url: server.url, everyMs: 10, ...config } },
        got: { type: 'test.keep@1' },
      },
      edges: ['poll -> got'],
    },
    options,
  )
}

async function stopped(flow: RealFlow): Promise<readonly unknown[]> {
  await flow.execution.stop(5_000)
  const { outcome, faults } = await flow.finish()
  expect(outcome).toMatchObject({ state: 'stopped', unsettled: 0, deadLetters: 0, failure: null })
  expect(faults).toEqual([])
  return flow.kept
}

const numbers = (from: number, count: number): readonly number[] => Array.from({ length: count }, (_, n) => from + n)

describe('clickhouse.poll', () => {
  test('reads what is there in order, page by page, and then what comes', async () => {
    const name = await table('id UInt64, name String')
    await server.sql(`INSERT INTO ${name} SELECT number, 'n' FROM numbers(1000) ORDER BY rand()`)
    const flow = await pollFlow({ table: name, column: 'id', rowsMax: 130 })
    await flow.keptCount(1_000)
    for (const from of [1_000, 1_500]) {
      await server.sql(`INSERT INTO ${name} SELECT number + ${from}, 'n' FROM numbers(500)`)
      await flow.keptCount(from + 500)
    }
    const kept = await stopped(flow)
    expect(kept.map((each) => Number((each as { id: string }).id))).toEqual(numbers(0, 2_000))
    expect(kept[0]).toEqual({ id: '0', name: 'n' })
  })

  test('loses none of the rows that share a value, and repeats none: also equal rows, also over pages', async () => {
    const name = await table('at DateTime, n UInt32')
    const add = (rows: string): Promise<string> => server.sql(`INSERT INTO ${name} VALUES ${rows}`)
    await add(
      numbers(0, 100)
        .map((n) => `(1000000000, ${n % 70})`)
        .join(),
    )
    const flow = await pollFlow({ table: name, column: 'at', rowsMax: 7 })
    await flow.keptCount(100)
    // More of the same second, of which some are equal to rows that have been read.
    await add(
      numbers(0, 30)
        .map((n) => `(1000000000, ${n})`)
        .join(),
    )
    await flow.keptCount(130)
    await add(`(1000000001, 1), (1000000001, 1), (1000000000, 5)`)
    await flow.keptCount(133)
    await add(`(1000000001, 1)`)
    await flow.keptCount(134)
    const kept = (await stopped(flow)).map((each) => JSON.stringify(each))
    const table_ = await server.sql(`SELECT count(), uniqExact(at, n) FROM ${name}`)
    expect(`${kept.length}\t${new Set(kept).size}`).toBe(table_)
  })

  test('a tie-break tells rows with the same value apart', async () => {
    const name = await table('day Date, id UInt32')
    const add = (day: string, ids: readonly number[]): Promise<string> =>
      server.sql(`INSERT INTO ${name} VALUES ${ids.map((id) => `('${day}', ${id})`).join()}`)
    await add('2026-01-01', numbers(0, 50))
    const flow = await pollFlow({ table: name, column: 'day', tieBreak: 'id', columns: ['id', 'day'], rowsMax: 8 })
    await flow.keptCount(50)
    await add('2026-01-01', numbers(50, 50))
    await flow.keptCount(100)
    await add('2026-01-02', numbers(0, 20))
    await flow.keptCount(120)
    expect((await stopped(flow)).map((each) => (each as { id: number }).id)).toEqual([
      ...numbers(0, 100),
      ...numbers(0, 20),
    ])
  })

  test('no hour is lost or read twice when clocks are set back', async () => {
    const name = await table("at DateTime('Europe/Berlin'), fine DateTime64(6, 'Europe/Berlin')")
    // From half past one in summer to half past three in winter, on the night of 2024-10-27, every ten seconds.
    await server.sql(
      `INSERT INTO ${name} SELECT 1729985400 + number * 10, toDateTime64(1729985400 + number * 10, 6) + 0.000001 FROM numbers(1080)`,
    )
    for (const column of ['at', 'fine']) {
      const flow = await pollFlow({ table: name, column, rowsMax: 11 })
      await flow.keptCount(1_080)
      const kept = await stopped(flow)
      const times = kept.map((each) => Date.parse(String((each as Record<string, string>).at)))
      expect(times).toEqual(numbers(0, 1_080).map((n) => (1729985400 + n * 10) * 1_000))
    }
  })

  test.each([
    ['among rows of one value', {}],
    ['by two columns', { tieBreak: 'name' }],
  ])('begins at the end, %s: the next row is the first', async (_, config) => {
    const name = await table('n UInt32, name String')
    await server.sql(`INSERT INTO ${name} SELECT 5, toString(number) FROM numbers(50)`)
    const door = await standFor(async ({ url, body }, response) => {
      const answer = await fetch(`${server.url}${url.pathname}${url.search}`, { method: 'POST', body })
      response.writeHead(answer.status).end(await answer.text())
    })
    try {
      const flow = await pollFlow({ url: door.url, table: name, column: 'n', from: 'end', rowsMax: 3, ...config })
      // It has found the end when it asks for what comes behind it.
      await expect.poll(() => door.asked.some(({ body }) => body.includes('>=')), { timeout: 5_000 }).toBe(true)
      await server.sql(`INSERT INTO ${name} VALUES (5, '99'), (6, 'a')`)
      await flow.keptCount(2)
      expect(await stopped(flow)).toEqual([
        { n: 5, name: '99' },
        { n: 6, name: 'a' },
      ])
    } finally {
      door.close()
    }
  })

  test('begins after a value, and holds to a condition', async () => {
    const name = await table('at DateTime, n UInt32')
    await server.sql(`INSERT INTO ${name} SELECT 1000000000 + number, number FROM numbers(20)`)
    const flow = await pollFlow({
      table: name,
      column: 'at',
      after: '2001-09-09T01:46:49Z',
      where: 'n % 2 = 0 -- even ones',
    })
    await flow.keptCount(5)
    expect((await stopped(flow)).map((each) => (each as { n: number }).n)).toEqual([10, 12, 14, 16, 18])
  })

  test('waits for a server that is away, says so once, and goes on where it was', async () => {
    const own = await startRecentClickHouse()
    try {
      await own.sql('CREATE TABLE t (id UInt32) ENGINE = MergeTree ORDER BY id')
      await own.sql('INSERT INTO t SELECT number FROM numbers(100)')
      const said: string[] = []
      const flow = await pollFlow(
        { url: own.url, table: 't', column: 'id' },
        { host: { log: { write: (level, text) => void said.push(`${level}: ${text}`) } } },
      )
      await flow.keptCount(100)
      await own.kill()
      await expect.poll(() => said.length, { timeout: 10_000 }).toBe(1)
      await own.restart()
      await own.sql('INSERT INTO t SELECT number + 100 FROM numbers(100)')
      await flow.keptCount(200)
      expect((await stopped(flow)).map((each) => (each as { id: number }).id)).toEqual(numbers(0, 200))
      expect(said).toEqual([expect.stringMatching(/^warn: .* poll tries again$/), 'info: poll reads again'])
    } finally {
      await own.stop()
    }
  })

  test('a slow flow holds it back', async () => {
    const name = await table('id UInt32')
    await server.sql(`INSERT INTO ${name} SELECT number FROM numbers(20000)`)
    const flow = await pollFlow(
      { table: name, column: 'id', rowsMax: 1_000 },
      { settings: { inFlightMax: 400 }, onWrite: () => new Promise((resolve) => setTimeout(resolve, 1)) },
    )
    await flow.keptCount(20_000)
    expect((await stopped(flow)).map((each) => (each as { id: number }).id)).toEqual(numbers(0, 20_000))
    expect(flow.inFlightMax()).toBeLessThanOrEqual(400)
  })

  test('a row that is too large goes to the dead-letter, and the rest goes on', async () => {
    const name = await table('id UInt32, text String')
    await server.sql(`INSERT INTO ${name} SELECT number, repeat('x', number = 3 ? 5000 : 1) FROM numbers(10)`)
    const flow = await pollFlow({ table: name, column: 'id', rowBytesMax: 1_000 })
    await flow.keptCount(9)
    expect((await stopped(flow)).map((each) => (each as { id: number }).id)).toEqual([0, 1, 2, 4, 5, 6, 7, 8, 9])
    expect(flow.deadLetters).toMatchObject([{ failure: { code: 'record.too-long' } }])
  })

  test.each([
    ['an unknown table', { table: 'nowhere', column: 'id' }, 'clickhouse.unknown-table'],
    ['an unknown column', { column: 'nope' }, 'clickhouse.unknown-column'],
    ['a column that may be null', { column: 'maybe' }, 'clickhouse.bad-column'],
    ['a list', { column: 'list' }, 'clickhouse.bad-column'],
    ['a wrong condition', { column: 'id', where: 'nope = 1' }, 'clickhouse.unknown-column'],
    ['too many rows of one value', { column: 'same', tiesMax: 10 }, 'clickhouse.too-many-ties'],
  ])('%s fails the execution', async (_, config, code) => {
    const name = await table('id UInt32, maybe Nullable(UInt32), list Array(UInt32), same UInt32')
    await server.sql(`INSERT INTO ${name} SELECT number, 1, [], 7 FROM numbers(50)`)
    const flow = await pollFlow({ table: name, ...config })
    expect((await flow.finish()).outcome).toMatchObject({ state: 'failed', failure: { code, node: 'poll' } })
  })

  test('a column that is not read cannot be read by', async () => {
    await expect(pollFlow({ table: 't', column: 'id', columns: ['name'] })).rejects.toThrow(
      'id is not among the columns',
    )
  })
})
