import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { request as httpRequest } from 'node:http'
import { connect as connectTcp } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NodeError } from '../core/flow/failure.ts'
import type { HubArrival, HubReply, HubRequest, HubRoute, Log } from '../core/host.ts'
import type { MillraceServer, ServerOptions } from './create-server.ts'
import { createServer } from './create-server.ts'
import { until } from './testing.ts'

let server: MillraceServer
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hub-test-'))
  server = await createServer({ port: 0, temporaryDirectory: folder })
})
afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true, force: true })
})

async function restart(limits: ServerOptions['limits']): Promise<void> {
  await server.close()
  server = await createServer({ port: 0, temporaryDirectory: folder, limits })
}

function route(over: Partial<HubRoute>, handler: (request: HubRequest, reply: HubReply) => void): () => void {
  return server.hub.route({ methods: ['POST'], path: '/in', body: 'json', bodyBytesMax: 1000, ...over }, handler)
}

const echo = (request: HubRequest, reply: HubReply): void => reply.send(200, { body: request.body })

async function post(
  path: string,
  body: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown }> {
  const response = await fetch(server.url + path, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  })
  return { status: response.status, body: await response.json() }
}

/** All files that uploads have left, wherever the server put them. */
async function spooled(): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile() && entry.name !== 'owner.json').map((entry) => entry.name)
}

/** A request whose body the test sends by hand. */
function open(
  path: string,
  headers: Record<string, string | number>,
): { sent: ClientRequest; answered: Promise<IncomingMessage> } {
  const sent = httpRequest(server.url + path, { method: 'POST', headers })
  sent.on('error', () => {})
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve)
    sent.on('close', () => reject(new Error('closed without an answer')))
  })
  answered.catch(() => {})
  return { sent, answered }
}

describe('a route', () => {
  it('gets parameters, query, headers and the parsed body', async () => {
    route({ path: '/orders/:id/items/:item' }, ({ params, query, headers, body, method, path }, reply) =>
      reply.send(201, { params, query, type: headers['content-type'], body, method, path }, { 'x-own': 'yes' }),
    )
    const response = await fetch(`${server.url}/orders/a%2Fb/items/7?q=1&q=2&once=3&__proto__=4`, {
      method: 'POST',
      body: '{"a":[1]}',
      headers: { 'content-type': 'application/json' },
    })
    expect(response.status).toBe(201)
    expect(response.headers.get('x-own')).toBe('yes')
    expect(await response.json()).toStrictEqual({
      params: { id: 'a/b', item: '7' },
      query: { q: ['1', '2'], once: '3' },
      type: 'application/json',
      body: { a: [1] },
      method: 'POST',
      path: '/orders/a%2Fb/items/7',
    })
  })

  it('is taken once, and free again after its release', async () => {
    const release = route({}, echo)
    expect(() => route({}, echo)).toThrow(NodeError)
    expect(() => route({ path: '/api/mine' }, echo)).toThrow(/belongs to the server/)
    expect(() => route({ path: 'no slash' }, echo)).toThrow(/cannot be a route/)
    release()
    expect((await post('/in', '{}')).status).toBe(404)
    route({}, echo)
    expect((await post('/in', '{}')).status).toBe(200)
  })

  it('tells which methods it takes, without starting anything', async () => {
    let calls = 0
    route({ methods: ['GET'], body: 'none' }, (_request, reply) => {
      calls += 1
      reply.send(200, 'hi')
    })
    const deleted = await fetch(`${server.url}/in`, { method: 'DELETE' })
    expect([deleted.status, deleted.headers.get('allow')]).toStrictEqual([405, 'GET, OPTIONS, HEAD'])
    expect((await fetch(`${server.url}/in`, { method: 'OPTIONS' })).status).toBe(204)
    expect((await fetch(`${server.url}/in`, { method: 'HEAD' })).status).toBe(200)
    expect(calls).toBe(0)
    expect(await (await fetch(`${server.url}/in`)).text()).toBe('hi')
  })

  it('is found by a request in the form that goes to proxies, over a connection that stays', async () => {
    route({ path: '/in/:id', methods: ['GET'], body: 'none' }, ({ params, query }, reply) =>
      reply.send(200, { params, query }),
    )
    const sent = httpRequest({ port: server.port, host: '127.0.0.1', path: `${server.url}/in/7?q=1` })
    const [response] = (await once(sent.end(), 'response')) as [IncomingMessage]
    expect(response.headers['keep-alive']).toBe('timeout=75')
    expect(JSON.parse(await text(response))).toStrictEqual({ params: { id: '7' }, query: { q: '1' } })
  })

  it('gets the fields of a form', async () => {
    route({ body: 'form' }, echo)
    const type = 'application/x-www-form-urlencoded; charset=UTF-8'
    const sent = await post('/in', 'name=Ada+L%C3%B6v&tag=a&tag=b&__proto__=x&none=', { 'content-type': type })
    expect(sent).toStrictEqual({ status: 200, body: { body: { name: 'Ada Löv', tag: ['a', 'b'], none: '' } } })
    expect(await post('/in', '{}')).toMatchObject({ status: 415, body: { error: { code: 'body.not-form' } } })
    await restart({})
    route({ body: 'form', bodyBytesMax: 100_000 }, echo)
    expect(await post('/in', '&a'.repeat(10_001), { 'content-type': type })).toMatchObject({
      status: 400,
      body: { error: { code: 'body.too-many-fields' } },
    })
  })

  it.each([
    ['not JSON', '{"a":', {}, 400, 'body.not-json'],
    ['a form', 'a=1', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'body.not-json'],
    ['a multipart form', 'x', { 'content-type': 'multipart/form-data; boundary=x' }, 415, 'body.multipart'],
    ['compressed', 'x', { 'content-encoding': 'gzip' }, 415, 'body.encoded'],
    ['too large', `"${'x'.repeat(2000)}"`, {}, 413, 'body.too-large'],
    ['a key that reaches a prototype', '{"a":{"__proto__":{"x":1}}}', {}, 400, 'body.forbidden-key'],
    ['the same key in disguise', '{"\\u005f_proto__":{"x":1}}', {}, 400, 'body.forbidden-key'],
  ])('refuses a body that is %s', async (_what, body, headers, status, code) => {
    route({}, echo)
    const answer = await post('/in', body, headers)
    expect(answer).toMatchObject({ status, body: { error: { code } } })
  })

  it('answers 500 without details when its handler throws, and 504 when it never answers', async () => {
    await restart({ firstByteMsMax: 50 })
    route({}, () => {
      throw new Error('secret detail')
    })
    route({ path: '/silent' }, () => {})
    const broken = await post('/in', '{}')
    expect(broken.status).toBe(500)
    expect(JSON.stringify(broken.body)).not.toContain('secret')
    expect((await post('/silent', '{}')).status).toBe(504)
  })

  it('cannot be made to write a header of its client’s making into two', async () => {
    route({}, (_request, reply) => reply.send(200, 'x', { 'x-a': 'b\r\nx-evil: 1', 'content-length': '1' }))
    const response = await fetch(`${server.url}/in`, { method: 'POST' })
    expect(response.headers.get('x-evil')).toBeNull()
  })
})

describe('an upload', () => {
  const upload = { path: '/up', body: 'file', bodyBytesMax: 10_000_000 } as const

  it('lies in a file that only this user can read, until the answer has ended', async () => {
    const seen: unknown[] = []
    let path = ''
    let mode = 0
    route(upload, async (request, reply) => {
      const file: unknown = request.body
      if (typeof file !== 'object' || file === null || !('path' in file)) throw new Error('no file')
      path = String(file.path)
      mode = (await stat(join(path, '..'))).mode & 0o777
      seen.push(file, (await readFile(path)).byteLength)
      reply.begin(200, 'ndjson')
      await reply.write({ there: existsSync(path) })
      reply.end()
    })
    const response = await fetch(`${server.url}/up`, {
      method: 'POST',
      body: new Uint8Array(3_000_000),
      headers: { 'content-type': 'video/mp4', 'content-disposition': `attachment; filename*=UTF-8''..%2F%C3%BC.mp4` },
    })
    expect(await response.text()).toBe('{"there":true}\n')
    expect(seen).toStrictEqual([{ path, name: '.._ü.mp4', mime: 'video/mp4', sizeBytes: 3_000_000 }, 3_000_000])
    expect(mode).toBe(0o700)
    await until(() => !existsSync(path))
  })

  it('that its handler keeps outlives the answer, until it is let go', async () => {
    let remove = (): void => {}
    route(upload, (request, reply) => {
      remove = request.keepFile()
      reply.send(202, 'later')
    })
    expect((await fetch(`${server.url}/up`, { method: 'POST', body: 'film' })).status).toBe(202)
    await fetch(`${server.url}/livez`)
    expect(await spooled()).toHaveLength(1)
    remove()
    await until(async () => (await spooled()).length === 0)
  })

  it.each([['with its length known'], ['in chunks']])(
    'cut half-way (%s) leaves no file and never starts the handler',
    async (how) => {
      let calls = 0
      route(upload, () => {
        calls += 1
      })
      const { sent } = open(
        '/up',
        how === 'in chunks' ? { 'transfer-encoding': 'chunked' } : { 'content-length': 5_000_000 },
      )
      sent.write(new Uint8Array(1_000_000))
      await until(async () => (await spooled()).length === 1)
      sent.destroy()
      await until(async () => (await spooled()).length === 0)
      expect(calls).toBe(0)
      expect((await fetch(`${server.url}/livez`)).status).toBe(200)
    },
  )

  it('whose end is near is told of before it is there; that may fail, or the body be cut, and nothing else does', async () => {
    const arrivals: HubArrival[] = []
    server.hub.route(
      { methods: ['POST'], path: '/soon/:id', body: 'text', bodyBytesMax: 1_000_000, arrivingMs: 60_000 },
      (request, reply) => reply.send(200, { bytes: String(request.body).length, arrivals: arrivals.length }),
      (arrival) => {
        arrivals.push(arrival)
        if (arrivals.length === 1) throw new Error('not ready')
      },
    )
    const totalBytes = 100_000
    const sendUntilTold = async () => {
      const request = open('/soon/7?q=1', { 'content-length': totalBytes, 'x-name': 'film' })
      const before = arrivals.length
      let sentBytes = 90_000
      request.sent.write('a'.repeat(sentBytes))
      await until(() => {
        if (arrivals.length > before) return true
        sentBytes += 1
        request.sent.write('a')
        return false
      })
      return { ...request, rest: 'a'.repeat(totalBytes - sentBytes) }
    }

    const whole = await sendUntilTold()
    expect(arrivals[0]).toMatchObject({ method: 'POST', path: '/soon/7', params: { id: '7' }, query: { q: '1' } })
    expect(arrivals[0]).toMatchObject({ totalBytes, headers: { 'x-name': 'film' } })
    expect(arrivals[0]?.receivedBytes).toBeGreaterThan(90_000)
    whole.sent.end(whole.rest)
    const answer = await whole.answered
    expect(JSON.parse(Buffer.concat(await answer.toArray()).toString())).toEqual({ bytes: totalBytes, arrivals: 1 })

    const cut = await sendUntilTold()
    cut.sent.destroy()
    const chunked = open('/soon/7', { 'transfer-encoding': 'chunked' })
    chunked.sent.end('without a length')
    expect(JSON.parse(Buffer.concat(await (await chunked.answered).toArray()).toString())).toEqual({
      bytes: 16,
      arrivals: 2,
    })
  })

  it('without a folder fails alone and says why in the log: the next one has a place again, and the server closes as ever', async () => {
    await server.close()
    const parent = join(folder, 'later')
    await writeFile(parent, 'no folder can be made here')
    const said: unknown[] = []
    const log: Log = { write: (...line) => void said.push(line) }
    server = await createServer({ port: 0, temporaryDirectory: parent, log })
    route(upload, (_request, reply) => reply.send(200, {}))
    const put = async (): Promise<number> => (await fetch(`${server.url}/up`, { method: 'POST', body: 'film' })).status
    expect(await post('/up', 'film')).toMatchObject({ status: 507, body: { error: { code: 'spool.unwritable' } } })
    const cause = { error: expect.stringMatching(/ENOTDIR|EEXIST/) }
    expect(said).toStrictEqual([['error', expect.stringMatching(/upload could not be written.*TMPDIR/), cause]])
    await server.close()
    server = await createServer({ port: 0, temporaryDirectory: parent })
    route(upload, (_request, reply) => reply.send(200, {}))
    expect(await put()).toBe(507)
    await rm(parent)
    expect(await put()).toBe(200)
  })

  it('that announces too much is refused before a byte of it is taken, with and without Expect', async () => {
    route(upload, () => {})
    const announced: Record<string, string | number> = { 'content-length': 20_000_000 }
    for (const headers of [announced, { ...announced, expect: '100-continue' }]) {
      const { sent, answered } = open('/up', headers)
      let continued = false
      sent.on('continue', () => {
        continued = true
      })
      sent.flushHeaders()
      expect((await answered).statusCode).toBe(413)
      expect(continued).toBe(false)
      sent.destroy()
    }
    expect(await spooled()).toStrictEqual([])
  })

  it('that waits for 100-continue is told to go on, and taken', async () => {
    route(upload, (request, reply) => reply.send(200, request.body))
    const { sent, answered } = open('/up', { 'content-length': 5, expect: '100-continue' })
    sent.on('continue', () => sent.end('hello'))
    sent.flushHeaders()
    expect((await answered).statusCode).toBe(200)
  })

  it('that turns out too large is refused in the middle and leaves no file', async () => {
    route({ ...upload, bodyBytesMax: 100_000 }, () => {})
    const { sent, answered } = open('/up', { 'transfer-encoding': 'chunked' })
    for (let n = 0; n < 4; n++) sent.write(new Uint8Array(50_000))
    expect((await answered).statusCode).toBe(413)
    await until(async () => (await spooled()).length === 0)
    sent.destroy()
  })

  it('that stands still is given up', async () => {
    await restart({ bodyIdleMsMax: 50 })
    route(upload, () => {})
    const { sent, answered } = open('/up', { 'content-length': 1000 })
    sent.write('some')
    expect((await answered).statusCode).toBe(408)
    await until(async () => (await spooled()).length === 0)
    sent.destroy()
  })

  it('finds no room when all uploads together hold too much', async () => {
    await restart({ spoolBytesMax: 1_000_000 })
    route(upload, (_request, reply) => reply.send(200, 'ok'))
    const response = await fetch(`${server.url}/up`, { method: 'POST', body: new Uint8Array(2_000_000) })
    expect(response.status).toBe(507)
    expect((await fetch(`${server.url}/up`, { method: 'POST', body: new Uint8Array(900_000) })).status).toBe(200)
  })

  it('of a server that was killed is removed by the next one; those of living servers and other machines stay', async () => {
    for (const [name, owner] of [
      ['dead', { pid: 2 ** 22 + 1, host: hostname() }],
      ['alive', { pid: process.ppid, host: hostname() }],
      ['elsewhere', { pid: 2 ** 22 + 1, host: 'another-machine' }],
      // As in a container, where each server has the number of the one before.
      ['same-number', { pid: process.pid, host: hostname(), started: '1' }],
      ['unknown-start', { pid: process.pid, host: hostname(), started: null }],
    ] as const) {
      await mkdir(join(folder, `millrace-spool-${name}`))
      await writeFile(join(folder, `millrace-spool-${name}`, 'owner.json'), JSON.stringify(owner))
      await writeFile(join(folder, `millrace-spool-${name}`, 'left'), 'x')
    }
    await restart({})
    const left = async (): Promise<readonly string[]> => (await readdir(folder)).sort()
    // The last one in the list that goes; without /proc nobody knows when a process started, and it stays.
    const last = existsSync('/proc/self/stat') ? 'same-number' : 'dead'
    await until(async () => !(await left()).includes(`millrace-spool-${last}`))
    await until(async () => !(await left()).includes('millrace-spool-dead'))
    const others = (await left()).filter((name) => name !== 'millrace-spool-same-number')
    expect(others).toStrictEqual(['alive', 'elsewhere', 'unknown-start'].map((name) => `millrace-spool-${name}`))
  })
})

describe('a streamed answer', () => {
  it('comes piece by piece, as it is written, bytes as base64', async () => {
    let next = (): void => {}
    route({}, async (_request, reply) => {
      reply.begin(200, 'ndjson')
      for (let n = 0; n < 3; n++) {
        await reply.write({ n, data: Buffer.from([n]) })
        await new Promise<void>((resolve) => {
          next = resolve
        })
      }
      reply.end()
    })
    const response = await fetch(`${server.url}/in`, { method: 'POST' })
    const lines: unknown[] = []
    for await (const chunk of response.body ?? []) {
      lines.push(JSON.parse(Buffer.from(chunk).toString()))
      next()
    }
    expect(lines).toStrictEqual([
      { n: 0, data: 'AA==' },
      { n: 1, data: 'AQ==' },
      { n: 2, data: 'Ag==' },
    ])
  })

  it('as server-sent events names its events on one line', async () => {
    route({}, async (_request, reply) => {
      reply.begin(200, 'sse')
      await reply.write({ a: 1 }, 'tick\ndata: evil')
      await reply.write('two')
      reply.end()
    })
    const response = await fetch(`${server.url}/in`, { method: 'POST' })
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(await response.text()).toBe('event: tick data: evil\ndata: {"a":1}\n\ndata: "two"\n\n')
  })

  it('waits for a reader that reads slowly', async () => {
    let written = 0
    let failed: unknown = null
    route({}, async (_request, reply) => {
      reply.begin(200, 'ndjson')
      const value = 'x'.repeat(100_000)
      for (; written < 1000; written++) await reply.write(value)
      reply.end()
    })
    const socket = connectTcp(server.port, '127.0.0.1')
    socket.on('error', (thrown) => {
      failed = thrown
    })
    socket.pause()
    socket.write('POST /in HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n')
    let before = -1
    await until(async () => {
      if (written === before && written > 0) return true
      before = written
      await new Promise((resolve) => setTimeout(resolve, 100))
      return false
    })
    // 100 MB were to be written; what is on its way fits into the buffers of two sockets.
    expect(written).toBeLessThan(200)
    let received = 0
    socket.on('data', (chunk) => {
      received += chunk.byteLength
    })
    socket.resume()
    await until(() => written === 1000 && received > 100_000_000, 20_000)
    socket.destroy()
    expect(failed).toBeNull()
  })

  it('ends, with its signal aborted and its writer told, when the client vanishes', async () => {
    const events: string[] = []
    route({}, async (request, reply) => {
      reply.onEnd(() => events.push('end'))
      request.signal.addEventListener('abort', () => events.push('abort'))
      reply.begin(200, 'ndjson')
      try {
        for (;;) await reply.write('x'.repeat(10_000))
      } catch (thrown) {
        events.push(thrown instanceof NodeError ? thrown.code : 'something else')
      }
    })
    const abort = new AbortController()
    const response = await fetch(`${server.url}/in`, { method: 'POST', signal: abort.signal })
    await response.body?.getReader().read()
    abort.abort()
    await until(() => events.length === 3)
    expect(events.sort()).toStrictEqual(['abort', 'end', 'reply.client-gone'])
  })

  it('is cut when its reader takes nothing for too long', async () => {
    await restart({ stallMsMax: 100 })
    let code = ''
    route({}, async (_request, reply) => {
      reply.begin(200, 'ndjson')
      try {
        for (;;) await reply.write('x'.repeat(100_000))
      } catch (thrown) {
        code = thrown instanceof NodeError ? thrown.code : String(thrown)
      }
    })
    const socket = connectTcp(server.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.pause()
    socket.write('POST /in HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n')
    await until(() => code !== '')
    socket.destroy()
    expect(code).toBe('reply.client-gone')
  })

  it('does not pile up for a writer that never waits', async () => {
    await restart({ replyBufferBytesMax: 1_000_000 })
    const codes: string[] = []
    route({}, (_request, reply) => {
      reply.begin(200, 'ndjson')
      for (let n = 0; n < 100; n++)
        reply
          .write('x'.repeat(100_000))
          .catch((thrown: unknown) => codes.push(thrown instanceof NodeError ? thrown.code : ''))
    })
    const abort = new AbortController()
    await fetch(`${server.url}/in`, { method: 'POST', signal: abort.signal })
    await until(() => codes.length >= 80)
    abort.abort()
    expect(new Set(codes)).toContain('reply.overrun')
  })
})
