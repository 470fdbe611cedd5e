import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ServerDuplexStream, ServerWritableStream } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFiles } from '../../server/files.ts'
import type { RealFlow } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'
import type { Answer, RunningShop, Value } from './shop.fixture.ts'
import { openShop } from './shop.fixture.ts'

const done = { outcome: { state: 'done', unsettled: 0, deadLetters: 0, failure: null }, faults: [] }

interface Call {
  readonly count?: number
  readonly value?: string
  readonly config?: Readonly<Record<string, unknown>>
  readonly into?: string
  readonly onError?: unknown
}

let shop: RunningShop
/** What became of calls that the server saw end early. */
const cancelled: string[] = []
let seen: { readonly asked: Value; readonly token: unknown }[] = []
let failuresLeft = 0

beforeAll(async () => {
  shop = await openShop({
    get(asked, call, answer) {
      seen.push({ asked, token: call.metadata.get('authorization')[0] })
      if (asked.id === 'hang') return
      if (asked.id === 'rubbish') return answer(null, Buffer.from([0xff, 0xff, 0xff]))
      if (asked.id === 'flaky' && failuresLeft-- > 0) return answer({ code: 14, details: 'not now' })
      if (asked.id === 'nobody') return answer({ code: 16, details: 'who are you?' })
      if (asked.id === 'huge') return answer(null, { id: 'x'.repeat(5_000_000) })
      answer(null, {
        id: asked.id,
        big: '9007199254740993',
        state: 2,
        price: { cents: 5 },
        picture: Buffer.from('p'),
        asked,
      })
    },
    list(asked, call: ServerWritableStream<Value, Answer>) {
      const count = Number(asked.count ?? 0)
      if (asked.id === 'hang') {
        call.write({ id: '0' })
        call.on('cancelled', () => cancelled.push(String(asked.name)))
        return
      }
      for (let n = 0; n < count; n++) call.write({ id: String(n) })
      if (asked.id === 'breaks') call.emit('error', { code: 13, details: 'lost the rest' })
      else call.end()
    },
    sum(call: ServerDuplexStream<Value, Answer>) {
      let n = 0
      call.on('data', (order: Value) => (n += Number(order.n)))
      call.on('end', () => {
        call.write({ text: 'sum', n })
        call.end()
      })
    },
  })
})

afterAll(() => shop.stop())

/** `generate -> grpc.call`; both ports are kept. */
function callFlow({ count = 1, value = "{{ { id: 'a' } }}", config, into, onError }: Call): Promise<RealFlow> {
  return realFlow(
    {
      millrace: 1,
      name: 'calls',
      nodes: {
        go: { type: 'generate@1', config: { count, value } },
        call: {
          type: 'grpc.call@1',
          config: {
            address: shop.address,
            proto: join(shop.folder, 'shop.proto'),
            protoFolders: [join(shop.folder, 'more')],
            service: 'shop.Shop',
            method: 'Get',
            ...config,
          },
          ...(into === undefined ? {} : { into }),
          ...(onError === undefined ? {} : { onError }),
        },
        got: { type: 'test.keep@1' },
        failed: { type: 'test.keep@1' },
      },
      edges: ['go -> call', 'call -> got', 'call.error -> failed'],
    },
    { host: { files: createFiles({ allowed: [shop.folder] }), env: { TOKEN: 'sesame-7' } } },
  )
}

async function answersOf(call: Call): Promise<readonly unknown[]> {
  const flow = await callFlow(call)
  expect(await flow.finish()).toMatchObject(done)
  return flow.kept
}

describe('grpc.call', () => {
  test('calls a method that answers once: values keep their types and names', async () => {
    seen = []
    const value =
      "{{ { id: 'a', count: -7, big: '-9223372036854775808', state: 'SOLD', tags: [{ text: 't' }], weights: { x: 0.5 }, name: 'n', sure: 1 < 2, size: 4294967295 } }}"
    const [got] = await answersOf({ value, config: { metadata: { authorization: 'Bearer {{ $env.TOKEN }}' } } })
    expect(seen).toEqual([
      {
        asked: {
          id: 'a',
          count: -7,
          big: '-9223372036854775808',
          state: 'SOLD',
          tags: [{ text: 't' }],
          weights: { x: 0.5 },
          name: 'n',
          sure: true,
          size: 4294967295,
        },
        token: 'Bearer sesame-7',
      },
    ])
    expect(got).toMatchObject({
      id: 'a',
      big: '9007199254740993',
      state: 'SOLD',
      price: { cents: '5', currency: '' },
      words: [],
      at: null,
      asked: { by: 'name', name: 'n', count: -7 },
    })
    expect(Buffer.from((got as { picture: Uint8Array }).picture).toString()).toBe('p')
  })

  test('makes the request by an expression, and puts the answer beside the message', async () => {
    const got = await answersOf({
      count: 20,
      value: '{{ { n: $json } }}',
      into: 'article',
      config: { request: "{{ { id: 'i' + $json.n } }}", concurrency: 1 },
    })
    expect(got).toMatchObject(Array.from({ length: 20 }, (_, n) => ({ n, article: { id: `i${n}` } })))
  })

  test('gives what a method streams while it comes, and counts it', async () => {
    const value = "{{ { id: 's', count: 3000 } }}"
    const got = await answersOf({ value, config: { method: 'List' } })
    expect(got.map((each) => Number((each as Value).id))).toEqual(Array.from({ length: 3_000 }, (_, n) => n))
    const some = await answersOf({ value, config: { method: 'List', answersMax: 100 } })
    expect(some).toHaveLength(101)
    expect(some.at(-1)).toMatchObject({ error: { code: 'grpc.too-many-answers' } })
  })

  test('a stream that breaks is an error after what came', async () => {
    const got = await answersOf({ value: "{{ { id: 'breaks', count: 5 } }}", config: { method: 'List' } })
    expect(got).toHaveLength(6)
    expect(got.at(-1)).toMatchObject({
      error: { code: 'grpc.internal', message: expect.stringContaining('lost the rest') },
    })
  })

  test('calls a method that takes a stream with one message', async () => {
    expect(await answersOf({ value: '{{ { n: 5 } }}', config: { method: 'Sum' } })).toEqual([{ text: 'sum', n: 5 }])
  })

  test.each([
    ['an unknown field', '{{ { idd: 1 } }}', 'shop.Ask has no field idd'],
    ['an unknown field inside', '{{ { tags: [{ txt: 1 }] } }}', 'shop.Tag has no field tags[0].txt'],
    ['text for a number', "{{ { count: '5' } }}", 'count is "5", not a whole number of 32 bits'],
    ['a number that does not fit', '{{ { size: -1 } }}', 'size is -1, not a whole number of 32 bits, not negative'],
    ['a long that does not fit', "{{ { big: '9223372036854775808' } }}", 'big is "9223372036854775808"'],
    ['a fraction', '{{ { count: 1.5 } }}', 'count is 1.5'],
    ['a number for text', '{{ { id: 5 } }}', 'id is 5, not text'],
    ['an unknown state', "{{ { state: 'GONE' } }}", 'state is "GONE", not one of UNKNOWN, OPEN, SOLD'],
    ['no base64', "{{ { code: '###' } }}", 'code is "###", not bytes, or base64 text'],
    ['two of which one may be', "{{ { name: 'a', code: 'YQ==' } }}", 'of which one may be'],
    ['one in place of a list', "{{ { tags: { text: 'a' } } }}", 'tags is an object, not a list'],
    ['a list in place of an object', '{{ [1] }}', 'the request is a list, not an object for shop.Ask'],
  ])('%s is refused before anything is sent', async (_, value, message) => {
    seen = []
    const got = await answersOf({ value })
    expect(got).toMatchObject([
      {
        error: { code: 'grpc.bad-request', retriable: false, node: 'call', message: expect.stringContaining(message) },
      },
    ])
    expect(seen).toEqual([])
  })

  test.each([
    ['that does not answer in time', 'hang', { timeoutMs: 100 }, 'grpc.deadline-exceeded', true],
    ['that knows the caller not', 'nobody', {}, 'grpc.unauthenticated', false],
    ['that answers rubbish', 'rubbish', {}, 'grpc.bad-message', false],
    ['that answers too much', 'huge', {}, 'grpc.too-large', false],
    ['that is not there', 'a', { address: '127.0.0.1:1' }, 'grpc.unavailable', true],
  ])('a server %s is an error', async (_, id, config, code, retriable) => {
    const got = await answersOf({
      value: `{{ { id: '${id}' } }}`,
      config: { metadata: { authorization: 'Bearer {{ $env.TOKEN }}' }, ...config },
    })
    expect(got).toMatchObject([{ value: { id }, error: { code, retriable } }])
    expect(JSON.stringify(got)).not.toContain('sesame')
  })

  test('messages are as large as they may be, both ways', async () => {
    const large = { messageBytesMax: 10_000_000 }
    expect(await answersOf({ value: "{{ { id: 'huge' } }}", config: large })).toMatchObject([
      { id: 'x'.repeat(5_000_000) },
    ])
    const got = await answersOf({
      value: "{{ { id: 'y'.repeat(50000), name: 'z'.repeat(60000) } }}",
      config: { messageBytesMax: 100_000 },
    })
    expect(got).toMatchObject([{ error: { code: 'grpc.too-large', retriable: false } }])
  })

  test('tries again what may succeed later', async () => {
    failuresLeft = 2
    const onError = { retry: { attemptsMax: 5, backoffMs: 1 } }
    expect(await answersOf({ value: "{{ { id: 'flaky' } }}", onError })).toMatchObject([{ id: 'flaky' }])
    failuresLeft = 2
    const never = { retryOn: ['ABORTED'] }
    expect(await answersOf({ value: "{{ { id: 'flaky' } }}", onError, config: never })).toMatchObject([
      { error: { code: 'grpc.unavailable', retriable: false } },
    ])
  })

  test('goes on when a server that was away is back', async () => {
    shop.cut()
    const flow = await callFlow({
      count: 50,
      onError: { retry: { attemptsMax: 100, backoffMs: 10, backoffMsMax: 50 } },
    })
    await expect.poll(() => flow.pipeline.metrics()?.nodes.call?.in).toBe(50)
    expect(flow.kept).toEqual([])
    await shop.again()
    expect(await flow.finish()).toMatchObject(done)
    expect(flow.kept).toHaveLength(50)
    expect(JSON.stringify(flow.kept)).not.toContain('error')
  })

  test('a call is cancelled at the server when time runs out, and when the execution ends', async () => {
    cancelled.length = 0
    const value = (name: string): string => `{{ { id: 'hang', name: '${name}' } }}`
    const got = await answersOf({ value: value('slow'), config: { method: 'List', timeoutMs: 150 } })
    expect(got).toMatchObject([{ id: '0' }, { error: { code: 'grpc.deadline-exceeded' } }])
    await expect.poll(() => cancelled).toEqual(['slow'])
    const flow = await callFlow({ value: value('stopped'), config: { method: 'List' } })
    await flow.keptCount(1)
    expect((await flow.execution.stop(0)).state).toBe('stopped')
    await flow.finish()
    await expect.poll(() => cancelled).toEqual(['slow', 'stopped'])
  })

  test.each([
    ['a file that is not there', { proto: 'FOLDER/none.proto' }, /cannot read .*none\.proto/],
    ['a file outside of what is allowed', { proto: '/etc/hostname' }, /not allowed|may not|outside/i],
    ['an import that is not there', { protoFolders: [] }, /imports kinds\/money\.proto, which is in none of/],
    ['a file that is no proto', { proto: 'FOLDER/rubbish.proto' }, /cannot read .*rubbish\.proto: illegal token/],
    ['an unknown service', { service: 'shop.Shops' }, /no service shop\.Shops; it has shop\.Shop$/],
    ['an unknown method', { method: 'Fetch' }, /no method Fetch; it has Get, List, Trade, Sum$/],
    ['an address without a port', { address: 'localhost' }, /no address; write host:port/],
    [
      'a certificate that is not there',
      { tls: { ca: 'FOLDER/ca.pem' } },
      /tls\.ca names .*ca\.pem, which cannot be read/,
    ],
  ])('%s is a problem at the start', async (_, config, message) => {
    await writeFile(join(shop.folder, 'rubbish.proto'), 'what is this?')
    const given = JSON.parse(JSON.stringify(config).replaceAll('FOLDER', shop.folder))
    await expect(callFlow({ config: given })).rejects.toThrow(message)
  })
})
