import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { showProgress } from '../cli/progress.ts'
import { exitCodeOf, reportText } from '../cli/report.ts'
import type { CliProcess } from './cli-process.ts'
import { startCli } from './cli-process.ts'

const cwd = mkdtempSync(join(tmpdir(), 'cli-serve-test-'))
const started: CliProcess[] = []
afterEach(() => {
  for (const each of started.splice(0)) each.child.kill('SIGKILL')
})
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

async function serve(...args: readonly string[]): Promise<{ readonly process: CliProcess; readonly url: string }> {
  const process = startCli(['serve', '--port', '0', ...args], { cwd })
  started.push(process)
  const [, url = ''] = await process.said(/listening on (http:\S+)/)
  return { process, url }
}

writeFileSync(
  join(cwd, 'hook.yaml'),
  `millrace: 1
name: hook
nodes:
  in: { type: webhook@1, config: { path: "/hello/:name", respond: node } }
  slow: { type: delay@1, config: { delayMs: "{{ $json.body.waitMs }}" } }
  greet: { type: set@1, config: { fields: { hello: "{{ $json.params.name }}", word: "{{ $vars.word }}" } } }
  out: { type: respond@1 }
edges: [in -> slow, slow -> greet, greet -> out]
`,
)
writeFileSync(
  join(cwd, 'double.yaml'),
  `millrace: 1
name: double
nodes:
  in: { type: webhook@1, config: { path: /double, respond: node } }
  work: { type: pool@1, config: { task: double, input: "{{ $json.body }}", backend: thread } }
  out: { type: respond@1 }
  lost: { type: webhook@1, config: { path: /lost } }
  fails: { type: stop-and-error@1, config: { message: no way } }
edges: [in -> work, work -> out, lost -> fails]
`,
)
writeFileSync(
  join(cwd, 'tasks.ts'),
  `import { defineTask } from ${JSON.stringify(new URL('../workers/index.ts', import.meta.url).href)}
defineTask<number>('double', async function* (n) { yield n * 2 })
`,
)

const post = (url: string, body: unknown): Promise<Response> =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

describe('serve', () => {
  test('says when it is ready, answers probes and webhooks, and drains at SIGTERM', async () => {
    const { process, url } = await serve('hook.yaml', '--set', 'word=hi')
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    const quick = await post(`${url}/hello/ada`, { waitMs: 0 })
    expect(await quick.json()).toEqual({ hello: 'ada', word: 'hi' })
    const slow = post(`${url}/hello/bob`, { waitMs: 300 })
    const underWay = async (): Promise<boolean> => {
      const answer: { executions: readonly { state: string }[] } = await (await fetch(`${url}/api/executions`)).json()
      return answer.executions.some((each) => each.state === 'running')
    }
    while (!(await underWay()));
    process.child.kill('SIGTERM')
    expect(await (await slow).json()).toEqual({ hello: 'bob', word: 'hi' })
    expect(await process.done).toMatchObject({ code: 0 })
  })

  test('gives documents their pools, and keeps dead letters', async () => {
    const { url } = await serve('double.yaml', '--tasks', 'tasks.ts', '--dead-letter', 'dead.ndjson')
    expect(await (await post(`${url}/double`, 21)).json()).toBe(42)
    expect((await post(`${url}/lost`, {})).status).toBe(202)
    await expect
      .poll(() => readFileSync(join(cwd, 'dead.ndjson'), { encoding: 'utf8', flag: 'a+' }))
      .toMatch(/"no way"/)
  })

  test('says that it starts, until all documents are deployed, and never that a webhook is not there', async () => {
    const thread = readFileSync(join(cwd, 'hook.yaml'), 'utf8').replace(
      'name: hook',
      'name: thread\nsettings: { isolation: thread }',
    )
    writeFileSync(join(cwd, 'thread.yaml'), thread)
    const port = await freePort()
    const process = startCli(['serve', 'thread.yaml', '--port', String(port)], { cwd })
    started.push(process)
    const listening = process.said(/listening on /)
    const seen = new Set<string>()
    await expect
      .poll(
        async () => {
          const ask = (path: string): Promise<string> =>
            fetch(`http://127.0.0.1:${port}${path}`, { method: path === '/readyz' ? 'GET' : 'POST' }).then(
              (answer) => String(answer.status),
              () => 'nobody',
            )
          const [ready, hook] = [await ask('/readyz'), await ask('/hello/x')]
          seen.add(`${ready === '200' ? 'ready' : 'not ready'}: ${hook === '404' ? 'no such path' : 'fine'}`)
          return ready
        },
        { timeout: 20_000, interval: 1 },
      )
      .toBe('200')
    await listening
    expect([...seen]).toEqual(['not ready: fine', 'ready: fine'])
  })

  test('serves without a document', async () => {
    const { url } = await serve()
    expect((await fetch(`${url}/readyz`)).status).toBe(200)
    expect(await (await fetch(`${url}/api/workflows`)).json()).toEqual({ workflows: [] })
  })

  test('a port that is taken is named, and nothing is left behind', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => other.once('listening', resolve))
    const address = other.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const { code, err } = await startCli(['serve', 'hook.yaml', '--port', String(port)], { cwd }).done
    other.close()
    expect(code).toBe(1)
    expect(err).toMatch(new RegExp(`^millrace: Port ${port} on 127\\.0\\.0\\.1 is taken by another program`))
  })

  test('two documents with one route are refused, and the server closes', async () => {
    writeFileSync(
      join(cwd, 'twin.yaml'),
      readFileSync(join(cwd, 'hook.yaml'), 'utf8').replace('name: hook', 'name: twin'),
    )
    const { code, err } = await startCli(['serve', 'hook.yaml', 'twin.yaml', '--port', '0'], { cwd }).done
    expect(code).toBe(1)
    expect(err).toMatch(/^millrace: .*\/hello\/:name/m)
  })

  test('lets pages of an origin call it, and answers under a name of its proxy, where it was told to', async () => {
    const { url } = await serve('hook.yaml', '--origin', 'http://localhost:5173', '--hostname', 'orders.example')
    const from = (origin: string) => ({ origin, 'access-control-request-headers': 'x-signature' })
    const preflight = await fetch(`${url}/hello/x`, { method: 'OPTIONS', headers: from('http://localhost:5173') })
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([
      204,
      'http://localhost:5173',
    ])
    expect(preflight.headers.get('access-control-allow-headers')).toBe('x-signature')
    const foreign = await fetch(`${url}/hello/x`, { method: 'OPTIONS', headers: from('http://evil.example') })
    expect([foreign.status, await foreign.text()]).toEqual([403, expect.stringContaining('--origin')])
    const named = (host: string): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const headers = { host }
        get(`${url}/api/workflows`, { headers }, (answer) => resolve(answer.resume().statusCode)).on('error', reject)
      })
    expect([await named('orders.example'), await named('evil.example')]).toEqual([200, 421])
  })

  test.each([
    ['--origin', 'localhost:5173'],
    ['--origin', 'http://localhost:5173/app'],
    ['--hostname', 'orders.example:80'],
  ])('%s %s is no such thing, and says what is', async (option, value) => {
    const refused = startCli(['serve', option, value], { cwd })
    started.push(refused)
    expect((await refused.done).err).toMatch(`${option} is "${value}"; write for example ${option} `)
  })

  test('an address that others reach needs a token', async () => {
    const { code, err } = await startCli(['serve', '--host', '0.0.0.0', '--port', '0'], { cwd }).done
    expect(code).toBe(1)
    expect(err).toMatch(/set an API token/)
  })
})

describe('progress', () => {
  const metrics = {
    nodes: {
      in: { in: 0, out: 1234, ended: 0, errors: 0, busyMs: 0 },
      out: { in: 1200, out: 1199, ended: 1199, errors: 1, busyMs: 0 },
    },
    inFlight: 34,
    inFlightMax: 100,
    deadLetters: 0,
    blocks: 0,
  }
  const plan = {
    entries: [{ node: 0 }],
    nodes: [
      { id: 'in', index: 0, outputs: ['out'] },
      { id: 'out', index: 1, outputs: ['out'] },
    ],
  }

  test.each([
    [true, /^\r.\[K[\d,]+\/s {2}1,234 in {2}1,199 out {2}34 in flight {2}1 errors$/],
    [false, /^\{"perSecond":\d+,"in":1234,"out":1199,"errors":1,"inFlight":34\}\n$/],
  ])('on a terminal (%s) it is a line that is drawn anew, elsewhere lines of JSON', async (isTTY, pattern) => {
    const first = await new Promise<string>((resolve) => {
      const end = showProgress({ plan, metrics: () => metrics }, { isTTY, write: resolve }, 1)
      void Promise.resolve().then(() => setTimeout(end, 20))
    })
    expect(first).toMatch(pattern)
  })

  test('a person gets the report as a sentence, and the cause of a failure', () => {
    const tally = { in: 1234, out: 1200, errors: 34, inFlight: 0 }
    const failure = { code: 'x.y', message: 'the disk is full', node: 'out', retriable: false }
    const report = { tally, deadLetters: 2, elapsedMs: 1500, interruptCode: null }
    expect(reportText({ ...report, outcome: { state: 'failed', unsettled: 5, deadLetters: 0, failure } })).toBe(
      'failed: 1,234 in, 1,200 out, 34 errors, 2 dead letters, 5 left unsettled in 1.5 s\nthe disk is full',
    )
    const done = { state: 'done', unsettled: 0, deadLetters: 0, failure: null } as const
    expect(reportText({ ...report, tally: null, deadLetters: 0, outcome: done })).toBe(
      'done: not counted, as telemetry is off in 1.5 s',
    )
  })

  test.each([
    ['done', 0, null, 0],
    ['done', 1, null, 1],
    ['stopped', 0, 130, 130],
    ['stopped', 0, 129, 129],
    ['stopped', 0, null, 0],
    ['failed', 0, 130, 1],
    ['lost', 0, null, 1],
  ] as const)('%s with %i dead letters, interrupted %s, exits with %i', (state, deadLetters, interruptCode, code) => {
    const outcome = { state, unsettled: 0, deadLetters: 0, failure: null }
    expect(exitCodeOf({ outcome, tally: null, deadLetters, elapsedMs: 0, interruptCode })).toBe(code)
  })
})

/** A port that nobody listens on. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
