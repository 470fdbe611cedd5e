import { request as httpRequest } from 'node:http'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { planText } from '../core/document/plan-text.ts'
import { decodeFrame, encodeFrame } from '../core/protocol/frame.ts'
import { catalogue } from '../nodes.ts'
import { connect, MillraceError } from '../sdk/index.ts'
import type { MillraceServer, ServerOptions } from './create-server.ts'
import { createServer } from './create-server.ts'
import { launch } from './isolation/launch.ts'
import { noSignal, plainHost, testWorkflow, until } from './testing.ts'

let server: MillraceServer
const sockets: WebSocket[] = []

beforeEach(async () => {
  server = await createServer({ port: 0 })
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.terminate()
  await server.close()
})

async function restart(options: ServerOptions): Promise<void> {
  await server.close()
  server = await createServer({ port: 0, ...options })
}

interface Peer {
  readonly socket: WebSocket
  readonly frames: Readonly<Record<string, unknown>>[]
  readonly closed: Promise<number>
  say(frame: { readonly kind: string; readonly [field: string]: unknown }): void
}

/** A client that speaks the protocol by hand, well or badly. */
async function peer(headers: Record<string, string> = {}, hello = true): Promise<Peer> {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/api/realtime`, { headers })
  sockets.push(socket)
  const frames: Readonly<Record<string, unknown>>[] = []
  socket.on('message', (data) => {
    const decoded = Buffer.isBuffer(data) ? decodeFrame(data, 1 << 26) : null
    if (decoded?.ok === true) frames.push(decoded.value)
  })
  const closed = new Promise<number>((resolve) => socket.on('close', (code) => resolve(code)))
  socket.on('error', () => {})
  await new Promise<void>((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('close', () => reject(new Error('refused')))
  })
  const say: Peer['say'] = (frame) => socket.send(encodeFrame(frame))
  if (hello) {
    say({ kind: 'hello' })
    await until(() => frames.length > 0)
  }
  return { socket, frames, closed, say }
}

/** Bytes in buffers that are still in use. */
function liveBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().arrayBuffers
}

/** The status that an upgrade with these headers is answered with; 101 when it is accepted. */
function upgradeStatus(headers: Record<string, string>, path = '/api/realtime'): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      port: server.port,
      host: '127.0.0.1',
      path,
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
    })
    request.on('upgrade', (_response, socket) => {
      socket.destroy()
      resolve(101)
    })
    request.on('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    request.on('error', reject)
    request.end()
  })
}

describe('the door', () => {
  it.each([
    ['no origin', {}, 101],
    ['the own origin', { origin: 'http://127.0.0.1:PORT' }, 101],
    ['a foreign origin', { origin: 'https://evil.example' }, 403],
    ['the same host at another port', { origin: 'http://127.0.0.1:1' }, 403],
    ['a name that was bound to 127.0.0.1', { host: 'evil.example', origin: 'http://evil.example' }, 421],
    ['localhost', { host: 'localhost:PORT' }, 101],
  ])('answers %s', async (_what, headers, status) => {
    const filled = Object.entries(headers).map(
      ([name, value]) => [name, value.replace('PORT', String(server.port))] as const,
    )
    expect(await upgradeStatus(Object.fromEntries(filled))).toBe(status)
  })

  it('lets in a foreign origin that is configured, and nobody at other paths', async () => {
    await restart({ origins: ['https://console.example'] })
    expect(await upgradeStatus({ origin: 'https://console.example' })).toBe(101)
    expect(await upgradeStatus({}, '/elsewhere')).toBe(404)
  })

  it('wants the token, in the header or in the hello, and says so', async () => {
    await restart({ token: 'secret-token' })
    const bad = await peer({}, false)
    bad.say({ kind: 'hello', token: 'wrong' })
    expect(await bad.closed).toBe(4401)
    expect(bad.frames).toMatchObject([{ kind: 'error', code: 'auth.required' }])
    expect((await peer({ authorization: 'Bearer secret-token' })).frames).toMatchObject([{ kind: 'welcome' }])
    const client = connect(server.url, { token: 'secret-token' })
    await until(() => client.state === 'live')
    client.close()
  })

  it('stays shut for a client of the SDK with a wrong token, which does not try again', async () => {
    await restart({ token: 'secret-token' })
    const client = connect(server.url, { token: 'wrong' })
    const reading = client.topic('a').listen(() => {})
    await expect(reading).rejects.toMatchObject({ code: 'auth.required' })
    expect(client.state).toBe('closed')
    await expect(client.run('x')).rejects.toBeInstanceOf(MillraceError)
  })

  it('is found by the address of a page or of a WebSocket; one without a protocol is refused by the SDK', async () => {
    const client = connect(server.url.replace('http', 'ws'))
    await until(() => client.state === 'live')
    expect(await client.executions.list()).toStrictEqual([])
    client.close()
    for (const wrong of ['localhost:4600', '127.0.0.1:4600', '/x', 'ftp://127.0.0.1', 'http://'])
      expect(() => connect(wrong)).toThrow(
        expect.objectContaining({ code: 'connection.bad-url', message: expect.stringContaining(`"${wrong}"`) }),
      )
  })

  it('admits a limited number of sockets, and cuts those that never say hello', async () => {
    await restart({ limits: { socketsMax: 1, helloMsMax: 50 } })
    const silent = await peer({}, false)
    expect(await upgradeStatus({})).toBe(503)
    expect(await silent.closed).toBe(1008)
  })
})

describe('a connection', () => {
  it.each([
    ['text', 'hello', 1002, 'frame.not-binary'],
    ['garbage', Buffer.from([255, 255, 255, 255, 1]), 1002, 'frame.truncated'],
    ['an unknown frame', Buffer.from(encodeFrame({ kind: 'shutdown' })), 1002, 'frame.unknown-kind'],
    ['a second hello', Buffer.from(encodeFrame({ kind: 'hello' })), 1002, 'hello.twice'],
  ])('is told what was wrong with %s, and closed; others live on', async (_what, data, closeCode, code) => {
    const other = await peer()
    const bad = await peer()
    bad.socket.send(data)
    expect(await bad.closed).toBe(closeCode)
    expect(bad.frames.at(-1)).toMatchObject({ kind: 'error', id: null, code })
    other.say({ kind: 'ping' })
    await until(() => other.frames.some((frame) => frame.kind === 'pong'))
  })

  it('that sends too large a frame is closed with 1009', async () => {
    await restart({ limits: { frameBytesMax: 1000 } })
    const bad = await peer()
    bad.socket.send(new Uint8Array(2000))
    expect(await bad.closed).toBe(1009)
  })

  it('gets errors about its calls under their ids, and lives on', async () => {
    await restart({ limits: { subscriptionsPerSocketMax: 1 } })
    const { say, frames } = await peer()
    say({ kind: 'subscribe', id: 1, topic: 'a', after: null, credits: 1 })
    say({ kind: 'subscribe', id: 1, topic: 'a', after: null, credits: 1 })
    say({ kind: 'subscribe', id: 2, topic: 'b', after: null, credits: 1 })
    say({ kind: 'subscribe', id: 3, topic: 'bad name', after: null, credits: 1 })
    say({ kind: 'run', id: 4, workflow: 'none', input: 1 })
    say({ kind: 'unsubscribe', id: 1 })
    say({ kind: 'subscribe', id: 5, topic: 'executions/none', after: null, credits: 1 })
    await until(() => frames.length === 7)
    const errors = frames.filter((frame) => frame.kind === 'error').map((frame) => [frame.id, frame.code])
    expect(errors).toStrictEqual([
      [1, 'subscription.taken'],
      [2, 'subscription.too-many'],
      [3, 'frame.bad-field'],
      [4, 'workflow.unknown'],
      [5, 'topic.unknown'],
    ])
  })

  it('gets no more messages than it gave credit for', async () => {
    const { say, frames } = await peer()
    await server.topics.publish('t', [0, 1, 2, 3, 4], noSignal)
    const offsets = (): unknown[] =>
      frames.filter((frame) => frame.kind === 'messages').map((frame) => [frame.offset, frame.values])
    say({ kind: 'subscribe', id: 1, topic: 't', after: 'start', credits: 2 })
    say({ kind: 'ping' })
    await until(() => frames.some((frame) => frame.kind === 'pong'))
    expect(offsets()).toStrictEqual([[0, [0, 1]]])
    say({ kind: 'credit', id: 1, n: 10 })
    await until(() => offsets().length === 2)
    expect(offsets()[1]).toStrictEqual([2, [2, 3, 4]])
  })

  it('that never reads costs the server one buffer, not what was published', async () => {
    await restart({ limits: { socketBufferBytesMax: 100_000, topics: { bytesMax: 2_000_000 } } })
    const { say, socket, frames } = await peer()
    say({ kind: 'subscribe', id: 1, topic: 't', after: 'start', credits: 100_000 })
    await until(() => frames.length === 2)
    socket.pause()
    const before = liveBytes()
    for (let n = 0; n < 1000; n++) await server.topics.publish('t', [new Uint8Array(100_000)], noSignal)
    // 100 MB were published; the log, the socket's buffer and the kernel's keep a small part of it.
    // What was let go is freed a little later.
    await until(() => liveBytes() - before < 20_000_000)
    socket.resume()
    await until(() => frames.some((frame) => frame.kind === 'gap'))
  })

  it('that is dead is noticed by the heartbeat', async () => {
    await restart({ limits: { heartbeatMs: 30 } })
    const { socket, closed } = await peer()
    socket.pause()
    await until(async () => (await (await fetch(`${server.url}/metrics`)).text()).includes('millrace_sockets 0'))
    socket.resume()
    await closed
  })
})

describe('a run', () => {
  it('gives its results in order, bytes as bytes, and ends with the execution', async () => {
    const { pipeline } = testWorkflow(server)
    await server.deploy('publisher', pipeline)
    const client = connect(server.url)
    const values = [
      { index: 0, image: new Uint8Array([1, 2, 3]) },
      { index: 1, image: new Uint8Array(0) },
    ]
    const run = await client.run('publisher', { values })
    const results: unknown[] = []
    for await (const result of run.results) results.push(result)
    expect(results).toStrictEqual(values)
    expect(await client.executions.get(run.execution)).toMatchObject({
      workflow: 'publisher',
      state: 'done',
      entry: 'begin',
    })
    // Read a second time, long after: the topic is kept for a while.
    const again: unknown[] = []
    await client.topic(run.topic).listen(({ value }) => void again.push(value))
    expect(again).toStrictEqual(values)
    client.close()
  })

  it('can be stopped in the middle; what came before stays', async () => {
    const { pipeline } = testWorkflow(server)
    await server.deploy('publisher', pipeline)
    const client = connect(server.url)
    const run = await client.run<number>('publisher', { values: [1, 2], hold: true })
    const results: number[] = []
    for await (const result of run.results) {
      results.push(result)
      if (result === 2) expect((await run.stop({ kill: true })).state).toBe('stopped')
    }
    expect(results).toStrictEqual([1, 2])
    expect((await client.executions.list()).map((each) => each.state)).toStrictEqual(['stopped'])
    client.close()
  })

  it('that fails throws the failure where its results are read', async () => {
    const { pipeline } = testWorkflow(server)
    await server.deploy('publisher', pipeline)
    const client = connect(server.url)
    const run = await client.run<number>('publisher', { values: [1], fail: 'no ink' })
    const read = async (): Promise<void> => {
      for await (const _ of run.results);
    }
    await expect(read()).rejects.toMatchObject({ code: 'execution.failed', message: expect.stringContaining('no ink') })
    client.close()
  })

  it.each(['shared', 'thread'])(
    'says when it has ended that messages of it lie in the dead-letter (%s)',
    async (isolation) => {
      const plan = planText(
        `
millrace: 1
name: t
settings: { isolation: ${isolation} }
nodes:
  begin: { type: manual@1, config: {} }
  each: { type: split@1, config: { list: "{{ $json }}" } }
  up: { type: set@1, config: { fields: { name: "{{ $json.name.toUpperCase() }}" } } }
  out: { type: topic.publish@1, config: { topic: "executions/{{ $execution.id }}" } }
edges: [begin -> each, each -> up, up -> out]
`,
        catalogue,
      )
      await server.deploy('t', await launch(plan, catalogue, plainHost(server), { folders: [] }))
      const client = connect(server.url)
      const run = await client.run<{ readonly name: string }>('t', [{ name: 'a' }, {}, { name: 'b' }])
      const names: string[] = []
      const read = async (): Promise<void> => {
        for await (const { name } of run.results) names.push(name)
      }
      await expect(read()).rejects.toMatchObject({
        code: 'results.incomplete',
        message: 'A message of the execution failed and lies in the dead-letter of the server.',
      })
      expect(names).toStrictEqual(['A', 'B'])
      expect(run.outcome).toStrictEqual({ state: 'done', unsettled: 0, deadLetters: 1, failure: null })
      client.close()
    },
  )

  it('that nobody can start says why', async () => {
    const { pipeline } = testWorkflow(server)
    await server.deploy('publisher', pipeline)
    const client = connect(server.url)
    await expect(client.run('nothing')).rejects.toMatchObject({ code: 'workflow.unknown' })
    await expect(client.run('publisher', {}, { entry: 'send' })).rejects.toMatchObject({ code: 'entry.unknown' })
    client.close()
    await expect(client.run('publisher')).rejects.toMatchObject({ code: 'connection.closed' })
  })
})

describe('the metrics topic', () => {
  it('is fed while somebody reads it, and only then', async () => {
    const { pipeline } = testWorkflow(server)
    await server.deploy('publisher', pipeline)
    const client = connect(server.url)
    const run = await client.run('publisher', { values: [1, 2, 3] })
    for await (const _ of run.results);
    const seen: unknown[] = []
    for await (const { value } of client.topic('workflows/publisher/metrics').subscribe({ after: null })) {
      seen.push(value)
      if (seen.length === 2) break
    }
    expect(seen[1]).toMatchObject({ running: 0, inFlight: 0, nodes: { send: { in: 1, out: 1, errors: 0 } } })
    await until(async () => (await (await fetch(`${server.url}/metrics`)).text()).includes('millrace_topic_readers 0'))
    await expect(server.topics.publish('workflows/publisher/metrics', [1], noSignal)).rejects.toMatchObject({
      code: 'topic.reserved',
    })
    client.close()
  })
})
