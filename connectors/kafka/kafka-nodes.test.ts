import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import avro from 'avsc'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { parse } from '../../core/document/parse.ts'
import { validate } from '../../core/document/plan.ts'
import type { Pipeline } from '../../core/pipeline.ts'
import { catalogue } from '../../nodes.ts'
import { noKafka } from '../../test/services/kafka.ts'
import { noSchemaRegistry, startSchemaRegistry } from '../../test/services/schema-registry.ts'
import { sharedKafka } from '../../test/services/shared.ts'
import { id, KafkaFlows, until } from './kafka.fixture.ts'
import { openDriver } from './open-driver.ts'
import { SchemaRegistry } from './schema-registry.ts'

let flows: KafkaFlows

beforeEach(async (context) => {
  if (noKafka !== null) return context.skip(noKafka)
  flows = new KafkaFlows(await sharedKafka(), await openDriver('batch'))
})
afterEach(() => flows?.close())

const orders = (count: number): { value: string; key: string; time: number }[] =>
  Array.from({ length: count }, (_, n) => ({
    value: JSON.stringify({ n, total: n % 200 }),
    key: `c${n % 7}`,
    time: 1_700_000_000_000 + n,
  }))

describe('from topic to topic', () => {
  test('filters, computes and writes; keys, times and headers go where they should', async () => {
    const from = await flows.topic(3)
    const to = await flows.topic(2)
    await flows.write(from, orders(2_000))
    const outcome = await flows.run(`
millrace: 1
name: t
nodes:
  orders: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${id()}, until: caught-up } }
  big: { type: filter@1, config: { where: "{{ $json.total > 100 }}" } }
  slim: { type: set@1, config: { fields: { n: "{{ $json.n }}", part: "{{ $meta.partition }}", at: "{{ $meta.offset }}" } } }
  out: { type: kafka.produce@1, config: { KAFKA, topic: ${to}, headers: { from: "{{ $json.n }}", none: "{{ null }}" } } }
edges: [orders -> big, big -> slim, slim -> out]
`)
    expect(outcome).toEqual({ state: 'done', unsettled: 0, deadLetters: 0, failure: null })
    const written = await flows.read(to)
    expect(written).toHaveLength(990)
    const values = written.map((each) => JSON.parse(String(each.value)))
    expect(new Set(values.map((each) => each.n)).size).toBe(990)
    for (const [index, each] of written.entries()) {
      const { n } = values[index]
      expect(each).toMatchObject({ key: `c${n % 7}`, time: 1_700_000_000_000 + n, headers: { from: String(n) } })
    }
    // What shares a key stays in order.
    for (let key = 0; key < 7; key++) {
      const own = values.filter((each) => each.n % 7 === key).map((each) => each.n)
      expect(own).toEqual([...own].sort((a, b) => a - b))
    }
    expect(values.every((each) => each.part >= 0 && each.part < 3 && each.at >= 0)).toBe(true)
  })

  test('bytes that nobody reads pass through untouched, tombstones too', async () => {
    const from = await flows.topic()
    const to = await flows.topic()
    const bytes = Buffer.from([0, 255, 254, 1, 128])
    await flows.write(from, [
      { value: bytes, key: 'a' },
      { value: null, key: 'a' },
      { value: 'drop', key: 'b' },
    ])
    await flows.run(`
millrace: 1
name: t
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${id()}, decode: raw, until: caught-up } }
  own: { type: filter@1, config: { where: "{{ $key === 'a' }}" } }
  out: { type: kafka.produce@1, config: { KAFKA, topic: ${to}, encode: raw } }
edges: [in -> own, own -> out]
`)
    expect((await flows.read(to)).map((each) => each.value)).toEqual([bytes.toString('utf8'), null])
  })
})

test('Avro values are read by the schemas of a registry; one whose schema is not there leaves by the error port', async (context) => {
  if (noSchemaRegistry !== null) return context.skip(noSchemaRegistry)
  const running = await startSchemaRegistry()
  try {
    const schema: avro.Schema = {
      type: 'record',
      name: 'Order',
      fields: [
        { name: 'id', type: 'long' },
        { name: 'total', type: 'double' },
      ],
    }
    const registry = new SchemaRegistry({ url: running.url, user: null, requestMsMax: 5_000, schemasMax: 10 })
    const schemaId = await registry.register('orders-value', {
      type: 'AVRO',
      text: JSON.stringify(schema),
      references: [],
    })
    const framed = (of: number, value: unknown): Buffer => {
      const head = Buffer.alloc(5)
      head.writeInt32BE(of, 1)
      return Buffer.concat([head, avro.Type.forSchema(schema).toBuffer(value)])
    }
    const [from, good, bad] = [await flows.topic(), await flows.topic(), await flows.topic()]
    const values = Array.from({ length: 300 }, (_, n) => ({ value: framed(schemaId, { id: n, total: n / 4 }) }))
    await flows.write(from, [...values, { value: framed(schemaId + 99, { id: 0, total: 0 }) }, { value: '{"id":1}' }])
    await flows.run(`
millrace: 1
name: t
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${id()}, until: caught-up, decode: avro, schemaRegistry: { url: "${running.url}" } } }
  good: { type: kafka.produce@1, config: { KAFKA, topic: ${good} } }
  bad: { type: kafka.produce@1, config: { KAFKA, topic: ${bad} } }
edges: [in -> good, in.error -> bad]
`)
    expect(await flows.json(good)).toEqual(Array.from({ length: 300 }, (_, n) => ({ id: n, total: n / 4 })))
    expect((await flows.json(bad)).map((each) => (each as { error: { code: string } }).error.code)).toEqual([
      'kafka.unknown-schema',
      'kafka.not-framed',
    ])
  } finally {
    await running.stop()
  }
})

describe('a record that fails', () => {
  const poison = [
    { value: '{"n":1}', key: 'k' },
    { value: '{"n":', key: 'bad', headers: [{ name: 'trace', value: 'x1' }] },
    { value: Buffer.from([0x22, 0xff, 0x22]) },
    { value: '{"n":{}}' },
    { value: '{"n":2}' },
  ]

  test('leaves by the error port, with its cause', async () => {
    const from = await flows.topic()
    const [good, bad] = [await flows.topic(), await flows.topic()]
    const group = id()
    await flows.write(from, poison)
    await flows.run(`
millrace: 1
name: t
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${group}, until: caught-up } }
  up: { type: set@1, config: { fields: { n: "{{ $json.n.toFixed(1) }}" } } }
  good: { type: kafka.produce@1, config: { KAFKA, topic: ${good} } }
  bad: { type: kafka.produce@1, config: { KAFKA, topic: ${bad} } }
edges: [in -> up, up -> good, in.error -> bad, up.error -> bad]
`)
    expect(await flows.json(good)).toEqual([{ n: '1.0' }, { n: '2.0' }])
    const failed = await flows.json(bad)
    expect(failed).toHaveLength(3)
    expect(failed).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          error: expect.objectContaining({ code: 'kafka.not-json', node: 'in' }),
          value: '{"n":',
        }),
        expect.objectContaining({ error: expect.objectContaining({ code: 'kafka.not-utf8' }) }),
        expect.objectContaining({ error: expect.objectContaining({ node: 'up' }), value: { n: {} } }),
      ]),
    )
    expect(await flows.groupOffset(group, from)).toBe(5)
  })

  test('goes to the dead-letter topic as it came, with its cause in headers, where no port takes it', async () => {
    const from = await flows.topic()
    const [good, dead] = [await flows.topic(), await flows.topic()]
    await flows.write(from, poison)
    await flows.run(`
millrace: 1
name: shop
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${id()}, until: caught-up, deadLetterTopic: ${dead} } }
  up: { type: set@1, config: { fields: { n: "{{ $json.n.toFixed(1) }}" } } }
  good: { type: kafka.produce@1, config: { KAFKA, topic: ${good} } }
edges: [in -> up, up -> good]
`)
    expect(await flows.json(good)).toEqual([{ n: '1.0' }, { n: '2.0' }])
    const letters = await flows.read(dead)
    expect(letters).toHaveLength(3)
    expect(letters.find((each) => each.key === 'bad')).toMatchObject({
      value: '{"n":',
      headers: {
        trace: 'x1',
        'millrace-workflow': 'shop',
        'millrace-node': 'in',
        'millrace-code': 'kafka.not-json',
        'millrace-topic': from,
        'millrace-partition': '0',
        'millrace-offset': '1',
      },
    })
    expect(letters.find((each) => each.value === '{"n":{}}')).toMatchObject({ headers: { 'millrace-node': 'up' } })
    expect(flows.letters).toEqual([])
  })

  test('goes there as JSON where it was made of several records, with bytes as base64', async () => {
    const [from, dead] = [await flows.topic(), await flows.topic()]
    await flows.write(from, [{ value: 'ab' }, { value: 'c' }])
    await flows.run(`
millrace: 1
name: t
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${id()}, decode: raw, until: caught-up, deadLetterTopic: ${dead} } }
  both: { type: aggregate@1, config: { count: 2 } }
  up: { type: filter@1, config: { where: "{{ $json.none.x }}" } }
edges: [in -> both, both -> up]
`)
    expect((await flows.read(dead)).map((each) => each.value)).toEqual(['["YWI=","Yw=="]'])
  })
})

describe('positions', () => {
  const copy = (from: string, to: string, group: string, more = '', settings = ''): string => `
millrace: 1
name: t
settings: { ${settings} }
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${group}, commitMs: 100${more} } }
  out: { type: kafka.produce@1, config: { KAFKA, topic: ${to} } }
edges: [in -> out]
`

  test('after a stop it goes on where it was, with nothing twice and nothing left out', async () => {
    const [from, to, group] = [await flows.topic(2), await flows.topic(), id()]
    await flows.write(from, orders(500))
    const first = await flows.start(copy(from, to, group))
    const execution = await first.open()
    await until(async () => (await flows.groupOffset(group, from)) > 0, 'something is committed')
    expect(await execution?.stop()).toMatchObject({ state: 'stopped', unsettled: 0 })
    await first.release()
    await flows.write(from, orders(600).slice(500))
    await flows.run(copy(from, to, group, ', until: caught-up'))
    const numbers = (await flows.json(to)).map((each) => (each as { n: number }).n)
    expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 600 }, (_, n) => n))
    expect(await flows.groupOffset(group, from)).toBe(600)
  })

  test('a running one is paused, moved back, and tells its lag', async () => {
    const [from, to, group] = [await flows.topic(), await flows.topic(), id()]
    await flows.write(from, orders(10))
    const pipeline = await flows.start(copy(from, to, group))
    await pipeline.open()
    await until(async () => (await flows.groupOffset(group, from)) === 10, 'all is committed')
    await pipeline.control({ do: 'pause', node: 'in' })
    await flows.write(from, orders(5))
    await until(() => pipeline.sources()[0]?.partitions[0]?.lag === 5, 'the lag is seen')
    expect(await flows.groupOffset(group, from)).toBe(10)
    expect(pipeline.sources()).toMatchObject([
      {
        node: 'in',
        state: 'paused',
        partitions: [{ partition: `${from}/0`, committed: 10, end: 15, lag: 5, inFlight: 0 }],
      },
    ])
    const moved = await pipeline.control({ do: 'seek', node: null, to: { kind: 'offset', offset: 8 } })
    expect(moved[0]?.partitions[0]).toMatchObject({ next: 8, committed: 8 })
    await pipeline.control({ do: 'resume', node: null })
    await until(async () => (await flows.groupOffset(group, from)) === 15, 'the rest is committed')
    const numbers = (await flows.json(to)).map((each) => (each as { n: number }).n)
    expect(numbers).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 9, 0, 1, 2, 3, 4])
  })

  test.each(['at-least-once', 'exactly-once'])(
    'a new version takes over without a rebalance, and each record is written once (%s)',
    async (delivery) => {
      const [from, to, group] = [await flows.topic(2), await flows.topic(2), id()]
      const version = (label: string): string => `
millrace: 1
name: t
settings: { delivery: ${delivery} }
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${group}, commitMs: 100, transactionMs: 50 } }
  by: { type: set@1, into: merge, config: { fields: { by: ${label} } } }
  out: { type: kafka.produce@1, config: { KAFKA, topic: ${to} } }
edges: [in -> by, by -> out]
`
      const stop = new AbortController()
      const feeding = (async () => {
        let next = 0
        for (; !stop.signal.aborted; next += 100)
          await flows.write(
            from,
            Array.from({ length: 100 }, (_, n) => ({ key: `k${n}`, value: JSON.stringify({ n: next + n }) })),
          )
        return next
      })()
      const goesOn = async (): Promise<void> => {
        const before = await flows.groupOffset(group, from)
        await until(async () => (await flows.groupOffset(group, from)) > before + 200, 'it goes on')
      }
      let running = await flows.start(version('v0'))
      await running.open()
      for (let round = 1; round <= 3; round++) {
        await goesOn()
        const next = await flows.start(version(`v${round}`), running)
        await next.open(running)
        await running.release()
        running = next
      }
      await goesOn()
      stop.abort()
      const count = await feeding
      await until(async () => (await flows.groupOffset(group, from)) === count, 'the rest is written')
      const written = (await flows.json(to)) as { n: number; by: string }[]
      expect(written.map((each) => each.n).sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n))
      expect([...new Set(written.map((each) => each.by))].sort()).toEqual(['v0', 'v1', 'v2', 'v3'])
      expect(flows.log.filter((line) => line.includes(' reads '))).toHaveLength(1)
    },
  )

  test('a window that holds more than may be in flight does not stop what it waits for', async () => {
    const [from, to, group] = [await flows.topic(), await flows.topic(), id()]
    await flows.write(from, orders(5_000))
    await flows.run(`
millrace: 1
name: t
settings: { inFlightMax: 100 }
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${group}, until: caught-up } }
  all: { type: aggregate@1, config: { count: 4000 } }
  size: { type: set@1, config: { fields: { size: "{{ $json.length }}" } } }
  out: { type: kafka.produce@1, config: { KAFKA, topic: ${to} } }
edges: [in -> all, all -> size, size -> out]
`)
    expect(await flows.json(to)).toEqual([{ size: 4_000 }, { size: 1_000 }])
    expect(await flows.groupOffset(group, from)).toBe(5_000)
  })

  test('lanes share the partitions, and each record is read by one of them', async () => {
    const [from, to, group] = [await flows.topic(4), await flows.topic(), id()]
    const pipeline = await flows.start(copy(from, to, group, '', 'lanes: 2'))
    const limits = { perSecondMax: 100_000, examinedPerSecondMax: 100_000, valueCharsMax: 1_000, filter: null }
    const shown: string[] = []
    let missed = 0
    const detach = pipeline.sample('in', 'out', limits, (report) => {
      shown.push(...report.samples.map((each) => JSON.stringify(each.value)))
      missed += report.missed
    })
    await pipeline.open()
    await flows.write(from, orders(1_000))
    await until(
      async () => shown.length + missed === 1_000,
      'each record was shown or counted, whichever lane it went by',
    )
    expect(new Set(shown).size).toBe(shown.length)
    expect(shown.length).toBeGreaterThan(100)
    detach()
    await until(async () => (await flows.groupOffset(group, from)) === 1_000, 'all is committed', 60_000)
    expect(
      pipeline
        .sources()[0]
        ?.partitions.map((each) => each.partition)
        .sort(),
    ).toEqual([0, 1, 2, 3].map((n) => `${from}/${n}`))
    await pipeline.release()
    const numbers = new Set((await flows.json(to)).map((each) => (each as { n: number }).n))
    expect(numbers.size).toBe(1_000)
  })
})

describe('exactly once', () => {
  const copy = (from: string, to: string, group: string, more = ''): string => `
millrace: 1
name: t
settings: { delivery: exactly-once }
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${group}, transactionMs: 50${more} } }
  up: { type: set@1, config: { fields: { n: "{{ $json.n }}" } } }
  out: { type: kafka.produce@1, config: { KAFKA, topic: ${to} } }
edges: [in -> up, up -> out]
`

  test('output and positions are committed together', async () => {
    const [from, to, group] = [await flows.topic(2), await flows.topic(), id()]
    await flows.write(from, orders(3_000))
    expect(await flows.run(copy(from, to, group, ', until: caught-up'))).toMatchObject({ state: 'done' })
    const numbers = (await flows.json(to)).map((each) => (each as { n: number }).n)
    expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 3_000 }, (_, n) => n))
    expect(await flows.groupOffset(group, from)).toBe(3_000)
  })

  test('one that is killed in mid-transaction leaves nothing half, and the next goes on', async () => {
    const [from, to, group] = [await flows.topic(2), await flows.topic(), id()]
    await flows.write(from, orders(3_000))
    const pipeline = await flows.start(copy(from, to, group))
    const execution = await pipeline.open()
    await until(() => (pipeline.metrics()?.nodes.out?.in ?? 0) > 0, 'something is under way')
    await execution?.kill('test')
    await pipeline.release(0)
    await flows.run(copy(from, to, group, ', until: caught-up'))
    const numbers = (await flows.json(to)).map((each) => (each as { n: number }).n)
    expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 3_000 }, (_, n) => n))
  })

  test('of two with the same transaction id the older one fails, and ends', async () => {
    const [from, to, group] = [await flows.topic(2), await flows.topic(), id()]
    await flows.write(from, orders(10))
    const older = await flows.start(copy(from, to, group, ', transactionId: same'))
    const execution = await older.open()
    await until(async () => (await flows.groupOffset(group, from)) === 10, 'it has begun')
    const younger = await flows.start(copy(from, to, group, ', transactionId: same'))
    await younger.open()
    await flows.write(from, orders(100))
    await until(
      () => execution?.state === 'failed',
      () => `the older one fails:\n${flows.log.join('\n')}`,
    )
    expect(await execution?.done).toMatchObject({ failure: { code: 'kafka.fenced', node: 'in' } })
    await older.release()
    await until(
      async () => (await flows.groupOffset(group, from)) === 110,
      () => `the younger one goes on:\n${flows.log.join('\n')}`,
    )
    expect(await flows.json(to)).toHaveLength(110)
  })

  test.each([
    ['has an id of its own', 'second', 'running'],
    ['has taken over its id', 'first', 'failed'],
  ])(
    'what was not written before its partition went to a member that %s is written by that one',
    async (_, name, state) => {
      const [from, to, group] = [await flows.topic(4), await flows.topic(), id()]
      await flows.write(
        from,
        Array.from({ length: 40 }, (_, n) => ({ value: JSON.stringify({ n }), partition: n % 4 })),
      )
      const asked = Promise.withResolvers<void>()
      const answer = Promise.withResolvers<void>()
      const slow = createServer((_request, response) => {
        asked.resolve()
        void answer.promise.then(() => response.setHeader('content-type', 'application/json').end('{}'))
      }).listen(0, '127.0.0.1')
      onTestFinished(() => void slow.close())
      await once(slow, 'listening')
      const { port } = slow.address() as AddressInfo
      const member = (name: string, more: string, edges: string): Promise<Pipeline> =>
        flows.start(`
millrace: 1
name: t
settings: { delivery: exactly-once }
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${group}, transactionMs: 50, heartbeatMs: 500, rebalanceMsMax: 6000, transactionId: ${name} } }
  ${more}out: { type: kafka.produce@1, config: { KAFKA, topic: ${to} } }
edges: [${edges}]
`)
      const first = await member(
        'first',
        `ask: { type: http.request@1, into: merge, config: { url: 'http://127.0.0.1:${port}/' } }\n  `,
        'in -> ask, ask -> out',
      )
      const execution = await first.open()
      await asked.promise
      const second = await member(name, '', 'in -> out')
      await second.open()
      await until(async () => (await flows.groupOffset(group, from)) === 20, 'the second has written its share', 60_000)
      answer.resolve()
      await until(
        async () => (await flows.groupOffset(group, from)) === 40,
        () => `the rest is written:\n${flows.log.join('\n')}`,
      )
      expect(execution?.state).toBe(state)
      const numbers = (await flows.json(to)).map((each) => (each as { n: number }).n)
      expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, n) => n))
    },
  )
})

describe('a document', () => {
  test('hears of everything that is wrong with its Kafka nodes', () => {
    const document = parse(`
millrace: 1
name: t
settings: { delivery: exactly-once }
nodes:
  in: { type: kafka.consume@1, config: { brokers: ["a:1"], topic: t, heartbeatMs: 20000 } }
  sum: { type: aggregate@1, config: { count: 2 } }
  out: { type: kafka.produce@1, config: { brokers: ["b:1"], topic: x, acks: leader } }
  other: { type: kafka.produce@1, config: { brokers: ["a:1"], topic: x, driver: kafkajs } }
  file: { type: file.append@1, config: { path: x } }
edges: [in -> sum, sum -> out, sum -> other, sum -> file]
`)
    if (!document.ok) throw new Error('it does not parse')
    const problems = validate(document.value, catalogue)
    expect(problems.map((each) => `${each.place.node}: ${each.message}`).sort()).toEqual(
      [
        'file: file (file.append) takes part in no transaction',
        'in: a consumer has either a group or partitions of its own',
        'in: 20000 ms is too seldom for a session of 30000 ms',
        'in: in (kafka.consume) takes part in no transaction: it has no group, whose positions a transaction could hold',
        'other: other (kafka.produce) takes part in no transaction: kafkajs does not tie offsets to the member that read them, so another member may read and write the same again',
        'out: idempotent records need acks: all, and this says leader',
        'sum: sum keeps messages beyond the transaction that they came in',
      ].sort(),
    )
  })
})
