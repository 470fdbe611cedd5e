import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { RealFlow, RealFlowOptions } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'
import type { ClickHouse } from '../../test/services/clickhouse.ts'
import { noClickHouse, startClickHouse, writer } from '../../test/services/clickhouse.ts'

const secret = 'hunter2-secret'

let server: ClickHouse

beforeAll(async () => {
  if (noClickHouse === null) server = await startClickHouse()
})

afterAll(async () => server?.stop())

beforeEach((context) => {
  if (noClickHouse !== null) context.skip(noClickHouse)
})

interface Insert {
  readonly count: number
  /** The value of message `$json`, a number from 0. */
  readonly value: string
  readonly config?: Readonly<Record<string, unknown>>
  readonly settings?: Readonly<Record<string, unknown>>
  readonly onError?: unknown
  readonly host?: RealFlowOptions['host']
}

/** `generate -> clickhouse.insert`, whose failed messages are kept. */
function insertFlow(options: Insert): Promise<RealFlow> {
  return realFlow(
    {
      millrace: 1,
      name: 'inserts',
      settings: options.settings ?? {},
      nodes: {
        go: { type: 'generate@1', config: { count: options.count, value: options.value } },
        out: {
          type: 'clickhouse.insert@1',
          config: { url: server.url, deduplicate: false, waitMsMax: 20, ...options.config },
          ...(options.onError === undefined ? {} : { onError: options.onError }),
        },
        failed: { type: 'test.keep@1' },
      },
      edges: ['go -> out', 'out.error -> failed'],
    },
    { host: options.host },
  )
}

const done = { outcome: { state: 'done', unsettled: 0, deadLetters: 0, failure: null }, faults: [] }
let tables = 0

async function table(columns = 'id UInt64, name String'): Promise<string> {
  const name = `t${++tables}`
  await server.sql(`CREATE TABLE ${name} (${columns}) ENGINE = MergeTree ORDER BY tuple()`)
  return name
}

describe('clickhouse.insert', () => {
  test('writes the values of messages as rows, in inserts of the size that it is told', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 10_000,
      value: "{{ { id: $json, name: 'é\"\\n' + $json } }}",
      config: { table: name, rowsMax: 2_500, waitMsMax: 60_000, concurrency: 1 },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(flow.kept).toEqual([])
    expect(await server.sql(`SELECT count(), uniqExact(id), max(id), min(name) FROM ${name}`)).toBe(
      '10000\t10000\t9999\té"\\n0',
    )
    expect(Number(await server.sql(`SELECT max(rows) FROM system.parts WHERE table = '${name}' AND level = 0`))).toBe(
      2_500,
    )
  })

  test('writes what has waited long enough', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 3,
      value: '{{ { id: $json } }}',
      config: { table: name, rowsMax: 1_000_000, waitMsMax: 10 },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(await server.sql(`SELECT sum(id) FROM ${name}`)).toBe('3')
  })

  test('takes columns from expressions, and leaves the others to their defaults', async () => {
    const name = await table("id UInt64, eur Float64, at DateTime, state String DEFAULT 'new', tags Array(String)")
    const flow = await insertFlow({
      count: 2,
      value: "{{ { order: $json, total: 10, when: '2026-01-02T03:04:05.678Z' } }}",
      config: {
        table: `default.${name}`,
        columns: {
          id: '{{ $json.order }}',
          eur: '{{ $json.total * 0.5 }}',
          at: '{{ $json.when }}',
          tags: "{{ ['a', 'b'] }}",
        },
      },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(await server.sql(`SELECT id, eur, toUnixTimestamp(at), state, tags FROM ${name} ORDER BY id`)).toBe(
      "0\t5\t1767323045\tnew\t['a','b']\n1\t5\t1767323045\tnew\t['a','b']",
    )
  })

  test('writes bytes as base64, alone and deep in a value', async () => {
    const name = await table('a String, b Array(String)')
    const flow = await insertFlow({
      count: 1,
      value: '{{ $json }}',
      config: { table: name, columns: { a: '{{ $vars.bytes }}', b: '{{ [$vars.bytes] }}' } },
      host: { vars: () => ({ bytes: new Uint8Array([97, 98]) }) },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(await server.sql(`SELECT * FROM ${name}`)).toBe("YWI=\t['YWI=']")
  })

  test('takes columns by the names of fields', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 1,
      value: "{{ { id: 7, name: 'seven', secret: 'no' } }}",
      config: { table: name, columns: ['id', 'name'] },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(await server.sql(`SELECT * FROM ${name}`)).toBe('7\tseven')
  })

  test('a row that the server refuses fails alone, and says why', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 10_000,
      value: "{{ { id: $json % 1000 === 77 ? 'seven' : $json, name: 'n' } }}",
      config: { table: name, rowsMax: 4_000 },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(await server.sql(`SELECT count(), uniqExact(id), countIf(id % 1000 = 77) FROM ${name}`)).toBe(
      '9990\t9990\t0',
    )
    expect(flow.kept).toHaveLength(10)
    expect(flow.kept[0]).toMatchObject({
      value: { id: 'seven', name: 'n' },
      error: { code: 'clickhouse.bad-row', node: 'out', retriable: false, message: expect.stringContaining('key id') },
    })
  })

  test('garbage among rows fails alone: what is no object, what has a field too many, what is too large', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 50,
      value:
        "{{ $json === 3 ? 'text' : $json === 4 ? null : $json === 5 ? [1] : $json === 6 ? { id: 6, nope: 1 } : $json === 7 ? { id: 7, name: 'x'.repeat(2000) } : { id: $json, name: '}\\n{' } }}",
      config: { table: name, bytesMax: 1_000 },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(await server.sql(`SELECT count(), uniqExact(id) FROM ${name}`)).toBe('45\t45')
    const codes = flow.kept.map((each) => (each as { error: { code: string } }).error.code)
    expect(codes.sort()).toEqual([
      'clickhouse.bad-row',
      'clickhouse.no-row',
      'clickhouse.no-row',
      'clickhouse.no-row',
      'clickhouse.row-too-large',
    ])
  })

  test('unknown fields may be left out', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 2,
      value: '{{ { id: $json, nope: 1 } }}',
      config: { table: name, unknownFields: 'skip' },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(await server.sql(`SELECT count() FROM ${name}`)).toBe('2')
  })

  test('thousands of bad rows are looked for within a bound, and all rows are accounted for', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 6_000,
      value: "{{ { id: $json % 2 ? 'odd' : $json } }}",
      config: { table: name, rowsMax: 6_000, timeoutMs: 120_000 },
    })
    expect(await flow.finish()).toMatchObject(done)
    const inside = Number(await server.sql(`SELECT count() FROM ${name}`))
    expect(inside + flow.kept.length).toBe(6_000)
    const codes = new Set(flow.kept.map((each) => (each as { error: { code: string } }).error.code))
    expect([...codes].sort()).toEqual(['clickhouse.bad-row', 'clickhouse.too-many-bad-rows'])
  })

  test.each([
    ['an unknown table', { table: 'nowhere' }, 'clickhouse.unknown-table', false],
    ['an unknown database', { table: 'nowhere.at_all' }, 'clickhouse.unknown-table', false],
    ['an unknown column', { columns: ['id', 'nope'] }, 'clickhouse.unknown-column', false],
    ['a wrong password', { username: 'writer', password: secret }, 'clickhouse.not-authorised', false],
    ['an unknown user', { username: 'nobody', password: secret }, 'clickhouse.not-authorised', false],
    ['an unknown setting', { deduplicate: true }, 'clickhouse.unknown-setting', false],
    ['a server that is not there', { url: 'http://127.0.0.1:1' }, 'clickhouse.unreachable', true],
  ])('%s is told, without secrets', async (_, config, code, retriable) => {
    const name = await table()
    const flow = await insertFlow({ count: 3, value: '{{ { id: $json } }}', config: { table: name, ...config } })
    expect(await flow.finish()).toMatchObject(done)
    expect(flow.kept).toHaveLength(3)
    expect(flow.kept[0]).toMatchObject({ error: { code, retriable, node: 'out' } })
    expect(JSON.stringify(flow.kept)).not.toContain(secret)
  })

  test('a password comes from the environment', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 3,
      value: '{{ { id: $json } }}',
      config: { table: name, username: writer.username, password: '{{ $env.PASSWORD }}' },
      host: { env: { PASSWORD: writer.password } },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(await server.sql(`SELECT count() FROM ${name}`)).toBe('3')
  })

  test.each([
    ['an environment that lacks it', { password: '{{ $env.NOT_THERE }}' }, /password of out gives nothing/],
    ['a password in the address', { url: `http://me:${secret}@127.0.0.1:1` }, /holds a user or a password/],
    ['the native port', { url: 'tcp://127.0.0.1:9000' }, /not port 9000/],
    ['one token for all', { settings: { insert_deduplication_token: 'x' } }, /would take the first insert only/],
    ['answers before rows are written', { settings: { wait_for_async_insert: 0 } }, /before it has written the rows/],
  ])('%s is a problem at the start', async (_, config, message) => {
    const problem = await insertFlow({ count: 1, value: '{{ {} }}', config: { table: 'x', ...config } }).then(
      () => null,
      (thrown: Error) => thrown,
    )
    expect(problem?.message).toMatch(message)
    expect(problem?.message).not.toContain(secret)
  })

  test('rows may travel packed', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 5_000,
      value: "{{ { id: $json, name: $json === 9 ? 9 : 'n' } }}",
      config: { table: name, compression: 'gzip' },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(await server.sql(`SELECT count() FROM ${name}`)).toBe('4999')
    expect(flow.kept).toMatchObject([{ error: { code: 'clickhouse.bad-row' } }])
  })

  test('a bad row at the beginning of a large insert is told and not taken for a cut connection', async () => {
    const name = await table()
    const flow = await insertFlow({
      count: 20_000,
      value: "{{ { id: $json === 0 ? 'zero' : $json, name: 'x'.repeat(1000) } }}",
      config: { table: name, rowsMax: 20_000, waitMsMax: 5_000 },
      settings: { inFlightMax: 40_000 },
    })
    expect(await flow.finish()).toMatchObject(done)
    expect(flow.kept).toMatchObject([{ error: { code: 'clickhouse.bad-row' } }])
    expect(await server.sql(`SELECT count() FROM ${name}`)).toBe('19999')
  })
})
