import { connect as connectTcp } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { MillraceServer, ServerOptions } from './create-server.ts'
import { createServer } from './create-server.ts'
import type { TestWorkflow } from './testing.ts'
import { noSignal, testWorkflow, until } from './testing.ts'

let server: MillraceServer
let workflow: TestWorkflow

async function begin(options: ServerOptions = {}): Promise<void> {
  server = await createServer({ port: 0, ...options })
  workflow = testWorkflow(server)
  await server.deploy('publisher', workflow.pipeline)
}

beforeEach(() => begin())
afterEach(() => server.close())

async function restart(options: ServerOptions): Promise<void> {
  await server.close()
  await begin(options)
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: unknown
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const sent =
    body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'content-type': 'application/json', ...headers } }
  const response = await fetch(server.url + path, { method, headers, ...sent })
  const text = await response.text()
  return { status: response.status, headers: response.headers, body: text === '' ? null : JSON.parse(text) }
}

async function start(input: unknown): Promise<string> {
  const { body } = await call('POST', '/api/workflows/publisher/run', { input })
  if (typeof body !== 'object' || body === null || !('execution' in body)) throw new Error('it did not start')
  return String(body.execution)
}

/** What the server answers to bytes that no client library would send. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp(server.port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk.toString()
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

describe('the API', () => {
  it('lists workflows, and gives one as a graph that can be drawn, without its configs', async () => {
    const listed = await call('GET', '/api/workflows')
    expect(listed.body).toMatchObject({
      workflows: [{ id: 'publisher', name: 'publisher', ready: true, entries: [{ id: 'begin', lifetime: 'event' }] }],
    })
    const { body } = await call('GET', '/api/workflows/publisher')
    expect(body).toMatchObject({
      nodes: [
        { id: 'begin', type: 'test.start@1', position: { column: 0, row: 0 } },
        { id: 'send', type: 'test.publish@1', position: { column: 1, row: 0 } },
      ],
      edges: [{ from: 'begin', fromPort: 'out', to: 'send', toPort: 'in' }],
      settings: { telemetry: 'metrics' },
    })
    expect(JSON.stringify(body)).not.toContain('$execution')
  })

  it('starts, shows and stops executions', async () => {
    const execution = await start({ values: [1], hold: true })
    expect((await call('GET', `/api/executions/${execution}`)).body).toMatchObject({
      id: execution,
      state: 'running',
      endedAt: null,
    })
    const stopped = await call('DELETE', `/api/executions/${execution}?kill=true`)
    expect(stopped.body).toMatchObject({ outcome: { state: 'stopped' } })
    expect((await call('GET', '/api/executions')).body).toMatchObject({
      executions: [{ id: execution, state: 'stopped' }],
    })
    expect((await call('DELETE', `/api/executions/${execution}`)).body).toMatchObject({ outcome: { state: 'stopped' } })
  })

  it('lets an execution drain when it is asked to stop', async () => {
    const execution = await start({ values: [1], hold: true })
    const stopping = call('DELETE', `/api/executions/${execution}`)
    await until(async () =>
      JSON.stringify((await call('GET', `/api/executions/${execution}`)).body).includes('draining'),
    )
    workflow.release()
    expect((await stopping).body).toMatchObject({ outcome: { unsettled: 0 } })
  })

  it('keeps a bounded number of ended executions, the last ones', async () => {
    await restart({ limits: { executionsKeptMax: 3 } })
    const started: string[] = []
    for (let n = 0; n < 5; n++) {
      const execution = await start({ values: [] })
      started.push(execution)
      await until(async () =>
        JSON.stringify((await call('GET', '/api/executions')).body).includes(
          `${execution}","workflow":"publisher","entry":"begin","state":"done"`,
        ),
      )
    }
    const { body } = await call('GET', '/api/executions')
    expect(body).toMatchObject({
      executions: started
        .slice(2)
        .reverse()
        .map((id) => ({ id })),
    })
    expect((await call('GET', `/api/executions/${started[0]}`)).status).toBe(404)
  })

  it('starts no more than so many at once', async () => {
    await restart({ limits: { executionsRunningMax: 1 } })
    await start({ hold: true })
    const second = await call('POST', '/api/workflows/publisher/run', {})
    expect(second).toMatchObject({ status: 503, body: { error: { code: 'server.busy' } } })
    expect(second.headers.get('retry-after')).toBe('1')
    workflow.release()
  })

  it('is described by an OpenAPI document', async () => {
    const { body } = await call('GET', '/api/openapi.json')
    const paths = typeof body === 'object' && body !== null && 'paths' in body ? Object.keys(body.paths ?? {}) : []
    expect(paths).toStrictEqual([
      '/api/workflows',
      '/api/workflows/{id}',
      '/api/workflows/{id}/run',
      '/api/workflows/{id}/sources',
      '/api/workflows/{id}/reload',
      '/api/metrics',
      '/api/workflows/{id}/tap',
      '/api/executions',
      '/api/executions/{id}',
      '/api/topics/{name}',
    ])
  })

  it.each([
    ['GET', '/nothing', undefined, {}, 404, 'path.unknown'],
    ['GET', '/api/nothing', undefined, {}, 404, 'path.unknown'],
    ['GET', '/api/workflows/none', undefined, {}, 404, 'workflow.unknown'],
    ['PUT', '/api/workflows', {}, {}, 405, 'method.not-allowed'],
    ['POST', '/metrics', {}, {}, 405, 'method.not-allowed'],
    ['POST', '/api/workflows/publisher/run', { entry: 7 }, {}, 400, 'request.invalid'],
    ['POST', '/api/workflows/publisher/run', { entry: 'send' }, {}, 404, 'entry.unknown'],
    ['POST', '/api/workflows/publisher/run', {}, { 'content-type': 'text/plain' }, 415, 'body.not-json'],
    ['POST', '/api/workflows/publisher/run', { input: 'x'.repeat(5_000_000) }, {}, 413, 'body.too-large'],
    ['GET', '/api/executions/none', undefined, {}, 404, 'execution.unknown'],
    ['GET', '/api/topics/executions/none', undefined, {}, 404, 'topic.unknown'],
    ['GET', '/api/topics/a%20b', undefined, {}, 400, 'request.invalid'],
    ['GET', '/api/topics/a?after=never', undefined, {}, 400, 'topic.bad-place'],
    ['GET', '/api/realtime', undefined, {}, 426, 'websocket.expected'],
    ['GET', '/api/workflows', undefined, { origin: 'https://evil.example' }, 403, 'origin.foreign'],
    ['GET', '/api/workflows', undefined, { 'sec-fetch-site': 'cross-site' }, 403, 'origin.foreign'],
  ])('%s %s with %j and %j is answered %i %s', async (method, path, body, headers, status, code) => {
    const filled: Record<string, string> = Object.fromEntries(Object.entries(headers))
    expect(await call(method, path, body, filled)).toMatchObject({ status, body: { error: { code } } })
  })

  it('names what it does not know of a body, and the type that it does not take', async () => {
    const run = '/api/workflows/publisher/run'
    const said = (code: string, message: unknown) => ({ body: { error: { code, message } } })
    const unknown = said('request.invalid', expect.stringContaining('"values"'))
    expect(await call('POST', run, { values: [1] })).toMatchObject({ status: 400, ...unknown })
    expect(await call('GET', '/api/executions')).toMatchObject({ body: { executions: [] } })
    const pause = { do: 'pause', nodes: ['ticks'] }
    expect(await call('POST', '/api/workflows/publisher/sources', pause)).toMatchObject({ status: 400 })
    const format = said('request.invalid', expect.stringMatching(/^Field format: .*"ndjson"/))
    expect(await call('GET', '/api/topics/a?format=xml')).toMatchObject(format)
    expect(await call('GET', '/api/topics/a%20b')).toMatchObject(
      said('request.invalid', 'Field name: a topic is named by 1 to 200 letters, digits and . _ ~ / -.'),
    )
    expect(await call('POST', run, { input: {} }, { 'content-type': 'text/csv' })).toMatchObject(
      said('body.not-json', 'This takes JSON, not text/csv.'),
    )
  })

  it('wants the token where one is set; probes and pages of its own do not need it', async () => {
    await restart({ token: 'secret-token' })
    expect(await call('GET', '/api/workflows')).toMatchObject({
      status: 401,
      body: { error: { code: 'auth.required' } },
    })
    expect((await call('GET', '/api/workflows', undefined, { authorization: 'Bearer secret-token' })).status).toBe(200)
    expect((await fetch(`${server.url}/metrics`)).status).toBe(401)
    expect((await fetch(`${server.url}/livez`)).status).toBe(200)
  })

  it('does not listen to other machines without a token', async () => {
    await expect(createServer({ host: '0.0.0.0', port: 0 })).rejects.toThrow(
      /set an API token, which .* MILLRACE_TOKEN/,
    )
  })

  it('says that it starts, where a path is not there yet, until its owner says that it has', async () => {
    let started = false
    await restart({ hasStarted: () => started })
    const starting = { status: 503, body: { error: { code: 'server.starting' } } }
    expect(await call('POST', '/orders')).toMatchObject(starting)
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503)
    expect((await call('GET', '/api/workflows')).status).toBe(200)
    started = true
    expect(await call('POST', '/orders')).toMatchObject({ status: 404 })
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
  })

  it('says which port is taken', async () => {
    await expect(createServer({ port: server.port })).rejects.toThrow(`Port ${server.port} on 127.0.0.1 is taken`)
  })

  it('deploys under ids that can stand in an address, and the same id again in place of the old one', async () => {
    await expect(server.deploy('a b', testWorkflow(server).pipeline)).rejects.toMatchObject({ code: 'workflow.bad-id' })
    await server.deploy('publisher', testWorkflow(server, 'second').pipeline)
    expect((await call('GET', '/api/workflows')).body).toMatchObject({
      workflows: [{ id: 'publisher', name: 'second' }],
    })
    await server.undeploy('publisher')
    expect((await call('GET', '/api/workflows')).body).toStrictEqual({ workflows: [] })
  })

  it('tells a configured origin that it may call, and answers its preflight', async () => {
    await restart({ origins: ['https://console.example'] })
    const headers = { origin: 'https://console.example' }
    const preflight = await fetch(`${server.url}/api/workflows`, { method: 'OPTIONS', headers })
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toStrictEqual([
      204,
      'https://console.example',
    ])
    expect((await call('GET', '/api/workflows', undefined, headers)).headers.get('access-control-allow-origin')).toBe(
      'https://console.example',
    )
  })
})

describe('a topic over HTTP', () => {
  it('comes as NDJSON with offsets, gaps and the end', async () => {
    await restart({ limits: { topics: { messagesMax: 2 } } })
    await server.topics.publish('a/b', [1, 2, { raw: new Uint8Array([255]) }], noSignal)
    server.topics.end('a/b')
    const text = await (await fetch(`${server.url}/api/topics/a/b?after=-1`)).text()
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toStrictEqual([
      { gap: { from: 0, to: 0 } },
      { offset: 1, value: 2 },
      { offset: 2, value: { raw: '/w==' } },
      { end: { outcome: null } },
    ])
  })

  it('as server-sent events resumes by the id of the last one, and says when that log is gone', async () => {
    await server.topics.publish('news', ['a', 'b', 'c'], noSignal)
    server.topics.end('news')
    const read = (after = '', id = ''): Promise<Response> =>
      fetch(`${server.url}/api/topics/news${after}`, { headers: { accept: 'text/event-stream', 'last-event-id': id } })
    const ids = [...(await (await read()).text()).matchAll(/^id: (.+)$/gm)].map((match) => match[1] ?? '')
    const [beforeAll = '', , second = '', third = '', end = ''] = ids
    expect(beforeAll).toMatch(/:-1$/)
    // The address says where a browser began; the id, where it is now.
    const again = await (await read('?after=now', second)).text()
    expect(again).toBe(`id: ${second}\n\nid: ${third}\ndata: "c"\n\nid: ${end}\nevent: end\ndata: {"outcome":null}\n\n`)
    expect(await (await read('', 'another:1')).text()).toContain('event: gap\ndata: {"from":2,"to":null}\n\nid: ')
    expect((await read('', end)).status).toBe(204)
  })

  it('is live, and lets go of its reader when that leaves', async () => {
    const abort = new AbortController()
    const response = await fetch(`${server.url}/api/topics/live?after=now`, { signal: abort.signal })
    await server.topics.publish('live', ['x'], noSignal)
    const reader = response.body?.getReader()
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('{"offset":0,"value":"x"}\n')
    abort.abort()
    await until(async () => (await (await fetch(`${server.url}/metrics`)).text()).includes('millrace_topic_readers 0'))
  })
})

describe('the server', () => {
  it('counts what nodes do for Prometheus', async () => {
    const execution = await start({ values: [1] })
    await until(async () => JSON.stringify((await call('GET', `/api/executions/${execution}`)).body).includes('"done"'))
    const text = await (await fetch(`${server.url}/metrics`)).text()
    expect(text).toContain('millrace_executions_ended_total{state="done"} 1\n')
    expect(text).toContain('millrace_node_in_total{workflow="publisher",node="send"} 1\n')
    expect(text).toMatch(/process_resident_memory_bytes \d+\n/)
  })

  it('answers under its own names only, so that no page can rebind a name of its own to it', async () => {
    expect(await raw('GET /api/workflows HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 421 /,
    )
    expect(await raw(`GET /livez HTTP/1.1\r\nHost: localhost:${server.port}\r\nConnection: close\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 200 /,
    )
  })

  it('serves a request that offers another protocol, as Java’s client does, as if it had not', async () => {
    server.hub.route({ methods: ['POST'], path: '/in', body: 'json', bodyBytesMax: 100 }, ({ body }, reply) =>
      reply.send(200, { body }),
    )
    const offer = 'Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n'
    const head = `POST /in HTTP/1.1\r\n${offer}Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n`
    expect(await raw(`${head}{"n":1}`)).toMatch(/^HTTP\/1\.1 200 [\s\S]*\{"body":\{"n":1\}\}$/)
  })

  it('says what is wrong with what is no HTTP, too long, too slow or expects too much, and lives on', async () => {
    await restart({ limits: { headMsMax: 200 } })
    expect(await raw('\x16\x03\x01 not http\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 400 [\s\S]*"request.unreadable".*Invalid method/,
    )
    expect(await raw(`GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 431 [\s\S]*"head.too-large".*16384 bytes/,
    )
    expect(await raw('GET / HTTP/1.1\r\nHost: local')).toMatch(/^HTTP\/1\.1 408 [\s\S]*"head.slow".*200 ms/)
    expect(await raw('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: gold\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 417 [\s\S]*"expect.unknown".*gold/,
    )
    expect((await fetch(`${server.url}/livez`)).status).toBe(200)
  })

  it('lets one client hold only so many requests, and all together', async () => {
    await restart({ limits: { requestsPerClientMax: 2 } })
    const held = new AbortController()
    for (let n = 0; n < 2; n++) await fetch(`${server.url}/api/topics/t`, { signal: held.signal })
    expect((await fetch(`${server.url}/api/workflows`)).status).toBe(429)
    held.abort()
    await until(async () => (await fetch(`${server.url}/api/workflows`)).status === 200)
  })

  it('closes: no new work, running work drained, streams ended, in bounded time', async () => {
    const execution = await start({ values: [1], hold: true })
    const stream = await fetch(`${server.url}/api/topics/executions/${execution}`)
    const closing = server.close()
    expect((await fetch(`${server.url}/readyz`).catch(() => null))?.status ?? 503).toBe(503)
    workflow.release()
    const text = await stream.text().catch(() => '')
    await closing
    expect(text).toContain('"state":"done"')
    await expect(fetch(`${server.url}/livez`)).rejects.toThrow()
  })
})
