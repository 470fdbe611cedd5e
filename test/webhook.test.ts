import { existsSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import { compile } from '../core/compile/compile.ts'
import { planText } from '../core/document/plan-text.ts'
import type { Pipeline } from '../core/pipeline.ts'
import { catalogue } from '../nodes.ts'
import type { MillraceServer } from '../server/create-server.ts'
import { createServer } from '../server/create-server.ts'
import { createHost } from '../server/host.ts'

const open: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

/** A real server with one workflow on it. */
async function serving(
  nodes: string,
  edges: string,
  settings = '',
): Promise<{ readonly server: MillraceServer; readonly pipeline: Pipeline; readonly letters: unknown[] }> {
  const planned = planText(
    `millrace: 1\nname: hooked\nsettings: { ${settings} }\nnodes:\n${nodes}\nedges: [${edges}]\n`,
    catalogue,
  )
  const server = await createServer({ port: 0 })
  open.push(() => server.close())
  const letters: unknown[] = []
  const host = createHost({
    log: { write: () => undefined },
    deadLetter: async (each) => void letters.push(...each),
    hub: server.hub,
    topics: server.topics,
  })
  const pipeline = compile(planned, catalogue, host)
  await server.deploy('hooked', pipeline)
  return { server, pipeline, letters }
}

const post = (url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(url, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  })

describe('a webhook', () => {
  test('answers 202 with the execution, which then runs', async () => {
    const { server, pipeline } = await serving(
      '  hook: { type: webhook@1, config: { path: "/orders/:id" } }\n  a: { type: set@1, config: { fields: { id: "{{ $json.params.id }}", q: "{{ $request.query.q }}" } } }',
      'hook -> a',
    )
    const seen: unknown[] = []
    pipeline.tap('a', 'out', (messages) => void seen.push(...messages.map((each) => each.value)))
    const response = await post(`${server.url}/orders/7?q=x&q=y`, {})
    expect(response.status).toBe(202)
    expect(await response.json()).toEqual({ execution: expect.any(String) })
    await expect.poll(() => seen).toEqual([{ id: '7', q: ['x', 'y'] }])
  })

  test('is answered by a respond node: status, headers and body', async () => {
    const { server } = await serving(
      '  hook: { type: webhook@1, config: { path: /double, respond: node } }\n  a: { type: respond@1, config: { status: 201, headers: { x-kind: double }, body: "{{ { twice: $json.body.n * 2 } }}" } }',
      'hook -> a',
    )
    const response = await post(`${server.url}/double`, { n: 21 })
    expect([response.status, response.headers.get('x-kind'), await response.json()]).toEqual([
      201,
      'double',
      { twice: 42 },
    ])
  })

  test('a header of the answer may be an expression, and one that cannot be sent fails', async () => {
    const { server } = await serving(
      '  hook: { type: webhook@1, config: { path: /x, respond: node } }\n  a: { type: respond@1, config: { headers: { location: "/orders/{{ $json.body.id }}", x-n: "{{ $json.body.n }}" } } }',
      'hook -> a',
    )
    const response = await post(`${server.url}/x`, { id: 'o7', n: 3 })
    expect([response.headers.get('location'), response.headers.get('x-n')]).toEqual(['/orders/o7', '3'])
    const broken = await post(`${server.url}/x`, { id: 'o7', n: 'a\r\nset-cookie: b=1' })
    expect([broken.status, broken.headers.get('set-cookie')]).toEqual([500, null])
    expect(await broken.json()).toMatchObject({ error: { code: 'respond.bad-header' } })
  })

  test('a header that is a list stands in the answer several times', async () => {
    const hook = '  hook: { type: webhook@1, config: { path: /x, respond: node } }\n  a: '
    const { server } = await serving(
      `${hook}{ type: respond@1, config: { headers: { set-cookie: ["id={{ $json.body.id }}; HttpOnly", "b=2, 3"], link: "{{ $json.body.links }}", etag: "{{ $json.body.tag }}" } } }`,
      'hook -> a',
    )
    const answer = await post(`${server.url}/x`, { id: 7, links: ['<a>', '<b>'], tag: 'one' })
    expect(answer.headers.getSetCookie()).toEqual(['id=7; HttpOnly', 'b=2, 3'])
    expect([answer.headers.get('link'), answer.headers.get('etag')]).toEqual(['<a>, <b>', 'one'])
    expect((await post(`${server.url}/x`, { id: 7, links: [], tag: 'one' })).headers.get('link')).toBe(null)
    for (const wrong of [
      { id: 7, links: [], tag: ['a', 'b'] },
      { id: 7, links: ['a', null], tag: 'x' },
      { id: 7, links: ['a\r\nb: c'], tag: 'x' },
      { id: 7, links: Array.from({ length: 51 }, () => 'a'), tag: 'x' },
    ]) {
      const refused = await post(`${server.url}/x`, wrong)
      expect([refused.status, await refused.json()]).toMatchObject([500, { error: { code: 'respond.bad-header' } }])
    }
    const bad = (headers: string): Promise<unknown> =>
      serving(`${hook}{ type: respond@1, config: { headers: ${headers} } }`, 'hook -> a')
    await expect(bad('{ location: [/a, /b] }')).rejects.toThrow('an answer has the header location only once')
    await expect(bad('{ x-a: 5 }')).rejects.toThrow('config.headers.x-a is 5: allowed are text')
  })

  test('streams: lines to most, events to those who accept them', async () => {
    const { server } = await serving(
      '  hook: { type: webhook@1, config: { path: /list, respond: node } }\n  each: { type: split@1, config: { list: "{{ $json.body }}" } }\n  a: { type: respond@1, config: { mode: auto } }',
      'hook -> each, each -> a',
    )
    const lines = await post(`${server.url}/list`, [1, { b: 2 }])
    expect(lines.headers.get('content-type')).toContain('ndjson')
    expect(await lines.text()).toBe('1\n{"b":2}\n')
    const events = await post(`${server.url}/list`, [1, 2], { accept: 'text/event-stream' })
    expect(events.headers.get('content-type')).toContain('event-stream')
    expect(await events.text()).toMatch(/data: 1\n\n[\s\S]*data: 2\n\n/)
  })

  test('a stream that lacks a piece, since it lies in the dead-letter, says so at its end', async () => {
    const { server, letters } = await serving(
      '  hook: { type: webhook@1, config: { path: /names, respond: node } }\n  each: { type: split@1, config: { list: "{{ $json.body }}" } }\n  up: { type: set@1, config: { fields: { name: "{{ $json.name.toUpperCase() }}" } } }\n  a: { type: respond@1, config: { mode: auto } }',
      'hook -> each, each -> up, up -> a',
    )
    const rows = [{ name: 'a' }, {}, { name: 'c' }]
    const error = '{"error":{"code":"node.type-error","message":"a part of the request could not be worked on"}}'
    const lines = await post(`${server.url}/names`, rows)
    expect([lines.status, await lines.text()]).toEqual([200, `{"name":"A"}\n{"name":"C"}\n${error}\n`])
    const events = await post(`${server.url}/names`, rows, { accept: 'text/event-stream' })
    expect(await events.text()).toContain(`event: error\ndata: ${error}\n\n`)
    expect(letters).toHaveLength(2)
  })

  test('a stream that is far larger than what may wait for a reader comes whole, at the pace of its reader', async () => {
    const { server, letters } = await serving(
      '  hook: { type: webhook@1, config: { path: /large, respond: node } }\n  each: { type: split@1, config: { list: "{{ $json.body }}" } }\n  fill: { type: set@1, config: { fields: { n: "{{ $json }}", fill: "{{ \'x\'.repeat(100000) }}" } } }\n  a: { type: respond@1, config: { mode: ndjson } }',
      'hook -> each, each -> fill, fill -> a',
    )
    const numbers = Array.from({ length: 400 }, (_, n) => n)
    const lines = (await (await post(`${server.url}/large`, numbers)).text()).trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).n)).toEqual(numbers)
    expect(letters).toEqual([])
  })

  test('with arrivingMs tells of a body whose end is near, in an execution of its own', async () => {
    const { server, pipeline } = await serving(
      '  hook: { type: webhook@1, config: { path: "/films/:id", body: bytes, respond: node, arrivingMs: 60000 } }\n' +
        '  soon: { type: set@1, config: { fields: { id: "{{ $request.params.id }}", of: "{{ $json.totalBytes }}", in: "{{ $execution.id }}" } } }\n' +
        '  a: { type: respond@1, config: { body: "{{ $execution.id }}" } }',
      'hook -> a, hook.arriving -> soon',
    )
    const told: unknown[] = []
    pipeline.tap('soon', 'out', (messages) => void told.push(...messages.map((each) => each.value)))
    let sentBytes = 0
    const request = httpRequest(`${server.url}/films/7`, { method: 'POST', headers: { 'content-length': 1000 } })
    const answered = new Promise<string>((resolve, reject) => {
      request.on('error', reject)
      request.on('response', (answer) => answer.setEncoding('utf8').once('data', resolve))
    })
    await expect
      .poll(() => {
        if (told.length > 0) return told
        sentBytes += 1
        request.write('x')
        return told
      })
      .toEqual([{ id: '7', of: 1000, in: expect.any(String) }])
    request.end('x'.repeat(1000 - sentBytes))
    expect(told).toMatchObject([{ in: expect.not.stringMatching(await answered) }])
    await expect.poll(() => pipeline.executions.size).toBe(0)
  })

  test('has no port for that without arrivingMs', () => {
    const text =
      'millrace: 1\nname: x\nnodes:\n  hook: { type: webhook@1, config: { path: /x } }\n  a: { type: log@1, config: { text: soon } }\nedges: [hook.arriving -> a]\n'
    expect(() => planText(text, catalogue)).toThrow('document.unknown-port')
  })

  test('an execution that answers nothing gives 204, or 500 where its message lies in the dead-letter', async () => {
    const { server, letters } = await serving(
      '  hook: { type: webhook@1, config: { path: /x, respond: node } }\n  a: { type: filter@1, config: { where: "{{ $json.body.user.active }}" } }\n  b: { type: respond@1 }',
      'hook -> a, a -> b',
    )
    expect((await post(`${server.url}/x`, { user: { active: false } })).status).toBe(204)
    expect(letters).toEqual([])
    const failed = await post(`${server.url}/x`, {})
    const message = expect.stringContaining('$json.body.user is undefined')
    // The letter has the cause; the caller, who may be anybody, only its code.
    const told = { code: 'node.type-error', message: 'the request could not be worked on' }
    expect([failed.status, await failed.json()]).toEqual([500, { error: told }])
    expect(letters).toMatchObject([{ failure: { node: 'a', message } }])
  })

  test('one whose answer itself cannot be made gives 500 with the code', async () => {
    const { server } = await serving(
      '  hook: { type: webhook@1, config: { path: /x, respond: node } }\n  a: { type: respond@1, config: { status: "{{ $json.body.status }}" } }',
      'hook -> a',
    )
    const response = await post(`${server.url}/x`, { status: 'much' })
    expect([response.status, await response.json()]).toMatchObject([500, { error: { code: 'respond.bad-status' } }])
  })

  test('one that fails as a whole gives 500 with the cause and no stack', async () => {
    const { server } = await serving(
      '  hook: { type: webhook@1, config: { path: /x, respond: node } }\n  a: { type: stop-and-error@1, onError: stop, config: { message: no price, code: order.no-price } }',
      'hook -> a',
    )
    const response = await post(`${server.url}/x`, {})
    expect(response.status).toBe(500)
    expect(await response.json()).toEqual({ error: { code: 'order.no-price', message: 'no price' } })
  })

  test('a caller that prefers not to wait gets 202 from the same path', async () => {
    const { server, pipeline } = await serving(
      '  hook: { type: webhook@1, config: { path: /x, respond: node } }\n  a: { type: respond@1 }',
      'hook -> a',
    )
    const response = await post(`${server.url}/x`, {}, { prefer: 'respond-async' })
    expect([response.status, response.headers.get('preference-applied')]).toEqual([202, 'respond-async'])
    await expect.poll(() => pipeline.executions.size).toBe(0)
  })

  test('requests over the limit get 503 with Retry-After, and the next one after them is served', async () => {
    const { server, pipeline } = await serving(
      '  hook: { type: webhook@1, config: { path: /x, respond: node } }\n  later: { type: delay@1, config: { delayMs: 300 } }\n  a: { type: respond@1, config: { body: ok } }',
      'hook -> later, later -> a',
      'inFlightMax: 2',
    )
    const responses = await Promise.all([1, 2, 3, 4].map(() => post(`${server.url}/x`, {})))
    expect(responses.map((each) => each.status).sort()).toEqual([200, 200, 503, 503])
    expect(responses.find((each) => each.status === 503)?.headers.get('retry-after')).toBe('1')
    await expect.poll(() => pipeline.executions.size).toBe(0)
    expect((await post(`${server.url}/x`, {})).status).toBe(200)
  })

  test('a caller that goes away ends its execution, and its file with it', async () => {
    const { server, pipeline } = await serving(
      '  hook: { type: webhook@1, config: { path: /x, body: file, respond: node } }\n  later: { type: delay@1, config: { delayMs: 600000 } }\n  a: { type: respond@1 }',
      'hook -> later, later -> a',
    )
    let path = ''
    pipeline.tap('hook', 'out', (messages) => {
      const value: unknown = messages[0]?.value
      path = (value as { body: { path: string } }).body.path
    })
    const call = httpRequest(`${server.url}/x`, { method: 'POST' })
    call.on('error', () => undefined)
    call.end('some bytes')
    await expect.poll(() => path).not.toBe('')
    expect(existsSync(path)).toBe(true)
    const [execution] = [...pipeline.executions.values()]
    call.destroy()
    expect(await execution?.done).toMatchObject({ state: 'stopped', failure: { message: 'the caller has gone' } })
    await expect.poll(() => existsSync(path)).toBe(false)
  })

  test('one that is cut while the server closes gives 503, and one that had time to drain its answer', async () => {
    const answered = async (limitMs: number): Promise<number> => {
      const { server, pipeline } = await serving(
        '  hook: { type: webhook@1, config: { path: /x, respond: node } }\n  later: { type: delay@1, config: { delayMs: 300 } }\n  a: { type: respond@1 }',
        'hook -> later, later -> a',
      )
      const call = post(`${server.url}/x`, {})
      await expect.poll(() => pipeline.executions.size).toBe(1)
      await pipeline.release(limitMs)
      return (await call).status
    }
    expect(await answered(20)).toBe(503)
    expect(await answered(10_000)).toBe(200)
  })

  test('a body over the limit is refused, and two workflows cannot take one path', async () => {
    const { server } = await serving(
      '  hook: { type: webhook@1, config: { path: /x, bodyBytesMax: 10 } }\n  a: { type: merge@1 }',
      'hook -> a',
    )
    expect((await post(`${server.url}/x`, { long: 'x'.repeat(100) })).status).toBe(413)
    expect(() =>
      server.hub.route({ methods: ['POST'], path: '/x', body: 'none', bodyBytesMax: 0 }, () => undefined),
    ).toThrow(/taken/)
  })
})
