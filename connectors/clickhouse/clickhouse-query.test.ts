import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { RealFlow } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'
import type { ClickHouse } from '../../test/services/clickhouse.ts'
import {
  noClickHouse,
  noRecentClickHouse,
  startClickHouse,
  startRecentClickHouse,
} from '../../test/services/clickhouse.ts'
import { standFor } from './stand.fixture.ts'

const done = { outcome: { state: 'done', unsettled: 0, deadLetters: 0, failure: null }, faults: [] }

interface Query {
  readonly count?: number
  readonly value?: string
  readonly config: Readonly<Record<string, unknown>>
  readonly into?: string
}

/** `generate -> clickhouse.query`; both ports are kept. */
function queryFlow({ count = 1, value = '{{ { n: $json } }}', config, into }: Query): Promise<RealFlow> {
  return realFlow({
    millrace: 1,
    name: 'queries',
    nodes: {
      go: { type: 'generate@1', config: { count, value } },
      ask: { type: 'clickhouse.query@1', config, ...(into === undefined ? {} : { into }) },
      got: { type: 'test.keep@1' },
      failed: { type: 'test.keep@1' },
    },
    edges: ['go -> ask', 'ask -> got', 'ask.error -> failed'],
  })
}

async function answersOf(query: Query): Promise<readonly unknown[]> {
  const flow = await queryFlow(query)
  expect(await flow.finish()).toMatchObject(done)
  return flow.kept
}

describe('clickhouse.query of a recent engine', () => {
  let server: ClickHouse
  beforeAll(async () => {
    if (noRecentClickHouse === null) server = await startRecentClickHouse()
  })
  afterAll(async () => server?.stop())
  beforeEach((context) => {
    if (noRecentClickHouse !== null) context.skip(noRecentClickHouse)
  })

  test('binds parameters, whatever they hold', async () => {
    const evil = "a'; DROP TABLE x; -- \\ \t\n{id:String}"
    const got = await answersOf({
      value: `{{ { name: ${JSON.stringify(evil)}, big: '18446744073709551615', list: ['x\\'y', 'z'], none: null } }}`,
      config: {
        url: server.url,
        query:
          'SELECT {name:String} AS name, {big:UInt64} AS big, {list:Array(String)} AS list, {none:Nullable(Int32)} AS none, {yes:Bool} AS yes',
        parameters: {
          name: '{{ $json.name }}',
          big: '{{ $json.big }}',
          list: '{{ $json.list }}',
          none: '{{ $json.none }}',
          yes: '{{ 1 < 2 }}',
        },
      },
    })
    expect(got).toEqual([{ name: evil, big: '18446744073709551615', list: ["x'y", 'z'], none: null, yes: true }])
  })

  test('gives moments as ISO text and takes them as parameters', async () => {
    const [got] = await answersOf({
      config: {
        url: server.url,
        query:
          "SELECT toDateTime('2026-01-02 03:04:05', 'UTC') AS at, abs(dateDiff('minute', now(), parseDateTimeBestEffort({now:String}))) < 2 AS close",
        parameters: { now: '{{ $now }}' },
      },
    })
    expect(got).toEqual({ at: '2026-01-02T03:04:05Z', close: 1 })
  })

  test('gives the first row, or null, into a field; or all rows', async () => {
    const query = 'SELECT number AS id FROM numbers(10) WHERE number >= {from:UInt8} ORDER BY id'
    const parameters = { from: '{{ $json.n + 8 }}' }
    const first = await answersOf({
      count: 3,
      into: 'row',
      config: { url: server.url, query, parameters, rows: 'first' },
    })
    expect(first.toSorted((a, b) => (a as { n: number }).n - (b as { n: number }).n)).toEqual([
      { n: 0, row: { id: '8' } },
      { n: 1, row: { id: '9' } },
      { n: 2, row: null },
    ])
    expect(await answersOf({ config: { url: server.url, query, parameters, rows: 'all' } })).toEqual([
      [{ id: '8' }, { id: '9' }],
    ])
    expect(await answersOf({ config: { url: server.url, query, parameters } })).toEqual([{ id: '8' }, { id: '9' }])
  })

  test('settings override those of the node', async () => {
    const [got] = await answersOf({
      config: {
        url: server.url,
        query: 'SELECT toUInt64(7) AS n',
        settings: { output_format_json_quote_64bit_integers: false },
      },
    })
    expect(got).toEqual({ n: 7 })
  })

  test.each([
    ['wrong SQL', { query: 'SELEKT 1' }, 'clickhouse.bad-query'],
    ['an unknown table', { query: 'SELECT * FROM nowhere' }, 'clickhouse.unknown-table'],
    ['a parameter of another type', { query: 'SELECT {n:UInt8}', parameters: { n: 'x' } }, 'clickhouse.bad-parameter'],
    [
      'a parameter without a value',
      { query: 'SELECT {n:Date}', parameters: { n: '{{ $json.not }}' } },
      'clickhouse.bad-parameter',
    ],
    [
      'too many rows',
      { query: 'SELECT number FROM numbers(1000)', rowsMax: 999, rows: 'all' },
      'clickhouse.too-many-rows',
    ],
    ['a row too large', { query: "SELECT repeat('x', 2000) AS x", rowBytesMax: 1000 }, 'clickhouse.too-large'],
    ['an answer too large', { query: "SELECT repeat('x', 2000) AS x", bytesMax: 1000 }, 'clickhouse.too-large'],
    ['an answer in another format', { query: 'SELECT 1 FORMAT CSV' }, 'clickhouse.failed'],
  ])('%s fails the message', async (_, config, code) => {
    const got = await answersOf({ config: { url: server.url, ...config } })
    expect(got).toMatchObject([{ value: { n: 0 }, error: { code, node: 'ask' } }])
  })
})

describe('clickhouse.query of an old server', () => {
  const settings = { date_time_output_format: null, cancel_http_readonly_queries_on_client_close: null }
  let server: ClickHouse
  beforeAll(async () => {
    if (noClickHouse === null) server = await startClickHouse()
  })
  afterAll(async () => server?.stop())
  beforeEach((context) => {
    if (noClickHouse !== null) context.skip(noClickHouse)
  })

  test('streams a large answer and holds it back', async () => {
    const query = 'SELECT number AS n FROM numbers(300000)'
    const flow = await queryFlow({ config: { url: server.url, query, settings, rowsMax: 300_000 } })
    expect(await flow.finish()).toMatchObject(done)
    expect(flow.kept).toHaveLength(300_000)
    expect(flow.kept.at(-1)).toEqual({ n: '299999' })
  })

  test('an answer that breaks off is an error, after the rows that came', async () => {
    const got = await answersOf({
      config: {
        url: server.url,
        query: 'SELECT number AS n, throwIf(number = 200000) AS no FROM numbers(300000)',
        settings: { ...settings, max_block_size: 1000 },
        rowsMax: 300_000,
      },
    })
    expect(got.length).toBeGreaterThan(1_000)
    expect(got.filter((each) => JSON.stringify(each).includes('error'))).toMatchObject([
      { error: { code: 'clickhouse.refused', message: expect.stringContaining('throwIf') } },
    ])
  })

  test('packed answers are unpacked', async () => {
    const got = await answersOf({
      config: { url: server.url, query: 'SELECT number AS n FROM numbers(3)', settings, compression: 'gzip' },
    })
    expect(got).toEqual([{ n: '0' }, { n: '1' }, { n: '2' }])
  })
})

describe('clickhouse.query, as it is sent', () => {
  test('sends the query as it is and values apart from it, and shares one client', async () => {
    const stand = await standFor((_, response) => response.end('{"a":1}\n'))
    try {
      await answersOf({
        count: 2,
        value: "{{ { id: 'x\\' OR 1=1' } }}",
        config: {
          url: stand.url,
          username: 'me',
          password: 'pw',
          database: 'd',
          query: 'SELECT 1 AS a WHERE {id:String} != 2;',
          parameters: { id: '{{ $json.id }}' },
          timeoutMs: 2_500,
          settings: { max_threads: 2 },
        },
      })
      const [asked] = stand.asked
      expect(stand.asked).toHaveLength(2)
      expect(asked?.body).toBe('SELECT 1 AS a WHERE {id:String} != 2')
      expect(asked?.headers.authorization).toBe(`Basic ${Buffer.from('me:pw').toString('base64')}`)
      expect(Object.fromEntries(asked?.url.searchParams ?? [])).toEqual({
        query_id: expect.any(String),
        database: 'd',
        param_id: "x\\' OR 1=1",
        default_format: 'JSONEachRow',
        date_time_output_format: 'iso',
        output_format_json_quote_64bit_integers: '1',
        cancel_http_readonly_queries_on_client_close: '1',
        max_execution_time: '3',
        max_threads: '2',
      })
    } finally {
      stand.close()
    }
  })

  test('an expression in the SQL is a problem', async () => {
    await expect(queryFlow({ config: { url: 'http://127.0.0.1:1', query: 'SELECT {{ $json.n }}' } })).rejects.toThrow(
      'bind its value',
    )
  })

  test('a server that hangs is cut by the time limit, and by the end of the execution', async () => {
    const gone: string[] = []
    const stand = await standFor((asked, response) => {
      response.write('{"a":1}\n')
      response.on('close', () => gone.push(asked.body))
    })
    try {
      const got = await answersOf({ config: { url: stand.url, query: 'SELECT 1', timeoutMs: 100 } })
      expect(got).toMatchObject([{ a: 1 }, { error: { code: 'node.timeout', retriable: true } }])
      const flow = await queryFlow({ config: { url: stand.url, query: 'SELECT 2' } })
      await flow.keptCount(1)
      expect((await flow.execution.stop(0)).state).toBe('stopped')
      await flow.finish()
      await expect.poll(() => gone).toEqual(['SELECT 1', 'SELECT 2'])
    } finally {
      stand.close()
    }
  })

  test.each([
    ['cut in a row', '{"a":1}\n{"a":', 'clickhouse.cut'],
    [
      'ended by an error as recent servers send it',
      '{"a":1}\n\r\n__exception__\r\ntagtagtag\r\nCode: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26)\n10 tagtagtag\r\n__exception__\r\n',
      'clickhouse.busy',
    ],
    ['no ClickHouse', '<html>busy</html>', 'clickhouse.failed'],
  ])('an answer that is %s is an error that a retry may mend', async (_, text, code) => {
    const stand = await standFor((_asked, response) => response.end(text))
    try {
      const got = await answersOf({ config: { url: stand.url, query: 'SELECT 1', rows: 'all' } })
      expect(got).toMatchObject([{ error: { code, retriable: true } }])
    } finally {
      stand.close()
    }
  })
})
