import { request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { createCatalogue } from '../../core/catalogue.ts'
import { planText } from '../../core/document/plan-text.ts'
import { message } from '../../core/flow/message.ts'
import type { Host } from '../../core/host.ts'
import type { Pipeline } from '../../core/pipeline.ts'
import { catalogue } from '../../nodes.ts'
import type { MillraceServer } from '../create-server.ts'
import { createServer } from '../create-server.ts'
import { createHost } from '../host.ts'
import { nodeTypes } from './blocking-nodes.fixture.ts'
import { isolate } from './isolate.ts'
import { launch } from './launch.ts'

const types = createCatalogue([...catalogue.types, ...nodeTypes])
const fixture = new URL('./blocking-nodes.fixture.ts', import.meta.url).href
const open: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

const planOf = (text: string) => planText(text, types)

function hostOf(over: Partial<Host> = {}): Host & { readonly lines: string[] } {
  const lines: string[] = []
  const host = createHost({
    vars: { rate: 2 },
    log: { write: (_level, text) => void lines.push(text) },
    deadLetter: async () => undefined,
  })
  return { ...host, ...over, lines }
}

const careless = `
millrace: 1
name: careless
settings: { isolation: thread, stopMsMax: 1000 }
nodes:
  go: { type: manual@1 }
  stuck: { type: test.careless@1 }
  double: { type: set@1, config: { fields: { twice: '{{ $json.n * $vars.rate }}', id: '{{ $execution.id }}' } } }
edges: [go -> stuck, stuck -> double]
`

async function isolated(
  host: Host,
  limits: { readonly killMsMax?: number; readonly heapMbMax?: number } = {},
): Promise<Pipeline> {
  const pipeline = isolate(planOf(careless), host, {
    folders: [],
    modules: [fixture],
    blockMsMax: 300,
    killMsMax: 1_200,
    ...limits,
  })
  open.push(() => pipeline.release(500))
  return pipeline
}

describe('a workflow in a thread of its own', () => {
  test('gives what it gives elsewhere, with the same variables and execution id', async () => {
    const pipeline = await launch(planOf(careless.replace('test.careless@1', 'merge@1')), catalogue, hostOf(), {
      folders: [],
    })
    open.push(() => pipeline.release(500))
    const seen: unknown[] = []
    pipeline.tap('double', 'out', (messages) => void seen.push(...messages.map((each) => each.value)))
    const execution = pipeline.start('go', [message({ n: 21 }, null, 0)])
    expect(await execution.done).toMatchObject({ state: 'done', failure: null })
    await expect.poll(() => seen).toEqual([{ twice: 42, id: execution.id }])
    await expect.poll(() => pipeline.metrics()?.nodes.double?.in).toBe(1)
  })

  test('a node that blocks is named and ended; others go on, and the workflow starts again', async () => {
    const host = hostOf()
    const pipeline = await isolated(host)
    const neighbour = await isolated(hostOf())
    expect(await neighbour.start('go', [message({ n: 1 }, null, 0)]).done).toMatchObject({ state: 'done' })
    const stuck = pipeline.start('go', [message('block', null, 0)])
    await expect.poll(() => host.lines.join('\n'), { timeout: 20_000 }).toContain('stuck has blocked its thread')
    expect(await neighbour.start('go', [message({ n: 1 }, null, 0)]).done).toMatchObject({ state: 'done' })
    expect(await stuck.done).toMatchObject({ state: 'failed', failure: { code: 'execution.blocked', node: 'stuck' } })
    expect(await pipeline.start('go', [message({ n: 1 }, null, 0)]).done).toMatchObject({ state: 'done' })
    await expect.poll(() => pipeline.metrics()?.blocks).toBe(1)
  })

  test('a kill is certain, whatever the node does', async () => {
    const pipeline = await isolated(hostOf(), { killMsMax: 600_000 })
    await pipeline.start('go', [message({ n: 1 }, null, 0)]).done
    const stuck = pipeline.start('go', [message('block', null, 0)])
    expect(await stuck.kill('enough')).toMatchObject({ state: 'failed', failure: { code: 'execution.stopped' } })
  })

  test('a node that hoards memory ends its thread, not the process', async () => {
    const pipeline = await isolated(hostOf(), { killMsMax: 600_000, heapMbMax: 64 })
    const hoarder = pipeline.start('go', [message('hoard', null, 0)])
    expect(await hoarder.done).toMatchObject({ state: 'failed', failure: { code: 'execution.thread-died' } })
    expect(await pipeline.start('go', [message({ n: 1 }, null, 0)]).done).toMatchObject({ state: 'done' })
  })

  test('webhooks, streamed answers and topics cross; a taken path is told when it opens', async () => {
    const server = await createServer({ port: 0 })
    open.push(() => server.close())
    const text = `
millrace: 1
name: hooked
settings: { isolation: thread }
nodes:
  hook: { type: webhook@1, config: { path: /hook, respond: node, arrivingMs: 60000 } }
  near: { type: topic.publish@1, config: { topic: near } }
  each: { type: split@1, config: { list: '{{ $json.body.list }}' } }
  say: { type: topic.publish@1, config: { topic: numbers } }
  answer: { type: respond@1, config: { mode: ndjson } }
edges: [hook -> each, each -> answer, each -> say, hook.arriving -> near]
`
    const host = hostOf({ hub: server.hub, topics: server.topics })
    const pipeline = isolate(planOf(text), host, { folders: [] })
    await server.deploy('hooked', pipeline)
    const response = await fetch(`${server.url}/hook`, {
      method: 'POST',
      body: JSON.stringify({ list: [1, 2, 3] }),
      headers: { 'content-type': 'application/json' },
    })
    expect(await response.text()).toBe('1\n2\n3\n')
    expect(await firstOf(server, 'numbers')).toContain('1')
    // A body of known length that never ends: its end is told of all the same.
    const slow = request(`${server.url}/hook`, { method: 'POST', headers: { 'content-length': 1000 } })
    slow.on('error', () => undefined)
    const drip = setInterval(() => slow.write(' '), 5)
    expect(await firstOf(server, 'near')).toContain('"totalBytes":1000')
    clearInterval(drip)
    slow.destroy()
    const second = isolate(planOf(text.replace('hooked', 'again')), host, { folders: [] })
    open.push(() => second.release(500))
    await expect(second.open()).rejects.toThrow(/taken/)
  })

  test('an answer that comes when the caller has been given up harms nobody', async () => {
    const server = await createServer({ port: 0, limits: { firstByteMsMax: 500 } })
    open.push(() => server.close())
    const text = `
millrace: 1
name: late
settings: { isolation: thread }
nodes:
  hook: { type: webhook@1, config: { path: /hook, respond: node } }
  each: { type: split@1, config: { list: '{{ $json.body }}' } }
  later: { type: delay@1, config: { delayMs: '{{ $json }}' } }
  answer: { type: respond@1, config: { mode: ndjson } }
edges: [hook -> each, each -> later, later -> answer]
`
    await server.deploy('late', isolate(planOf(text), hostOf({ hub: server.hub }), { folders: [] }))
    const post = (body: string): string =>
      `POST /hook HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const answerTo = async (body: string): Promise<string> => {
      const headers = { 'content-type': 'application/json' }
      return (await fetch(`${server.url}/hook`, { method: 'POST', body, headers })).text()
    }
    expect(await answerTo('[0]')).toBe('0\n')
    // The second answer waits behind the first one, also when it is a 504: until that has left, it is not over.
    const socket = connect(server.port, '127.0.0.1')
    let answers = ''
    socket.on('data', (piece) => {
      answers += String(piece)
    })
    socket.write(post('[0, 1500]') + post('[1000]'))
    await expect.poll(() => answers, { timeout: 5_000 }).toContain('504')
    socket.destroy()
    expect(answers).toContain('HTTP/1.1 200')
    expect(await answerTo('[0]')).toBe('0\n')
  })

  test('a value that is too deep to cross is told of, and nobody waits for it', async () => {
    const server = await createServer({ port: 0 })
    open.push(() => server.close())
    const text = `
millrace: 1
name: deep
settings: { isolation: thread }
nodes:
  hook: { type: webhook@1, config: { path: /hook, respond: node } }
  answer: { type: respond@1, config: { body: '{{ $json.body }}' } }
edges: [hook -> answer]
`
    await server.deploy('deep', isolate(planOf(text), hostOf({ hub: server.hub }), { folders: [] }))
    const statusOf = async (depth: number): Promise<number> => {
      const response = await fetch(`${server.url}/hook`, {
        method: 'POST',
        body: '['.repeat(depth) + ']'.repeat(depth),
        headers: { 'content-type': 'application/json' },
        signal: AbortSignal.timeout(5_000),
      })
      await response.arrayBuffer()
      return response.status
    }
    expect([await statusOf(400), await statusOf(2_000), await statusOf(2_500)]).toEqual([200, 500, 500])
  })
})

/** The first line of a topic, which may still have to come. */
async function firstOf(server: MillraceServer, name: string): Promise<string> {
  const topic = await fetch(`${server.url}/api/topics/${name}?after=start`, {
    headers: { accept: 'application/x-ndjson' },
    signal: AbortSignal.timeout(10_000),
  })
  const reader = topic.body?.getReader()
  const first = await reader?.read()
  await reader?.cancel()
  return new TextDecoder().decode(first?.value)
}
