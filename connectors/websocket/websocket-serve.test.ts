import { afterEach, describe, expect, test } from 'vitest'
import type { CompileOptions } from '../../core/compile/compile.ts'
import { compile } from '../../core/compile/compile.ts'
import type { Plan } from '../../core/document/plan.ts'
import { planText } from '../../core/document/plan-text.ts'
import type { Execution, Pipeline } from '../../core/pipeline.ts'
import { catalogue } from '../../nodes.ts'
import type { MillraceServer, ServerOptions } from '../../server/create-server.ts'
import { createServer } from '../../server/create-server.ts'
import { createHost } from '../../server/host.ts'
import { isolate } from '../../server/isolation/isolate.ts'
import { launch } from '../../server/isolation/launch.ts'
import { freePorts } from '../../test/services/free-ports.ts'
import type { Client } from './testing.ts'
import { connect, serving } from './testing.ts'

const open: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

function planOf(
  nodes: Readonly<Record<string, unknown>>,
  edges: readonly string[],
  settings = {},
  version = 'one',
): Plan {
  return planText(JSON.stringify({ millrace: 1, name: 'sockets', settings, nodes, edges }), catalogue, {
    version,
  })
}

function hostOf(over: Partial<Parameters<typeof createHost>[0]> = {}) {
  return createHost({
    log: { write: () => undefined },
    deadLetter: async () => undefined,
    ...over,
  })
}

async function listening(options: ServerOptions = {}): Promise<MillraceServer> {
  const server = await createServer({ port: 0, ...options })
  open.push(() => server.close())
  return server
}

function compiled(planned: Plan, server: MillraceServer, options: CompileOptions = {}): Pipeline {
  return compile(planned, catalogue, hostOf({ hub: server.hub }), options)
}

const echo = (path: string, config = {}): Plan =>
  planOf({ ws: { type: 'websocket.serve@1', config: { path, ...config } }, back: { type: 'websocket.send@1' } }, [
    'ws.message -> back',
  ])

/** A stream execution has begun before its sources are open. */
async function connectWhenOpen(url: string): Promise<Client> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await connect(url)
    } catch (thrown) {
      if (attempt > 200) throw thrown
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
}

const wsUrl = (server: MillraceServer, path: string): string => server.url.replace('http', 'ws') + path

describe('WebSockets on the port of the server', () => {
  test('live beside everything else that is there, each path with its own workflow', async () => {
    const server = await listening()
    await server.deploy('echo', compiled(echo('/echo/:who'), server))
    await server.deploy('other', compiled(echo('/other', { decode: 'bytes' }), server))
    const [a, b] = [await connect(wsUrl(server, '/echo/ada')), await connect(wsUrl(server, '/other'))]
    a.send({ n: 1 })
    b.send(Buffer.from([1, 2]))
    await expect.poll(() => [a.got, b.got]).toEqual([['{"n":1}'], [Buffer.from([1, 2])]])
    expect((await fetch(`${server.url}/livez`)).status).toBe(200)
    expect((await fetch(`${server.url}/echo/ada`)).status).toBe(404)
    await expect(connect(wsUrl(server, '/nowhere'))).rejects.toThrow(/^404 /)
    const hello = await connect(wsUrl(server, '/api/realtime'))
    await hello.close()
    await server.undeploy('other')
    expect(await b.closed).toMatchObject({ code: 1_001 })
    await expect(connect(wsUrl(server, '/other'))).rejects.toThrow(/^404 /)
  })

  test('decide about origins by themselves, but answer only to the names of the server', async () => {
    const server = await listening()
    await server.deploy('echo', compiled(echo('/echo', { origins: ['https://app.example'] }), server))
    const client = await connect(wsUrl(server, '/echo'), [], { origin: 'https://app.example' })
    await client.close()
    await expect(connect(wsUrl(server, '/echo'), [], { origin: 'https://evil.example' })).rejects.toThrow(/^403 /)
    const rebound = { headers: { host: `evil.example:${server.port}` } }
    await expect(connect(wsUrl(server, '/echo'), [], rebound)).rejects.toThrow(/^421 /)
  })

  test('two workflows cannot have one path', async () => {
    const server = await listening()
    await server.deploy('echo', compiled(echo('/echo'), server))
    const second = compiled(echo('/echo'), server)
    const execution = await second.open()
    expect(await execution?.done).toMatchObject({ state: 'failed', failure: { code: 'hub.route-taken' } })
    await second.release()
  })

  test('when the server closes, clients are told 1001 and it does not wait for those that do not answer', async () => {
    const server = await createServer({ port: 0 })
    await server.deploy('echo', compiled(echo('/echo'), server))
    const client = await connect(wsUrl(server, '/echo'))
    await server.close()
    expect(await client.closed).toMatchObject({ code: 1_001 })
  })

  test('without a server the node says what to do', async () => {
    const pipeline = compile(echo('/echo'), catalogue, hostOf())
    expect(await (await pipeline.open())?.done).toMatchObject({
      state: 'failed',
      failure: {
        code: 'websocket.no-server',
        message: expect.stringMatching(/ws has no port: .*`port`.*millrace serve/),
      },
    })
    await pipeline.release()
  })

  test('a workflow in a thread of its own needs a port of its own, and serves there', async () => {
    const server = await listening()
    const host = hostOf({ hub: server.hub })
    const shared = isolate(echo('/echo'), host, { folders: [] })
    open.push(() => shared.release(500))
    // It may be over before `open` has answered.
    const started = new Promise<Execution>((resolve) => shared.started$.subscribe(resolve))
    await shared.open()
    const failed = await (await started).done
    expect(failed.failure).toMatchObject({ code: 'websocket.needs-port', message: expect.stringMatching(/`port`/) })
    const [port = 0] = await freePorts(1)
    const own = isolate(echo('/echo', { port }), host, { folders: [] })
    open.push(() => own.release(500))
    await own.open()
    const client = await connectWhenOpen(`ws://127.0.0.1:${port}/echo`)
    client.send({ n: 1 })
    await expect.poll(() => client.json).toEqual([{ n: 1 }])
  })
})

describe('lanes', () => {
  test('share one port, and each answers its own connections', async () => {
    const [port = 0] = await freePorts(1)
    const planned = planOf(
      {
        ws: { type: 'websocket.serve@1', config: { port } },
        who: { type: 'set@1', config: { fields: { n: '{{ $json.n }}', lane: '{{ $execution.id }}' } } },
        back: { type: 'websocket.send@1' },
        seen: { type: 'merge@1' },
      },
      ['ws.message -> who -> back', 'who -> seen'],
      { lanes: 2 },
    )
    const pipeline = await launch(planned, catalogue, hostOf(), { folders: [] })
    open.push(() => pipeline.release(500))
    await pipeline.open()
    const clients = [await connectWhenOpen(`ws://127.0.0.1:${port}`)]
    const lanes = (): ReadonlySet<unknown> =>
      new Set(clients.flatMap((each) => each.json.map((said) => (said as { lane: string }).lane)))
    // The second lane may listen a little later than the first.
    for (let n = 1; lanes().size < 2 && n < 200; n++) {
      const client = await connect(`ws://127.0.0.1:${port}`)
      clients.push(client)
      client.send({ n })
      await expect.poll(() => client.json).toMatchObject([{ n }])
    }
    expect(lanes().size).toBe(2)
    // What leaves by a port without an edge is counted over both, as what came in is.
    const said = clients.length - 1
    await expect.poll(() => pipeline.metrics()?.nodes.seen).toMatchObject({ in: said, out: said, ended: said })
  })

  test('that fail start again beside those that run, and a stop ends them all', async () => {
    const [port = 0] = await freePorts(1)
    const planned = planOf(
      {
        ws: { type: 'websocket.serve@1', config: { port } },
        who: {
          type: 'set@1',
          onError: 'stop',
          config: { fields: { lane: '{{ $execution.id }}', n: '{{ $json.n.of }}' } },
        },
        back: { type: 'websocket.send@1' },
      },
      ['ws.message -> who -> back'],
      { lanes: 2 },
    )
    const pipeline = await launch(planned, catalogue, hostOf(), { folders: [] })
    open.push(() => pipeline.release(500))
    const execution = await pipeline.open()
    const laneOf = async (): Promise<string> => {
      const client = await connectWhenOpen(`ws://127.0.0.1:${port}`)
      client.send({ n: { of: 1 } })
      await expect.poll(() => client.json).toHaveLength(1)
      const [said] = client.json
      return (said as { lane: string }).lane
    }
    /** Asks until two have answered. */
    const bothLanes = async (): Promise<readonly string[]> => {
      const seen = new Set<string>()
      await expect.poll(async () => seen.add(await laneOf()).size, { timeout: 20_000 }).toBe(2)
      return [...seen].sort()
    }
    const before = await bothLanes()
    const breaking = await connectWhenOpen(`ws://127.0.0.1:${port}`)
    breaking.send({ n: null })
    await breaking.closed
    expect(await bothLanes()).not.toEqual(before)
    expect(await execution?.stop()).toMatchObject({ state: 'stopped' })
    await expect(connect(`ws://127.0.0.1:${port}`)).rejects.toThrow()
    expect(pipeline.executions.size).toBe(0)
  })
})

describe('a new version of a workflow', () => {
  const versioned = (label: string, config = {}): Plan =>
    planOf(
      {
        ws: { type: 'websocket.serve@1', config: { port: 0, ...config } },
        say: { type: 'set@1', config: { fields: { by: label, n: '{{ $json.n }}', execution: '{{ $execution.id }}' } } },
        back: { type: 'websocket.send@1' },
      },
      ['ws.message -> say -> back'],
      {},
      label,
    )

  test.each(['server', 'connection'])(
    'goes on with the open connections (scope: %s), and loses no message',
    async (scope) => {
      let port = 0
      const log = {
        write: (_level: string, _text: string, fields?: Readonly<Record<string, unknown>>) =>
          void (port ||= Number(fields?.port)),
      }
      const host = hostOf({ log })
      const v1 = compile(versioned('one', { scope }), catalogue, host)
      await v1.open()
      await expect.poll(() => port).toBeGreaterThan(0)
      const clients = [await connect(`ws://127.0.0.1:${port}`), await connect(`ws://127.0.0.1:${port}`)]
      let sent = 0
      const talk = setInterval(() => {
        for (const each of clients) each.send({ n: sent })
        sent += 1
      }, 1)
      await expect.poll(() => clients[0]?.got.length).toBeGreaterThan(20)
      const v2 = compile(versioned('two', { scope }), catalogue, host, { before: v1 })
      await v2.open(v1)
      await v1.release()
      const swapped = sent
      await expect.poll(() => sent).toBeGreaterThan(swapped + 20)
      clearInterval(talk)
      for (const each of clients) {
        await expect.poll(() => each.got.length).toBe(sent)
        const said = each.json as { n: number; by: string; execution: string }[]
        expect(said.map(({ n }) => n)).toEqual(Array.from({ length: sent }, (_, n) => n))
        expect([said[0]?.by, said.at(-1)?.by]).toEqual(['one', 'two'])
        expect(new Set(said.map(({ execution }) => execution)).size).toBe(2)
      }
      await v2.release()
      expect(await clients[0]?.closed).toMatchObject({ code: 1_001 })
    },
  )

  test('with another config of the server it listens anew: connections are told 1001', async () => {
    const [port = 0] = await freePorts(1)
    const host = hostOf()
    const v1 = compile(versioned('one', { port }), catalogue, host)
    await v1.open()
    const client = await connectWhenOpen(`ws://127.0.0.1:${port}`)
    const v2 = compile(versioned('two', { port, messageBytesMax: 100 }), catalogue, host, { before: v1 })
    await v2.open(v1)
    await v1.release()
    expect(await client.closed).toMatchObject({ code: 1_001 })
    const next = await connectWhenOpen(`ws://127.0.0.1:${port}`)
    next.send({ n: 1 })
    await expect.poll(() => next.json).toMatchObject([{ by: 'two' }])
    await v2.release()
  })
})

describe('what a document may say', () => {
  test.each([
    [{ tls: { cert: 'a', key: 'b' } }, {}, /tls: is only for a port of its own/],
    [{ transport: 'uws' }, {}, /transport: is only for a port of its own/],
    [{ token: { values: ['x'], from: ['protocol'] } }, {}, /token in a subprotocol needs another one/],
    [{ path: 'no-slash' }, {}, /a path begins with \//],
    [{}, { to: '{{ $key }}', all: true }, /says who is meant, and so does another field/],
    [{ port: 70_000 }, {}, /port/],
  ])('%j and %j are problems', (serve, send, problem) => {
    const nodes = { ws: { type: 'websocket.serve@1', config: serve }, out: { type: 'websocket.send@1', config: send } }
    expect(() => planOf(nodes, ['ws.message -> out'])).toThrow(problem)
  })

  test('nodes that send name their server where there are several', async () => {
    const flow = await serving(
      {},
      {
        other: { type: 'websocket.serve@1', config: { port: 0, path: '/other' } },
        which: { type: 'websocket.send@1' },
        wrong: { type: 'websocket.send@1', config: { server: 'third' } },
        right: { type: 'websocket.send@1', config: { server: 'ws' } },
        keep: { type: 'test.keep@1' },
      },
      [
        'ws.message -> right',
        'ws.message -> which',
        'ws.message -> wrong',
        'other.message -> keep',
        'which.error -> keep',
        'wrong.error -> keep',
      ],
    )
    const client = await connect(flow.url)
    client.send({ n: 1 })
    await flow.keptCount(2)
    const said = flow.kept.map((each) => (each as { error: { message: string } }).error.message)
    expect(said).toContain('which: there are several (other, ws); name one as `server`')
    expect(said).toContain('wrong: there is no websocket.serve "third"; there is other, ws')
    await expect.poll(() => client.json).toEqual([{ n: 1 }])
    await flow.stop()
  })
})

describe('on a server, with an execution per connection', () => {
  test('neither many connections nor one that fails disturb the rest', async () => {
    const log: string[] = []
    const server = await listening({
      limits: { executionsRunningMax: 5 },
      log: { write: (_level, text) => void log.push(text) },
    })
    const planned = planOf(
      {
        ws: { type: 'websocket.serve@1', config: { path: '/talk', scope: 'connection' } },
        strict: { type: 'filter@1', onError: 'stop', config: { where: '{{ $json.user.name.length > 0 }}' } },
        back: { type: 'websocket.send@1' },
      },
      ['ws.message -> strict -> back'],
    )
    await server.deploy('talk', compiled(planned, server))
    const byHand = planOf({ go: { type: 'manual@1' }, done: { type: 'merge@1' } }, ['go -> done'])
    await server.deploy('hand', compiled(byHand, server))
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect(wsUrl(server, '/talk'))))
    const started = await fetch(`${server.url}/api/workflows/hand/run`, {
      method: 'POST',
      body: '{}',
      headers: { 'content-type': 'application/json' },
    })
    expect(started.status).toBe(202)
    clients[0]?.send({ nobody: 1 })
    expect(await clients[0]?.closed).toEqual({ code: 1_011, reason: 'the execution has failed' })
    clients[1]?.send({ user: { name: 'ada' } })
    await expect.poll(() => clients[1]?.json).toEqual([{ user: { name: 'ada' } }])
    expect(log.filter((each) => each.includes('starts again'))).toEqual([])
  })
})
