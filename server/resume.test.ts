import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Client, Gap } from '../sdk/index.ts'
import { connect } from '../sdk/index.ts'
import type { MillraceServer, ServerOptions } from './create-server.ts'
import { createServer } from './create-server.ts'
import type { TestProxy } from './testing.ts'
import { noSignal, testProxy, testWorkflow, until } from './testing.ts'

let server: MillraceServer
let proxy: TestProxy
const clients: Client[] = []
const others: MillraceServer[] = []

async function begin(options: ServerOptions = {}): Promise<void> {
  server = await createServer({ port: 0, ...options })
  proxy = await testProxy(server.port)
}

function client(url = proxy.url): Client {
  const made = connect(url)
  clients.push(made)
  return made
}

beforeEach(() => begin())
afterEach(async () => {
  for (const each of clients.splice(0)) each.close()
  await proxy.close()
  for (const each of [server, ...others.splice(0)]) await each.close()
})

describe('a subscriber', () => {
  it('gets each message exactly once, or a gap that names it, however often the line is cut', async () => {
    const chunk = fc.record({ count: fc.integer({ min: 1, max: 40 }), cut: fc.boolean(), pause: fc.nat(3) })
    let run = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(chunk, { minLength: 5, maxLength: 25 }),
        fc.integer({ min: 1, max: 50 }),
        async (chunks, credits) => {
          run += 1
          const topic = `cut/${run}`
          const seen: (number | Gap)[] = []
          const reading = client()
            .topic<{ n: number; raw: Uint8Array }>(topic)
            .listen(
              ({ offset, value }) => {
                expect(value.n).toBe(offset)
                expect(value.raw).toStrictEqual(new Uint8Array([offset & 255]))
                seen.push(offset)
              },
              { after: -1, credits, onGap: (gap) => seen.push(gap) },
            )
          let n = 0
          for (const { count, cut, pause } of chunks) {
            const values = Array.from({ length: count }, () => ({ n, raw: new Uint8Array([n++ & 255]) }))
            await server.topics.publish(topic, values, noSignal)
            for (let turn = 0; turn < pause; turn++) await new Promise((resolve) => setTimeout(resolve, 1))
            if (cut) proxy.cut()
          }
          server.topics.end(topic)
          await reading
          // The log is larger than what was published: there is nothing that may be missing.
          expect(seen).toStrictEqual(Array.from({ length: n }, (_, index) => index))
        },
      ),
      { numRuns: 8 },
    )
    expect(proxy.connections).toBeGreaterThan(8)
  })

  it('is told of what a small log has dropped meanwhile, and gets all the rest', async () => {
    await proxy.close()
    await server.close()
    await begin({ limits: { topics: { messagesMax: 10 } } })
    const seen: number[] = []
    const gaps: Gap[] = []
    const reading = client()
      .topic<number>('small')
      .listen(({ offset }) => void seen.push(offset), { after: -1, onGap: (gap) => gaps.push(gap) })
    await server.topics.publish('small', [0, 1, 2], noSignal)
    await until(() => seen.length === 3)
    proxy.cut()
    await server.topics.publish('small', Array.from({ length: 40 }), noSignal)
    server.topics.end('small')
    await reading
    const missing = gaps.flatMap(({ from, to }) =>
      Array.from({ length: (to ?? from) - from + 1 }, (_, index) => from + index),
    )
    expect([...seen, ...missing].sort((a, b) => a - b)).toStrictEqual(Array.from({ length: 43 }, (_, index) => index))
    expect(new Set(seen).size).toBe(seen.length)
  })

  it('hears of a gap when the server was started anew, then reads the new log from its start', async () => {
    const { port } = server
    const seen: unknown[] = []
    const reading = client(server.url)
      .topic('news')
      .listen(({ offset, value }) => void seen.push([offset, value]), { after: -1, onGap: (gap) => seen.push(gap) })
    await server.topics.publish('news', ['a', 'b'], noSignal)
    await until(() => seen.length === 2)
    await server.close()
    server = await createServer({ port })
    await server.topics.publish('news', ['c'], noSignal)
    server.topics.end('news')
    await reading
    expect(seen).toStrictEqual([[0, 'a'], [1, 'b'], { from: 2, to: null }, [0, 'c']])
  })

  it('hears of that gap, too, where it had read nothing yet', async () => {
    const { port } = server
    const topic = client(server.url).topic('news')
    const gaps: Gap[] = []
    const subscription = topic.subscribe({ after: null, onGap: (gap) => gaps.push(gap) })
    const first = subscription[Symbol.asyncIterator]().next()
    await until(() => subscription.state === 'live')
    const { log } = subscription.place ?? {}
    await server.close()
    server = await createServer({ port })
    await server.topics.publish('news', ['c'], noSignal)
    expect((await first).value).toStrictEqual({ offset: 0, value: 'c' })
    expect(gaps).toStrictEqual([{ from: 0, to: null }])
    // In another page, that reads all of it again.
    server.topics.end('news')
    await topic.listen(() => {}, { after: 'start', log, onGap: (gap) => gaps.push(gap) })
    expect(gaps).toHaveLength(2)
  })

  it('of a run whose server died hears that the run is lost, not that it ended', async () => {
    const { pipeline, release } = testWorkflow(server)
    await server.deploy('publisher', pipeline)
    const run = await client().run('publisher', { values: [1], hold: true })
    const read = async (): Promise<void> => {
      for await (const _ of run.results) {
        const other = await createServer({ port: 0 })
        others.push(other)
        proxy.target = other.port
        proxy.cut()
      }
    }
    await expect(read()).rejects.toMatchObject({ code: 'execution.lost' })
    release()
  })

  it('that wants only what is new misses nothing between two connections', async () => {
    await server.topics.publish('live', ['old'], noSignal)
    const seen: unknown[] = []
    const states: string[] = []
    const reading = client()
      .topic('live')
      .listen(({ value }) => void seen.push(value), { after: null, onState: (state) => states.push(state) })
    await until(() => states.includes('live'))
    proxy.cut()
    await server.topics.publish('live', ['new'], noSignal)
    server.topics.end('live')
    await reading
    expect(seen).toStrictEqual(['new'])
    expect(states).toStrictEqual(['live', 'reconnecting', 'live', 'ended'])
  })

  it('goes on in another page from the place that the first one noted', async () => {
    await server.topics.publish('pages', [0, 1, 2, 3, 4], noSignal)
    server.topics.end('pages')
    const first = client().topic<number>('pages').subscribe()
    for await (const { value } of first) if (value === 2) break
    const { place } = first
    const rest: number[] = []
    await client()
      .topic<number>('pages')
      .listen(({ value }) => void rest.push(value), { ...place })
    expect(rest).toStrictEqual([3, 4])
  })

  it('that reads slowly holds up nobody, and the server keeps no more for it than its log and one buffer', async () => {
    await proxy.close()
    await server.close()
    const socketBufferBytesMax = 64 * 1024
    await begin({ limits: { socketBufferBytesMax, topics: { messagesMax: 50 } } })
    const gaps: Gap[] = []
    const slow = client()
      .topic<Uint8Array>('video')
      .subscribe({ after: -1, credits: 4, onGap: (gap) => gaps.push(gap) })
    const slowReader = slow[Symbol.asyncIterator]()
    const fast: number[] = []
    const fastReading = client()
      .topic<Uint8Array>('video')
      .listen(({ offset }) => void fast.push(offset), { after: -1 })
    await until(() => slow.state === 'live')
    for (let n = 0; n < 150; n++) {
      await server.topics.publish('video', [new Uint8Array(20_000)], noSignal)
      await until(() => fast.length === n + 1)
    }
    // Only what its credits allow has come to the slow one: four messages, not all.
    expect(proxy.bytesDown).toBeLessThan(150 * 20_100 + 8 * 20_100)
    expect((await slowReader.next()).value?.offset).toBe(0)
    server.topics.end('video')
    await fastReading
    const rest: number[] = []
    for (let next = await slowReader.next(); next.done !== true; next = await slowReader.next())
      rest.push(next.value.offset)
    expect(fast).toHaveLength(150)
    const missing = gaps.reduce((sum, { from, to }) => sum + (to ?? from) - from + 1, 0)
    expect(1 + rest.length + missing).toBe(150)
  })
})
