import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { planText } from '../core/document/plan-text.ts'
import type { Pipeline } from '../core/pipeline.ts'
import { catalogue } from '../nodes.ts'
import { valuesOf } from '../sdk/http.ts'
import type { MillraceServer, ServerOptions } from './create-server.ts'
import { createServer } from './create-server.ts'
import { createHost } from './host.ts'
import { launch } from './isolation/launch.ts'
import { until } from './testing.ts'

const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Line {
  readonly value?: unknown
  readonly missed?: number
  readonly end?: string
}

/** Numbers; even ones pass `a`, odd ones fail there; `each` splits, `late` is asynchronous. */
const flow = (settings: string, perSecond = 2_000): string => `
millrace: 1
name: t
settings: { ${settings} }
nodes:
  in: { type: generate@1, config: { perSecond: ${perSecond} } }
  a: { type: set@1, config: { fields: { n: "{{ $json.n }}", half: "{{ $json.n % 2 == 0 ? $json.n / 2 : $json.no.such }}" } } }
  each: { type: split@1, config: { list: "{{ [$json.n, 'x'] }}" } }
  late: { type: delay@1, config: { delayMs: 1 } }
edges: [in -> a, a -> each, each -> late]
`

async function start(options: ServerOptions = {}): Promise<MillraceServer> {
  const server = await createServer({ port: 0, ...options })
  closing.push(() => server.close())
  return server
}

async function pipelineOf(text: string, before?: Pipeline): Promise<Pipeline> {
  const planned = planText(text, catalogue)
  const host = createHost({
    log: { write: () => undefined },
    deadLetter: async () => undefined,
  })
  return launch(planned, catalogue, host, { folders: [] }, before)
}

const tap = (server: MillraceServer, query: string): Promise<Response> =>
  fetch(`${server.url}/api/workflows/t/tap?${query}`, { signal: AbortSignal.timeout(20_000) })

async function lines(server: MillraceServer, query: string): Promise<readonly Line[]> {
  const all: Line[] = []
  for await (const each of valuesOf<Line>(await tap(server, query))) all.push(each)
  return all
}

const shown = (all: readonly Line[]): readonly unknown[] => all.flatMap((each) => ('value' in each ? [each.value] : []))

describe.each(['', 'isolation: thread', 'telemetry: off'])('a tap (%s)', (settings) => {
  it('shows what leaves a port, of nodes of each kind, and ends at its limit', async () => {
    const server = await start()
    await server.deploy('t', await pipelineOf(flow(settings)))
    expect(shown(await lines(server, 'port=in&limit=2'))).toEqual([
      { n: expect.any(Number) },
      { n: expect.any(Number) },
    ])
    expect(shown(await lines(server, 'port=a.out&limit=1'))).toMatchObject([{ half: expect.any(Number) }])
    expect(shown(await lines(server, 'port=a.error&limit=1'))).toMatchObject([
      { error: { code: 'node.type-error', node: 'a' }, value: { n: expect.any(Number) } },
    ])
    expect(shown(await lines(server, `port=each&limit=1&filter=${encodeURIComponent('$json == "x"')}`))).toEqual(['x'])
    const last = await lines(server, 'port=late&limit=3')
    expect(shown(last)).toHaveLength(3)
    expect(last.at(-1)).toEqual({ end: 'the limit is reached' })
  })

  it('says what there is when it is asked for something else', async () => {
    const server = await start()
    await server.deploy('t', await pipelineOf(flow(settings)))
    const refused = async (query: string): Promise<unknown> => {
      const answer = await tap(server, query)
      return { status: answer.status, ...((await answer.json()) as { error: object }).error }
    }
    expect(await refused('port=nobody.out')).toMatchObject({
      status: 404,
      message: expect.stringContaining('the workflow has in, a, each, late'),
    })
    expect(await refused('port=a.no')).toMatchObject({
      status: 404,
      message: expect.stringContaining('it has out, error'),
    })
    expect(await refused('port=a&filter=%24json.(')).toMatchObject({ status: 400, code: 'tap.bad-filter' })
    expect(await refused('port=a&limit=none')).toMatchObject({ status: 400 })
    // The workflow is none the worse for it.
    expect(shown(await lines(server, 'port=a&limit=1'))).toHaveLength(1)
  })
})

describe('a tap', () => {
  it('shows a port to several readers at once, and lets go of it with each of them', async () => {
    const server = await start()
    const pipeline = await pipelineOf(flow(''))
    let attached = 0
    const { sample } = pipeline
    Object.assign(pipeline, {
      sample: (...parts: Parameters<Pipeline['sample']>) => {
        const stop = sample(...parts)
        attached += 1
        return () => {
          attached -= 1
          stop()
        }
      },
    })
    await server.deploy('t', pipeline)
    const [one, two] = await Promise.all([tap(server, 'port=a'), tap(server, 'port=a')])
    await until(() => attached === 2)
    const [first, second] = [valuesOf<Line>(one), valuesOf<Line>(two)]
    expect((await first.next()).value).toHaveProperty('value')
    expect((await second.next()).value).toHaveProperty('value')
    await first.return()
    await until(() => attached === 1)
    expect((await second.next()).done).toBe(false)
    await second.return()
    await until(() => attached === 0)
  })

  it('stays with a workflow when a new version takes over, and ends with the workflow', async () => {
    const server = await start()
    const one = await pipelineOf(flow(''))
    await server.deploy('t', one)
    const seen: Line[] = []
    const reading = (async () => {
      for await (const each of valuesOf<Line>(await tap(server, 'port=each'))) seen.push(each)
    })()
    await until(() => shown(seen).length > 10)
    await server.deploy('t', await pipelineOf(flow('').replace("'x'", "'y'"), one))
    await until(() => shown(seen).includes('y'))
    await server.undeploy('t')
    await reading
    expect(seen.at(-1)?.end).toContain('no workflow "t"')
  })

  it('shows a few hundred a second of a busy flow, counts the others, and does not slow it', async () => {
    const server = await start()
    const pipeline = await pipelineOf(flow('', 50_000))
    await server.deploy('t', pipeline)
    const passed = (): number => pipeline.metrics()?.nodes.a?.in ?? 0
    await until(() => passed() > 10_000)
    const all = await lines(server, 'port=in&limit=600')
    const missed = all.reduce((sum, each) => sum + (each.missed ?? 0), 0)
    expect(shown(all)).toHaveLength(600)
    // 200 at once, then 200 a second: two seconds of a flow that loses nothing of its pace.
    expect(missed).toBeGreaterThan(30_000)
    expect(pipeline.metrics()?.inFlight).toBeLessThan(pipeline.metrics()?.inFlightMax ?? 0)
  })

  it('with a reader that stops reading goes on, holds little for it, and cuts it in the end', async () => {
    const server = await start({ limits: { stallMsMax: 1_500, tapPerSecondMax: 20_000, tapValueCharsMax: 4_000 } })
    const text = flow('', 5_000).replace('n: "{{ $json.n }}"', `n: "{{ $json.n }}", pad: "${'p'.repeat(3_000)}"`)
    const pipeline = await pipelineOf(text)
    await server.deploy('t', pipeline)
    const socket = connect(server.port, '127.0.0.1')
    const cut = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    socket.on('error', () => undefined)
    socket.write('GET /api/workflows/t/tap?port=a HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
    await new Promise<void>((resolve) => socket.once('readable', () => resolve()))
    const before = pipeline.metrics()?.nodes.a?.in ?? 0
    await until(() => (pipeline.metrics()?.nodes.a?.in ?? 0) > before + 15_000)
    expect(pipeline.metrics()?.inFlight).toBeLessThan(pipeline.metrics()?.inFlightMax ?? 0)
    socket.resume()
    await cut
    expect(shown(await lines(server, 'port=a&limit=1'))).toHaveLength(1)
  })

  it('has a limit on its readers', async () => {
    const server = await start({ limits: { tapsMax: 1 } })
    await server.deploy('t', await pipelineOf(flow('')))
    const one = valuesOf<Line>(await tap(server, 'port=a'))
    await one.next()
    expect((await tap(server, 'port=a')).status).toBe(503)
    await one.return()
    await until(async () => (await tap(server, 'port=a&limit=1')).status === 200)
  })
})
