import { once } from 'node:events'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { message } from '../../core/flow/message.ts'
import type { DeadLetter } from '../../core/host.ts'
import type { RealFlow } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'
import { guardedLookup, isForbidden } from './forbidden-addresses.ts'

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

/** A server on a free port of this machine; answers its address. */
async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A server that answers a connection's first bytes with these, and then as `then` says. */
async function serveBytes(bytes: string, then: 'end' | 'reset' | 'hang'): Promise<string> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined)
    closers.push(() => socket.destroy())
    socket.once('data', () => {
      socket.write(bytes, () => {
        if (then === 'end') socket.end()
        else if (then === 'reset') socket.resetAndDestroy()
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

interface Extra {
  readonly node?: Readonly<Record<string, unknown>>
  readonly env?: Readonly<Record<string, string>>
  readonly settings?: Readonly<Record<string, unknown>>
}

function start(config: Readonly<Record<string, unknown>>, input: readonly unknown[], extra: Extra): Promise<RealFlow> {
  return realFlow(
    {
      millrace: 1,
      name: 't',
      settings: extra.settings ?? {},
      nodes: {
        in: { type: 'manual@1' },
        ask: { type: 'http.request@1', config, ...extra.node },
        out: { type: 'test.keep@1' },
      },
      edges: ['in -> ask', 'ask -> out'],
    },
    {
      host: { env: extra.env ?? {} },
      start: { entry: 'in', input: input.map((value) => message(value, null, 0, null)) },
    },
  )
}

async function ask(
  config: Readonly<Record<string, unknown>>,
  input: readonly unknown[] = [{}],
  extra: Extra = {},
): Promise<{ kept: unknown[]; failures: DeadLetter['failure'][] }> {
  const run = await start(config, input, extra)
  const { outcome, faults } = await run.finish()
  expect([outcome.state, faults]).toEqual(['done', []])
  return { kept: run.kept, failures: run.deadLetters.map((letter) => letter.failure) }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of request) pieces.push(piece)
  return Buffer.concat(pieces).toString('utf8')
}

/** Answers with what was asked. */
async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url, headers } = request
  const body = await bodyOf(request)
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ method, url, headers, body }))
}

describe('requests', () => {
  test('method, query, headers and body by expression', async () => {
    const url = await serve(echo)
    const config = {
      url: `${url}/a/{{ $json.id }}?x=1`,
      method: '{{ $json.method }}',
      query: { tag: '{{ $json.tags }}', none: '{{ null }}', q: 'a b&c' },
      headers: { 'X-Token': 'Bearer {{ $env.TOKEN }}' },
      body: '{{ { id: $json.id } }}',
      output: 'body',
    }
    const input = [{ id: 7, method: 'POST', tags: ['t1', 't2'] }]
    const { kept, failures } = await ask(config, input, { env: { TOKEN: 'sesame' } })
    expect(failures).toEqual([])
    expect(kept).toMatchObject([
      {
        method: 'POST',
        url: '/a/7?x=1&tag=t1&tag=t2&q=a+b%26c',
        headers: { 'x-token': 'Bearer sesame', 'content-type': 'application/json', 'content-length': '8' },
        body: '{"id":7}',
      },
    ])
  })

  test.each([
    ['form', '{{ { a: 1, b: ["x y", "z"] } }}', 'application/x-www-form-urlencoded', 'a=1&b=x+y&b=z'],
    ['text', 'hé', 'text/plain; charset=utf-8', 'hé'],
    ['json', '{{ $json }}', 'application/json', '{"v":[1]}'],
  ])('a body as %s', async (send, body, type, expected) => {
    const url = await serve(echo)
    const { kept } = await ask({ url, method: 'PUT', send, body, output: 'body' }, [{ v: [1] }])
    expect(kept).toMatchObject([{ body: expected, headers: { 'content-type': type } }])
  })

  test('bytes in a body of JSON or a form are base64', async () => {
    const url = await serve(echo)
    const input = [{ v: Buffer.from('abc') }]
    const config = { url, method: 'POST', body: '{{ $json }}', output: 'body' }
    expect((await ask(config, input)).kept).toMatchObject([{ body: '{"v":"YWJj"}' }])
    expect((await ask({ ...config, send: 'form' }, input)).kept).toMatchObject([{ body: 'v=YWJj' }])
  })

  test('the answer with status and headers; its body by its content type', async () => {
    const url = await serve((request, response) => {
      const bodies: Readonly<Record<string, readonly [string, string | Uint8Array]>> = {
        '/json': ['application/problem+json; charset=utf-8', '{"a":1}'],
        '/text': ['text/html', '<p>'],
        '/latin': ['text/plain; charset=iso-8859-1', new Uint8Array([0xe4])],
        '/bytes': ['image/png', new Uint8Array([1, 2])],
        '/none': ['application/json', ''],
      }
      const [type, body] = bodies[request.url ?? ''] ?? ['', '']
      response.setHeader('content-type', type)
      response.end(body)
    })
    const paths = ['json', 'text', 'latin', 'bytes', 'none']
    const { kept } = await ask({ url: `${url}/{{ $json }}`, output: 'body' }, paths)
    expect(kept.map((each) => (each instanceof Uint8Array ? [...each] : each))).toEqual([
      { a: 1 },
      '<p>',
      'ä',
      [1, 2],
      null,
    ])
    const { kept: whole } = await ask({ url: `${url}/json` }, [{ id: 1 }], { node: { into: 'answer' } })
    expect(whole).toMatchObject([
      { id: 1, answer: { status: 200, headers: { 'content-length': '7' }, body: { a: 1 } } },
    ])
  })

  test('repeated headers are joined, except cookies, which are a list', async () => {
    const url = await serve((request, response) => {
      const cookies = request.url === '/one' ? ['a=1'] : ['a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT', 'b=2']
      response.setHeader('set-cookie', cookies).setHeader('x-tag', ['t1', 't2']).end()
    })
    const { kept } = await ask({ url: `${url}/{{ $json }}` }, ['one', 'two'])
    expect(kept).toMatchObject([
      { headers: { 'set-cookie': ['a=1'], 'x-tag': 't1, t2' } },
      { headers: { 'set-cookie': ['a=1; Expires=Thu, 01 Jan 2026 00:00:00 GMT', 'b=2'] } },
    ])
  })

  test.each([200, 204, 304])('an answer of %i with an encoding and no body is whole', async (status) => {
    const url = await serve((request, response) => {
      response.writeHead(status, { 'content-encoding': request.url?.slice(1) }).end()
    })
    const { kept, failures } = await ask({ url: `${url}/{{ $json }}` }, ['gzip', 'deflate', 'br', 'zstd'])
    expect([kept.length, failures]).toEqual([4, []])
  })

  test('a redirect to a place that is not percent-encoded', async () => {
    const url = await serve((request, response) => {
      if (request.url !== '/') void echo(request, response)
      else response.writeHead(302, { location: Buffer.from('/straße?q=ä').toString('latin1') }).end()
    })
    expect((await ask({ url, output: 'body' })).kept).toMatchObject([{ url: '/stra%C3%9Fe?q=%C3%A4' }])
  })

  test('a user in the URL whose % stands for nothing is told, without what it holds', async () => {
    const { failures } = await ask({ url: 'http://user:100%@127.0.0.1:1/' })
    expect(failures).toMatchObject([{ code: 'http.bad-url', retriable: false }])
    expect(failures[0]?.message).toMatch(/^the user or password in the url has a % .* %25$/)
  })

  test('packed answers are unpacked', async () => {
    const url = await serve((request, response) => {
      const gzip = request.url === '/gzip'
      response.setHeader('content-encoding', gzip ? 'gzip' : 'zstd')
      response.end(gzip ? gzipSync('"g"') : zstdCompressSync('"z"'))
    })
    expect((await ask({ url: `${url}/{{ $json }}`, receive: 'json', output: 'body' }, ['gzip', 'zstd'])).kept).toEqual([
      'g',
      'z',
    ])
  })

  test('deflate is unpacked with its header and without, however it is cut, and a cut one is an error', async () => {
    const long = JSON.stringify(Array.from({ length: 20_000 }, (_, n) => n * n))
    const url = await serve((request, response) => {
      const [, kind, level = '6'] = request.url?.split('/') ?? []
      const pack = kind === 'raw' ? deflateRawSync : deflateSync
      const bytes = pack(long, { level: Number(level) })
      response.writeHead(200, { 'content-encoding': 'deflate', 'content-type': 'application/json' })
      if (kind === 'broken') return void response.write(bytes.subarray(0, 1_000), () => response.destroy())
      if (kind === 'none') return void response.write('', () => response.destroy())
      response.write(bytes.subarray(0, 1))
      response.write(bytes.subarray(1, 9_000))
      response.end(bytes.subarray(9_000))
    })
    const paths = ['raw/6', 'zlib/6', 'raw/0', 'zlib/0', 'raw/1', 'zlib/9', 'broken', 'none']
    const { kept, failures } = await ask({ url: `${url}/{{ $json }}`, output: 'body' }, paths)
    expect(kept.map((each) => JSON.stringify(each) === long)).toEqual(Array.from({ length: 6 }, () => true))
    expect(failures.map((each) => each.code)).toEqual(['http.cut', 'http.cut'])
  })

  test('answers leave in the order of their messages, and no more are asked at once than allowed', async () => {
    let open = 0
    let most = 0
    const held: (() => void)[] = []
    const url = await serve((request, response) => {
      most = Math.max(most, ++open)
      held.push(() => {
        open -= 1
        response.end(request.url?.slice(1))
      })
      if (open === 3 || held.length > 9) for (const answer of held.splice(0).reverse()) answer()
    })
    const numbers = Array.from({ length: 12 }, (_, n) => String(n))
    const { kept } = await ask({ url: `${url}/{{ $json }}`, concurrency: 3, output: 'body' }, numbers)
    expect(kept).toEqual(numbers)
    expect(most).toBe(3)
  })

  test('connections are used again', async () => {
    const ports = new Set<number | undefined>()
    const url = await serve((request, response) => {
      ports.add(request.socket.remotePort)
      response.end()
    })
    await ask({ url, concurrency: 2 }, Array.from({ length: 20 }))
    expect(ports.size).toBeLessThanOrEqual(2)
  })
})

describe('errors', () => {
  test('statuses: code, retriable or not; none when the document wants to see them', async () => {
    const url = await serve((request, response) => {
      response.statusCode = Number(request.url?.slice(1))
      response.end('{}')
    })
    const statuses = [400, 401, 404, 408, 425, 429, 500, 503]
    const { failures } = await ask({ url: `${url}/{{ $json }}` }, statuses)
    expect(failures.map((each) => [each.code, each.message, each.retriable])).toEqual(
      statuses.map((status) => [
        'http.status',
        `GET ${url}/${status} answered ${status}`,
        status >= 500 || [408, 425, 429].includes(status),
      ]),
    )
    const { kept } = await ask({ url: `${url}/{{ $json }}`, failFromStatus: 600 }, statuses)
    expect(kept).toMatchObject(statuses.map((status) => ({ status })))
  })

  test('429 with Retry-After is waited for, then a retry succeeds', async () => {
    const times: number[] = []
    const url = await serve((_request, response) => {
      times.push(performance.now())
      if (times.length === 1) {
        response.statusCode = 429
        response.setHeader('retry-after', '1')
      }
      response.end('"ok"')
    })
    const onError = { retry: { attemptsMax: 3, backoffMs: 1 } }
    const { kept, failures } = await ask({ url, receive: 'json', output: 'body' }, [{}], { node: { onError } })
    expect([kept, failures]).toEqual([['ok'], []])
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(900)
  })

  test('Retry-After beyond the limit is cut to it', async () => {
    let asked = 0
    const url = await serve((_request, response) => {
      response.statusCode = ++asked === 1 ? 503 : 200
      response.setHeader('retry-after', 'Fri, 01 Jan 2100 00:00:00 GMT')
      response.end()
    })
    const onError = { retry: { attemptsMax: 1, backoffMs: 1 } }
    expect((await ask({ url, retryAfterMsMax: 20 }, [{}], { node: { onError } })).kept).toMatchObject([{ status: 200 }])
  })

  test('a server that hangs: before the answer, in its headers, in its body', async () => {
    const urls = [
      await serve(() => undefined),
      await serveBytes('HTTP/1.1 200 OK\r\ncontent-le', 'hang'),
      await serveBytes('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc', 'hang'),
    ]
    const { failures } = await ask({ url: '{{ $json }}', timeoutMs: 100 }, urls)
    expect(failures).toMatchObject(
      urls.map((url) => ({ code: 'http.timeout', message: `GET ${url}/ took longer than 100 ms`, retriable: true })),
    )
  })

  test('a server that cuts half-way, or talks nonsense', async () => {
    const head = 'HTTP/1.1 200 OK\r\n'
    const urls = [
      await serveBytes(`${head}content-length: 10\r\n\r\nabc`, 'end'),
      await serveBytes(`${head}content-length: 10\r\n\r\nabc`, 'reset'),
      await serveBytes(`${head}transfer-encoding: chunked\r\n\r\n5\r\nab`, 'end'),
      await serveBytes('', 'end'),
      await serveBytes('220 mail.example.com ESMTP\r\n', 'end'),
      await serveBytes(`${head}x: ${'y'.repeat(100_000)}\r\n\r\n`, 'end'),
      await serveBytes(`${head}content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc`, 'end'),
    ]
    const { failures } = await ask({ url: '{{ $json }}' }, urls)
    expect(failures.map((each) => each.code)).toEqual([
      'http.cut',
      'http.cut',
      'http.cut',
      'http.cut',
      'http.failed',
      'http.failed',
      'http.bad-encoding',
    ])
  })

  test('nobody there, no such host, not an address', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const free = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.close()
    await once(server, 'close')
    const { failures } = await ask({ url: '{{ $json }}' }, [
      free,
      'http://name.invalid/',
      'file:///etc/passwd',
      '/x',
      7,
    ])
    expect(failures.map((each) => each.code).sort()).toEqual(
      ['http.refused', 'http.no-name', 'http.bad-url', 'http.bad-url', 'http.bad-url'].sort(),
    )
  })

  test('an answer over the limit: announced, streamed without end, or packed small', async () => {
    let sent = 0
    const url = await serve((request, response) => {
      response.on('error', () => undefined)
      if (request.url === '/announced') response.setHeader('content-length', '1000000')
      if (request.url === '/packed') {
        response.setHeader('content-encoding', 'gzip')
        response.end(gzipSync(Buffer.alloc(5_000_000)))
        return
      }
      const piece = Buffer.alloc(10_000)
      const more = (): void => {
        while (!response.destroyed && response.write(piece)) sent += piece.length
        if (!response.destroyed) response.once('drain', more)
      }
      more()
    })
    const { failures } = await ask({ url: `${url}/{{ $json }}`, responseBytesMax: 100_000, concurrency: 1 }, [
      'announced',
      'endless',
      'packed',
    ])
    expect(failures.map((each) => each.message)).toEqual(
      ['announced', 'endless', 'packed'].map((path) => `GET ${url}/${path} answered more than 100000 bytes`),
    )
    expect(sent).toBeLessThan(50_000_000)
  })

  test('a body over the limit is not sent, one that does not fit is refused', async () => {
    const url = await serve(echo)
    const large = await ask({ url, method: 'POST', body: '{{ $json }}', requestBytesMax: 10 }, ['x'.repeat(20)])
    expect(large.failures).toMatchObject([{ code: 'http.body-too-large' }])
    const wrong = await ask({ url, method: 'POST', send: 'form', body: '{{ $json }}' }, ['x'])
    expect(wrong.failures).toMatchObject([
      { code: 'http.bad-body', message: 'the body of a form is string, not an object' },
    ])
    const json = await ask({ url: await serve((_request, response) => void response.end('<html>')), receive: 'json' })
    expect(json.failures).toMatchObject([{ code: 'http.bad-json', retriable: false }])
  })

  test('secrets in headers, address and query stay out of errors', async () => {
    const url = (await serve((_request, response) => void response.writeHead(500).end())).replace(
      'http://',
      'http://user:pass-sesame@',
    )
    const config = { url: `${url}/?key=sesame`, query: { token: 'sesame' }, headers: { authorization: '{{ $json }}' } }
    const { failures } = await ask(config, ['Bearer sesame', 'sesame\r\nx: y', { sesame: 1 }])
    expect(failures.map((each) => each.code).sort()).toEqual(['http.bad-header', 'http.bad-header', 'http.status'])
    expect(JSON.stringify(failures)).not.toContain('sesame')
  })
})

describe('redirects', () => {
  test('are followed, with the methods that browsers use', async () => {
    const url = await serve((request, response) => {
      const status = Number(request.url?.slice(1))
      if (Number.isNaN(status)) void echo(request, response)
      else response.writeHead(status, { location: '/end?x' }).end()
    })
    const config = { url: `${url}/{{ $json }}`, method: 'POST', body: '{{ 1 }}', output: 'body' }
    const { kept } = await ask(config, [301, 302, 303, 307, 308])
    expect(kept).toMatchObject([
      { method: 'GET', body: '', url: '/end?x' },
      { method: 'GET', body: '' },
      { method: 'GET', body: '' },
      { method: 'POST', body: '1' },
      { method: 'POST', body: '1' },
    ])
  })

  test('secrets do not follow to another origin', async () => {
    const other = await serve(echo)
    const url = await serve((_request, response) => void response.writeHead(307, { location: other }).end())
    const headers = { authorization: 'a', cookie: 'b', 'x-api-key': 'c', accept: 'text/x' }
    const { kept } = await ask({ url, headers, output: 'body' })
    expect(Object.keys((kept[0] as { headers: object }).headers)).not.toEqual(expect.arrayContaining(['authorization']))
    expect(JSON.stringify(kept)).not.toMatch(/authorization|cookie|x-api-key/)
    expect(kept).toMatchObject([{ headers: { accept: 'text/x' } }])
  })

  test('loops end; none are followed when so asked; some places are refused', async () => {
    let count = 0
    const url = await serve((request, response) => {
      count += 1
      const places: Readonly<Record<string, string>> = {
        '/file': 'file:///etc/passwd',
        '/meta': 'http://169.254.169.254/latest',
      }
      response.writeHead(302, { location: places[request.url ?? ''] ?? '/' }).end()
    })
    expect((await ask({ url, redirectsMax: 3 })).failures).toMatchObject([
      { code: 'http.too-many-redirects', retriable: false },
    ])
    expect(count).toBe(4)
    expect((await ask({ url, redirectsMax: 0 })).kept).toMatchObject([{ status: 302, headers: { location: '/' } }])
    expect((await ask({ url: `${url}/file` })).failures).toMatchObject([{ code: 'http.bad-redirect' }])
    expect((await ask({ url: `${url}/meta` })).failures).toMatchObject([{ code: 'http.forbidden-address' }])
  })
})

describe('addresses that give out credentials', () => {
  test.each([
    '169.254.169.254',
    '0xa9fea9fe',
    '2852039166',
    '0251.0376.0251.0376',
    '[fd00:ec2::254]',
    '[::ffff:169.254.169.254]',
    '[fe80::1]',
    '[64:ff9b::a9fe:a9fe]',
  ])('%s is refused', async (host) => {
    const { failures } = await ask({ url: `http://${host}/latest/meta-data` })
    expect(failures).toMatchObject([{ code: 'http.forbidden-address', retriable: false }])
  })

  test('a name that leads to one is refused when it is looked up; other names are found', async () => {
    const found = (name: string): Promise<string> =>
      new Promise((resolve) => guardedLookup(name, {}, (error, address) => resolve(error?.message ?? String(address))))
    expect(await found('169.254.169.254')).toMatch(/are refused/)
    expect(['127.0.0.1', '::1']).toContain(await found('localhost'))
    const url = await serve(echo)
    expect((await ask({ url: url.replace('127.0.0.1', 'localhost') })).kept).toMatchObject([{ status: 200 }])
  })

  test('this machine and private networks are not', () => {
    expect(['127.0.0.1', '::1', '10.0.0.1', '192.168.1.1', 'fd12::1', '169.253.1.1'].filter(isForbidden)).toEqual([])
  })
})

test('a kill cuts requests under way', async () => {
  let closed = 0
  let asked = (): void => undefined
  const all = new Promise<void>((resolve) => {
    asked = resolve
  })
  let gone = (): void => undefined
  const allGone = new Promise<void>((resolve) => {
    gone = resolve
  })
  let open = 0
  const url = await serve((_request, response) => {
    response.on('close', () => {
      if (++closed === 3) gone()
    })
    if (++open === 3) asked()
  })
  const run = await start({ url }, [1, 2, 3], {})
  await all
  void run.execution.kill('enough')
  const { outcome, faults } = await run.finish()
  await allGone
  expect([outcome.state, faults, closed]).toEqual(['stopped', [], 3])
})
