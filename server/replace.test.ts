import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { compile } from '../core/compile/compile.ts'
import { planText } from '../core/document/plan-text.ts'
import type { Pipeline } from '../core/pipeline.ts'
import { catalogue } from '../nodes.ts'
import type { MillraceServer } from './create-server.ts'
import { createServer } from './create-server.ts'
import { createHost } from './host.ts'
import { isolate } from './isolation/isolate.ts'
import { until } from './testing.ts'

let server: MillraceServer
let folder: string
let lines: string[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-replace-'))
  lines = []
  server = await createServer({ port: 0, log: { write: (_level, text) => void lines.push(text) } })
})
afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true })
})

interface VersionOptions {
  readonly settings?: string
  readonly field?: string
  readonly before?: Pipeline
  /** How long a number is on its way. */
  readonly delayMs?: number
  /** Where a webhook listens, beside the numbers. */
  readonly hook?: string
}

const hookNodes = (path: string): string =>
  `  hook: { type: webhook@1, config: { path: ${path} } }\n  called: { type: log@1, config: { text: called } }\n`

/** A workflow with a webhook and nothing else. */
function neighbour(path: string): Pipeline {
  const text = `millrace: 1\nname: n\nnodes:\n${hookNodes(path)}edges: [hook -> called]\n`
  const log = { write: () => undefined }
  return compile(
    planText(text, catalogue),
    catalogue,
    createHost({ hub: server.hub, log, deadLetter: async () => undefined }),
  )
}

/** Numbers, a thousand a second, each with the version that wrote it. */
function version(label: string, options: VersionOptions = {}): Pipeline {
  const path = join(folder, 'out.ndjson')
  const { hook } = options
  const nodes = hook === undefined ? '' : `${hookNodes(hook)}\n`
  const edge = hook === undefined ? '' : ', hook -> called'
  const planned = planText(
    `millrace: 1\nname: t\nsettings: { ${options.settings ?? ''} }\nnodes:\n  src: { type: generate@1, config: { perSecond: 1000 } }\n  a: { type: set@1, onError: stop, config: { fields: { n: "{{ $json.n }}", by: ${options.field ?? label} } } }\n  slow: { type: delay@1, config: { delayMs: ${options.delayMs ?? 0} } }\n  out: { type: file.append@1, config: { path: ${JSON.stringify(path)} } }\n${nodes}edges: [src -> a, a -> slow, slow -> out${edge}]\n`,
    catalogue,
    { version: label },
  )
  const host = createHost({
    folders: [folder],
    hub: server.hub,
    log: { write: (_level, text) => void lines.push(text) },
    deadLetter: async () => undefined,
  })
  if (planned.settings.isolation === 'thread') return isolate(planned, host, { folders: [folder] })
  return compile(planned, catalogue, host, { before: options.before })
}

async function written(): Promise<readonly { readonly n: number; readonly by: string }[]> {
  const text = await readFile(join(folder, 'out.ndjson'), 'utf8').catch(() => '')
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

const by = async (label: string): Promise<number> => (await written()).filter((each) => each.by === label).length

async function expectEachOnce(): Promise<void> {
  const numbers = (await written()).map((each) => each.n)
  expect(numbers).toStrictEqual(Array.from({ length: numbers.length }, (_, n) => n))
}

describe('a new version of a stream', () => {
  it.each(['shared', 'thread'])('takes over without a gap or a repetition (isolation: %s)', async (isolation) => {
    const settings = `isolation: ${isolation}`
    const one = version('one', { settings })
    await server.deploy('t', one)
    await until(async () => (await by('one')) > 50)
    const two = version('two', { settings, before: one })
    await server.deploy('t', two)
    await until(async () => (await by('two')) > 50)
    await server.deploy('t', version('three', { settings, before: two }))
    await until(async () => (await by('three')) > 50)
    await server.undeploy('t')
    await expectEachOnce()
  })

  it.each(['shared', 'thread'])('that fails at once gives its place back (isolation: %s)', async (isolation) => {
    const settings = `isolation: ${isolation}`
    const one = version('one', { settings })
    await server.deploy('t', one)
    await until(async () => (await by('one')) > 50)
    const before = await by('one')
    // Its first message stops it.
    await server.deploy('t', version('two', { settings, before: one, field: '"{{ $json.none.such }}"' }))
    await until(async () => (await by('one')) > before + 200)
    expect(lines.filter((line) => line.includes('the one before goes on'))).toHaveLength(1)
    expect(await by('two')).toBe(0)
  })

  it.each([
    ['shared', 'thread'],
    ['thread', 'shared'],
  ])('that fails at once gives its place back to one that runs elsewhere (%s, then %s)', async (first, second) => {
    const one = version('one', { settings: `isolation: ${first}` })
    await server.deploy('t', one)
    await until(async () => (await by('one')) > 50)
    const settings = `isolation: ${second}`
    await server.deploy('t', version('two', { settings, before: one, field: '"{{ $json.none.such }}"' }))
    const before = await by('one')
    await until(async () => (await by('one')) > before + 200)
    expect(lines.filter((line) => line.includes('did not start'))).toHaveLength(1)
    expect(await by('two')).toBe(0)
  })

  it('whose other triggers do not open leaves the stream of the one before as it is', async () => {
    await server.deploy('n', neighbour('/taken'))
    const one = version('one', { hook: '/own' })
    await server.deploy('t', one)
    await until(async () => (await by('one')) > 50)
    await expect(server.deploy('t', version('two', { before: one, hook: '/taken' }))).rejects.toThrow(/taken/)
    const before = await by('one')
    await until(async () => (await by('one')) > before + 50)
    expect((await fetch(`${server.url}/own`, { method: 'POST' })).status).toBe(202)
    await server.undeploy('t')
    await expectEachOnce()
  })

  it('that fails when the one before cannot come back either is told of, and the server lives', async () => {
    const one = version('one', { hook: '/own' })
    await server.deploy('t', one)
    await until(async () => (await by('one')) > 50)
    await server.deploy('t', version('two', { before: one, field: '"{{ $json.n < 500 ? 2 : $json.none.such }}"' }))
    await server.deploy('n', neighbour('/own'))
    await until(() => lines.some((line) => line.includes('did not start again either')))
    expect((await fetch(`${server.url}/own`, { method: 'POST' })).status).toBe(202)
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503)
  })

  it('that another one follows at once is replaced by it', async () => {
    const one = version('one', { delayMs: 200 })
    await server.deploy('t', one)
    await until(async () => (await by('one')) > 50)
    const two = version('two', { before: one })
    await Promise.all([server.deploy('t', two), server.deploy('t', version('three', { before: two }))])
    await until(async () => (await by('three')) > 50)
    await server.undeploy('t')
    await expectEachOnce()
  })

  it('is over with the workflow when that is taken away while it takes over', async () => {
    const one = version('one', { delayMs: 200 })
    await server.deploy('t', one)
    await until(async () => (await by('one')) > 50)
    const taking = server.deploy('t', version('two', { before: one }))
    await server.undeploy('t')
    await taking
    const last = (await written()).length
    const three = version('three')
    await server.deploy('t', three)
    await until(async () => (await by('three')) > 50)
    expect((await written()).filter((each) => each.by !== 'three')).toHaveLength(last)
  })

  it('that fails later starts again by itself, waiting longer each time', async () => {
    await server.deploy('t', version('one', { field: '"{{ $json.n < 100 ? 1 : $json.none.such }}"' }))
    await until(() => lines.filter((line) => line.includes('starts again')).length === 2, 20_000)
    expect(lines.filter((line) => line.includes('starts again'))).toStrictEqual([
      'The stream of t failed and starts again in 1000 ms',
      'The stream of t failed and starts again in 2000 ms',
    ])
  })

  it('is read from its file again when a client asks; one with problems leaves the other running', async () => {
    let wrong = false
    await server.deploy('t', version('one'), async (before) => {
      if (wrong) throw new Error('unreadable')
      return version('two', { before })
    })
    await until(async () => (await by('one')) > 50)
    const reload = (): Promise<Response> => fetch(`${server.url}/api/workflows/t/reload`, { method: 'POST' })
    expect((await reload()).status).toBe(200)
    await until(async () => (await by('two')) > 50)
    wrong = true
    expect((await reload()).status).toBe(500)
    const before = await by('two')
    await until(async () => (await by('two')) > before + 50)
    await server.undeploy('t')
    await expectEachOnce()
  })
})

describe.each(['shared', 'thread'])('an execution that outlives its version (isolation: %s)', (isolation) => {
  it.each(['has begun', 'is about to begin'])(
    'and %s when that is replaced is told of when it ends',
    async (moment) => {
      const planned = planText(
        `millrace: 1\nname: e\nsettings: { isolation: ${isolation} }\nnodes: { go: { type: manual@1 }, later: { type: delay@1, config: { delayMs: 1000 } } }\nedges: [go -> later]\n`,
        catalogue,
      )
      const host = createHost({ log: { write: () => undefined }, deadLetter: async () => undefined })
      const make = (before?: Pipeline): Pipeline =>
        isolation === 'thread' ? isolate(planned, host, { folders: [] }) : compile(planned, catalogue, host, { before })
      const one = make()
      await server.deploy('e', one)
      const body = JSON.stringify({ input: {} })
      const headers = { 'content-type': 'application/json' }
      const started = await fetch(`${server.url}/api/workflows/e/run`, { method: 'POST', body, headers })
      const { execution } = (await started.json()) as { execution: string }
      if (moment === 'has begun') await until(() => one.metrics()?.nodes.later?.in === 1)
      await server.deploy('e', make(one))
      const look = async (): Promise<unknown> => (await fetch(`${server.url}/api/executions/${execution}`)).json()
      expect(await look()).toMatchObject({ workflow: 'e', state: expect.stringMatching(/running|draining/) })
      const topic = await fetch(`${server.url}/api/topics/executions/${execution}`, {
        signal: AbortSignal.timeout(5_000),
      })
      expect(await topic.text()).toContain('"state":"done"')
      expect(one.executions.size).toBe(0)
      expect(await look()).toMatchObject({ state: 'done' })
    },
  )
})

describe('the stream triggers of a workflow', () => {
  const call = async (method: string, body?: unknown): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`${server.url}/api/workflows/t/sources`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    return { status: answer.status, body: await answer.json() }
  }

  it('are paused and resumed through the API, and say what they cannot do', async () => {
    await server.deploy('t', version('one'))
    await until(async () => (await by('one')) > 50)
    expect(await call('POST', { do: 'pause' })).toMatchObject({
      status: 200,
      body: { sources: [{ node: 'src', state: 'paused' }] },
    })
    await until(async () => (await call('GET')).body !== null && (await inFlight()) === 0)
    const paused = await by('one')
    expect(await call('POST', { do: 'resume', node: 'src' })).toMatchObject({ body: { sources: [{ state: 'open' }] } })
    await until(async () => (await by('one')) > paused + 50)
    expect(await call('POST', { do: 'seek', to: { kind: 'latest' } })).toMatchObject({
      status: 409,
      body: { error: { code: 'source.cannot-seek', message: expect.stringContaining('src (generate@1)') } },
    })
    expect(await call('POST', { do: 'pause', node: 'nobody' })).toMatchObject({
      status: 409,
      body: { error: { message: expect.stringContaining('"nobody"; the workflow has src') } },
    })
    expect((await call('POST', { do: 'fly' })).status).toBe(400)
  })

  const inFlight = async (): Promise<number> => {
    const { body } = await call('GET')
    const { sources } = body as { sources: { inFlight: number }[] }
    return sources.reduce((sum, each) => sum + each.inFlight, 0)
  }
})
