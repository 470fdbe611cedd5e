import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttpsServer } from 'node:https'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { WebSocket } from 'ws'
import { WebSocketServer } from 'ws'
import { createFiles } from '../../server/files.ts'
import type { RealFlow, RealFlowOptions } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'
import { makeCertificates } from '../../test/services/certificates.ts'
import { freePorts } from '../../test/services/free-ports.ts'

const open: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

/** A server played by hand. */
class Feed {
  readonly server: WebSocketServer
  readonly sockets: WebSocket[] = []
  readonly got: string[] = []
  readonly headers: Record<string, unknown>[] = []
  refuse = false

  constructor(port: number, options = {}) {
    this.server = new WebSocketServer({
      port,
      host: '127.0.0.1',
      verifyClient: () => !this.refuse,
      ...options,
    })
    this.server.on('connection', (socket, request) => {
      this.sockets.push(socket)
      this.headers.push({ ...request.headers, url: request.url })
      socket.on('message', (data: Buffer) => this.got.push(data.toString()))
      socket.on('error', () => undefined)
    })
    open.push(() => this.close())
  }

  get last(): WebSocket {
    const socket = this.sockets.at(-1)
    if (socket === undefined) throw new Error('nobody has connected')
    return socket
  }

  tell(...values: readonly unknown[]): void {
    for (const each of values) this.last.send(typeof each === 'string' ? each : JSON.stringify(each))
  }

  async close(): Promise<void> {
    for (const each of this.sockets) each.terminate()
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }
}

async function feed(options = {}): Promise<{ readonly feed: Feed; readonly url: string; readonly port: number }> {
  const [port = 0] = await freePorts(1)
  const made = new Feed(port, options)
  await once(made.server, 'listening')
  return { feed: made, url: `ws://127.0.0.1:${port}`, port }
}

interface Following extends RealFlow {
  readonly log: string[]
}

/** What a client hears, with the port that it came by. */
async function following(
  config: Readonly<Record<string, unknown>>,
  options: RealFlowOptions & {
    readonly settings?: object
    readonly more?: object
    readonly edges?: readonly string[]
  } = {},
): Promise<Following> {
  const log: string[] = []
  const tag = (port: string) => ({
    type: 'set@1',
    config: { fields: { port, value: '{{ $json }}', meta: '{{ $meta }}' } },
  })
  const nodes = {
    feed: { type: 'websocket.connect@1', config: { waitMs: 20, waitMsMax: 100, ...config } },
    opened: tag('open'),
    said: tag('message'),
    closed: tag('close'),
    wrong: tag('error'),
    keep: { type: 'test.keep@1' },
    ...options.more,
  }
  const edges = [
    'feed.open -> opened -> keep',
    'feed.message -> said -> keep',
    'feed.close -> closed -> keep',
    'feed.error -> wrong -> keep',
    ...(options.edges ?? []),
  ]
  const document = { millrace: 1, name: 'client', settings: options.settings ?? {}, nodes, edges }
  const flow = await realFlow(document, {
    ...options,
    host: { log: { write: (level, text) => void log.push(`${level} ${text}`) }, ...options.host },
  })
  open.push(async () => {
    await flow.execution.stop(2_000)
    await flow.pipeline.release(0)
  })
  return { ...flow, log }
}

const portsOf = (flow: RealFlow): readonly unknown[] => flow.kept.map((each) => (each as { port: string }).port)
const valuesOf = (flow: RealFlow, port = 'message'): readonly unknown[] =>
  flow.kept.flatMap((each) => ((each as { port: string }).port === port ? [(each as { value: unknown }).value] : []))

describe('a client that listens', () => {
  test('subscribes each time it has connected, and gives what comes, in order', async () => {
    const { feed: server, url } = await feed({ handleProtocols: () => 'v1' })
    const flow = await following(
      {
        url: `${url}/feed?key={{ $env.KEY }}`,
        protocols: ['v1'],
        headers: { 'x-token': '{{ $env.KEY }}' },
        onOpen: ['{{ { op: "subscribe", to: $env.KEY } }}', { op: 'hello' }, 'plain'],
      },
      { host: { env: { KEY: 'secret' } } },
    )
    await expect.poll(() => server.got).toEqual(['{"op":"subscribe","to":"secret"}', '{"op":"hello"}', 'plain'])
    expect(server.headers[0]).toMatchObject({ 'x-token': 'secret', url: '/feed?key=secret' })
    server.tell({ n: 1 }, 'no json', { n: 2 })
    await flow.keptCount(4)
    expect(portsOf(flow)).toEqual(['open', 'message', 'error', 'message'])
    expect(valuesOf(flow)).toEqual([{ n: 1 }, { n: 2 }])
    expect(flow.kept[1]).toMatchObject({ meta: { connection: 1, protocol: 'v1' } })
    server.last.close(4_000, 'again')
    await expect.poll(() => server.sockets.length).toBe(2)
    await expect.poll(() => server.got.length).toBe(6)
    server.tell({ n: 3 })
    await flow.keptCount(7)
    expect(portsOf(flow).slice(4)).toEqual(['close', 'open', 'message'])
    expect(valuesOf(flow, 'close')).toEqual([{ code: 4_000, reason: 'again' }])
    expect(valuesOf(flow, 'open')).toMatchObject([{ connection: 1 }, { connection: 2 }])
    expect(flow.log.join('\n')).toMatch(/info feed is connected to ws:\/\/127\.0\.0\.1:\d+\/feed\n/)
    expect(flow.log.join('\n')).not.toMatch(/secret/)
  })

  test('waits for a server that is not there yet, is refused, or goes away, a little longer each time', async () => {
    const [port = 0] = await freePorts(1)
    const flow = await following({ url: `ws://127.0.0.1:${port}` }, { host: { random: () => 1 } })
    const waits = (): readonly number[] =>
      flow.log.flatMap((each) => Number(/again in (\d+) ms/.exec(each)?.[1] ?? []) || [])
    await expect.poll(() => waits().length).toBeGreaterThanOrEqual(4)
    expect(waits().slice(0, 4)).toEqual([20, 40, 80, 100])
    const server = new Feed(port)
    server.refuse = true
    await expect.poll(() => flow.log.join(), { timeout: 5_000 }).toMatch(/Unexpected server response: 401/)
    server.refuse = false
    await flow.keptCount(1)
    server.tell({ n: 1 })
    await flow.keptCount(2)
    await server.close()
    await flow.keptCount(3)
    const next = new Feed(port)
    await expect.poll(() => next.sockets.length, { timeout: 5_000 }).toBe(1)
    next.tell({ n: 2 })
    await flow.keptCount(5)
    expect(valuesOf(flow)).toEqual([{ n: 1 }, { n: 2 }])
    expect(valuesOf(flow, 'close')).toEqual([{ code: 1_006, reason: '' }])
  })

  test('gives up after so many failures, where that is asked for', async () => {
    const [port = 0] = await freePorts(1)
    const flow = await following({ url: `ws://127.0.0.1:${port}/x?y=secret`, attemptsMax: 3 })
    expect(await flow.execution.done).toMatchObject({
      state: 'failed',
      failure: {
        code: 'websocket.gave-up',
        message: expect.stringMatching(/^feed gives up ws:\/\/127\.0\.0\.1:\d+\/x after 3 failures: .*ECONNREFUSED/),
      },
    })
  })

  test('leaves a server that does not answer to pings, and a feed that has gone silent', async () => {
    const { feed: server, url } = await feed({ autoPong: false })
    const flow = await following({ url, heartbeatMs: 100 })
    await expect.poll(() => server.sockets.length, { timeout: 5_000 }).toBeGreaterThanOrEqual(2)
    expect(valuesOf(flow, 'close')[0]).toEqual({ code: 1_006, reason: '' })
    const { feed: silent, url: silentUrl } = await feed()
    await following({ url: silentUrl, idleMsMax: 200 })
    await expect.poll(() => silent.sockets.length, { timeout: 5_000 }).toBeGreaterThanOrEqual(2)
    const { feed: lively, url: livelyUrl } = await feed()
    const talking = await following({ url: livelyUrl, idleMsMax: 300 })
    await talking.keptCount(1)
    const talk = setInterval(() => lively.tell({ n: 1 }), 50)
    await talking.keptCount(20)
    clearInterval(talk)
    expect(lively.sockets.length).toBe(1)
  })

  test('a handshake that is never answered does not hold it for ever', async () => {
    const [port = 0] = await freePorts(1)
    const mute = createTcpServer((socket) => socket.on('error', () => undefined))
    mute.listen(port, '127.0.0.1')
    open.push(() => void mute.close())
    const flow = await following({ url: `ws://127.0.0.1:${port}`, handshakeMsMax: 150 })
    await expect.poll(() => flow.log.join(), { timeout: 5_000 }).toMatch(/handshake has timed out/)
  })

  test('reads no faster than the flow takes, and loses nothing', async () => {
    const { feed: server, url } = await feed()
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const flow = await following(
      { url, heartbeatMs: 100 },
      { settings: { inFlightMax: 50, inFlightBytesMax: 100_000 }, onWrite: () => held },
    )
    await expect.poll(() => server.sockets.length).toBe(1)
    const text = 'x'.repeat(10_000)
    for (let n = 0; n < 2_000; n++) server.tell({ n, text })
    // 20 MB are on their way: the server must feel it.
    await expect.poll(() => server.last.bufferedAmount).toBeGreaterThan(1_000_000)
    const begin = performance.now()
    await expect.poll(() => performance.now() - begin).toBeGreaterThan(400)
    expect([server.sockets.length, server.last.readyState]).toEqual([1, 1])
    release()
    await flow.keptCount(2_001)
    expect(valuesOf(flow).map((each) => (each as { n: number }).n)).toEqual(Array.from({ length: 2_000 }, (_, n) => n))
    expect(flow.inFlightMax()).toBeLessThanOrEqual(50)
  })

  test.each(['drop-oldest', 'drop-newest'])('or loses messages, where that is asked for: %s', async (overflow) => {
    const { feed: server, url } = await feed()
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const flow = await following({ url, overflow }, { settings: { inFlightMax: 16 }, onWrite: () => held })
    await expect.poll(() => server.sockets.length).toBe(1)
    for (let n = 0; n < 1_000; n++) server.tell(n)
    await expect
      .poll(() => flow.log.join(), { timeout: 5_000 })
      .toMatch(/warn feed: \d+ messages dropped, the flow is behind/)
    release()
    await expect.poll(() => flow.pipeline.metrics()?.inFlight).toBe(0)
    const got = valuesOf(flow)
    expect(got.length).toBeLessThan(100)
    expect(got).toEqual(got.toSorted((a, b) => Number(a) - Number(b)))
    // All of it may have come in one turn, before anything could be taken.
    expect([got[0] === 0 || overflow === 'drop-oldest', got.includes(999)]).toEqual([true, overflow === 'drop-oldest'])
    server.tell(1_000)
    await expect.poll(() => valuesOf(flow).at(-1)).toBe(1_000)
  })

  test('ends when the server says that it is done, where that is asked for', async () => {
    const { feed: server, url } = await feed()
    const flow = await following({ url, onClose: 'end' })
    await expect.poll(() => server.sockets.length).toBe(1)
    server.tell({ n: 1 }, { n: 2 })
    server.last.close(1_000, 'done')
    expect(await flow.finish()).toMatchObject({ outcome: { state: 'done', failure: null }, faults: [] })
    expect(portsOf(flow)).toEqual(['open', 'message', 'message', 'close'])
  })

  test('says goodbye when it is stopped', async () => {
    const { feed: server, url } = await feed()
    const flow = await following({ url })
    await expect.poll(() => server.sockets.length).toBe(1)
    const closed = once(server.last, 'close')
    await flow.execution.stop(1_000)
    expect((await closed)[0]).toBe(1_000)
    await flow.pipeline.release(0)
    expect((await flow.finish()).faults).toEqual([])
  })

  test('trusts only who it should, over TLS', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-tls-'))
    open.push(() => rm(folder, { recursive: true, force: true }))
    const { server: certificate } = await makeCertificates(folder)
    const https = createHttpsServer(certificate)
    const [port = 0] = await freePorts(1)
    const server = new WebSocketServer({ server: https })
    https.listen(port, '127.0.0.1')
    open.push(() => void https.close())
    server.on('connection', (socket) => socket.send('{"n":1}'))
    const files = createFiles({ allowed: [folder] })
    const wary = await following({ url: `wss://127.0.0.1:${port}` }, { host: { files } })
    await expect.poll(() => wary.log.join(), { timeout: 5_000 }).toMatch(/certificate/)
    const trusting = await following(
      { url: `wss://127.0.0.1:${port}`, tls: { ca: join(folder, 'ca.pem') } },
      { host: { files } },
    )
    await trusting.keptCount(2)
    expect(valuesOf(trusting)).toEqual([{ n: 1 }])
    for (const each of server.clients) each.terminate()
  })

  test('an address that is none is said to be so, without repeating it', async () => {
    const flow = await following({ url: '{{ $env.URL }}' }, { host: { env: { URL: 'http://user:secret@x' } } })
    const { failure } = await flow.execution.done
    expect(failure).toMatchObject({ code: 'websocket.bad-url' })
    expect(failure?.message).not.toMatch(/secret/)
  })
})

describe('what a document may say', () => {
  test.each([
    [{ url: 'ws://x', onOpen: [{ key: '{{ $env.KEY }}' }] }, /onOpen\.0\.key takes no expression/],
    [{}, /url/],
    [{ url: 'ws://x', waitMs: -1 }, /waitMs/],
  ])('%j is a problem', async (config, problem) => {
    const nodes = { feed: { type: 'websocket.connect@1', config }, keep: { type: 'test.keep@1' } }
    await expect(realFlow({ millrace: 1, name: 'x', nodes, edges: ['feed.message -> keep'] })).rejects.toThrow(problem)
  })
})

describe('a client that writes', () => {
  const writing = (config: object, options: RealFlowOptions & { readonly onError?: unknown } = {}) =>
    realFlow(
      {
        millrace: 1,
        name: 'writing',
        nodes: {
          go: { type: 'generate@1', config: { count: 20, value: '{{ { n: $json } }}', perSecond: 200 } },
          out: {
            type: 'websocket.write@1',
            config: { waitMs: 20, waitMsMax: 50, ...config },
            ...(options.onError === undefined ? {} : { onError: options.onError }),
          },
          keep: { type: 'test.keep@1' },
        },
        edges: ['go -> out', 'out.error -> keep'],
      },
      options,
    )
  const numbers = (server: Feed): readonly number[] => server.got.map((each) => JSON.parse(each).n)
  const all = Array.from({ length: 20 }, (_, n) => n)

  test('connects by itself and sends all, in order, what it sends first included', async () => {
    const { feed: server, url } = await feed()
    const flow = await writing({ url, onOpen: [{ n: -1 }] })
    expect(await flow.finish()).toMatchObject({ outcome: { state: 'done' }, faults: [] })
    await expect.poll(() => numbers(server)).toEqual([-1, ...all])
    await expect.poll(() => server.last.readyState).toBe(3)
  })

  test('waits for a server that is away, and goes on when it comes back', async () => {
    const { feed: server, url, port } = await feed()
    const flow = await writing({ url }, { onError: { retry: { attemptsMax: 5, backoffMs: 10 } } })
    await expect.poll(() => server.got.length).toBeGreaterThan(5)
    await server.close()
    const next = new Feed(port)
    expect(await flow.finish()).toMatchObject({ outcome: { state: 'done' }, faults: [] })
    await expect
      .poll(() => new Set([...numbers(server), ...numbers(next)]).size, { timeout: 5_000 })
      .toBeGreaterThanOrEqual(18)
    expect(numbers(next).at(-1)).toBe(19)
    expect(flow.kept).toEqual([])
  })

  test('what cannot go out in time goes to the error port', async () => {
    const [port = 0] = await freePorts(1)
    const flow = await writing({ url: `ws://127.0.0.1:${port}`, timeoutMs: 200 })
    await flow.keptCount(1)
    expect(flow.kept[0]).toMatchObject({ error: { code: 'node.timeout', retriable: true }, value: { n: 0 } })
    await flow.execution.kill('enough')
    await flow.pipeline.release(0)
  })

  test('a server that does not read slows the flow, and memory stays flat', async () => {
    const { feed: server, url } = await feed()
    server.server.on('connection', (socket) => socket.pause())
    const flow = await realFlow({
      millrace: 1,
      name: 'writing',
      settings: { inFlightMax: 200 },
      nodes: {
        go: {
          type: 'generate@1',
          config: { count: 2_000, value: "{{ { n: $json, text: 'x'.repeat(10000) } }}", batch: 10 },
        },
        out: { type: 'websocket.write@1', config: { url } },
      },
      edges: ['go -> out'],
    })
    await expect.poll(() => flow.pipeline.metrics()?.inFlight).toBeGreaterThan(100)
    const taken = flow.pipeline.metrics()?.nodes.go?.out ?? 0
    const begin = performance.now()
    await expect.poll(() => performance.now() - begin).toBeGreaterThan(300)
    expect(taken).toBeLessThan(2_000)
    server.last.resume()
    expect(await flow.finish()).toMatchObject({ outcome: { state: 'done' }, faults: [] })
    await expect.poll(() => server.got.length, { timeout: 5_000 }).toBe(2_000)
  })

  test('answers on the connection of a client that listens', async () => {
    const { feed: server, url } = await feed()
    await following(
      { url },
      {
        more: {
          answer: { type: 'websocket.write@1', config: { client: 'feed', value: '{{ { pong: $json.ping } }}' } },
        },
        edges: ['feed.message -> answer'],
      },
    )
    await expect.poll(() => server.sockets.length).toBe(1)
    server.tell({ ping: 1 }, { ping: 2 })
    await expect.poll(() => server.got).toEqual(['{"pong":1}', '{"pong":2}'])
    expect(server.sockets.length).toBe(1)
  })
})
