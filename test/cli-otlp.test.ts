import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cli } from './cli-process.ts'

/** What a collector takes, as JSON: https://opentelemetry.io/docs/specs/otlp/#otlphttp */
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly { key: string; value: unknown }[] }
    readonly scopeSpans: readonly {
      readonly spans: readonly {
        readonly name: string
        readonly startTimeUnixNano: string
        readonly endTimeUnixNano: string
        readonly attributes: readonly { key: string; value: Record<string, unknown> }[]
      }[]
    }[]
  }[]
}

const cwd = mkdtempSync(join(tmpdir(), 'cli-otlp-test-'))
let collector: Server
let url: string
let taken: { path: string; body: Export }[] = []

beforeAll(async () => {
  collector = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8')
    request.on('data', (chunk) => {
      text += chunk
    })
    request.on('end', () => {
      taken.push({ path: request.url ?? '', body: JSON.parse(text) })
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
  const address = collector.address()
  url = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
})
afterAll(() => {
  collector.close()
  rmSync(cwd, { recursive: true, force: true })
})

function document(settings: string): string {
  const file = join(cwd, 'flow.yaml')
  writeFileSync(
    file,
    `millrace: 1
name: flow
settings: { ${settings} }
nodes:
  in: { type: generate@1, config: { count: 1000, batch: 100 } }
  a: { type: filter@1, config: { where: "{{ $json.n >= 50 }}" } }
  b: { type: set@1, config: { fields: { n: "{{ $json.n }}" } } }
  out: { type: file.append@1, config: { path: out.ndjson } }
edges: [in -> a, a -> b, b -> out]
`,
  )
  return file
}

test.each(['shared', 'thread'])('sends sampled spans to a collector (isolation: %s)', async (isolation) => {
  taken = []
  const { code } = await cli(['run', document(`telemetry: trace, isolation: ${isolation}`), '--otlp', url], { cwd })
  expect(code).toBe(0)
  expect(taken.map((each) => each.path)).toEqual(['/v1/traces'])
  const [exported] = taken[0]?.body.resourceSpans ?? []
  expect(exported?.resource.attributes).toContainEqual({ key: 'service.name', value: { stringValue: 'millrace' } })
  const spans = exported?.scopeSpans.flatMap((each) => each.spans) ?? []
  const span = spans.find((each) => each.name === 'flow a → b')
  expect(span?.attributes).toEqual(
    expect.arrayContaining([
      { key: 'millrace.workflow', value: { stringValue: 'flow' } },
      { key: 'millrace.messages.in', value: { intValue: 100 } },
      { key: 'millrace.messages.out', value: { intValue: 50 } },
    ]),
  )
  expect(BigInt(span?.endTimeUnixNano ?? 0)).toBeGreaterThanOrEqual(BigInt(span?.startTimeUnixNano ?? 1))
})

test('a workflow without traces sends nothing, and a collector that is away does not disturb one with traces', async () => {
  taken = []
  expect((await cli(['run', document('telemetry: metrics'), '--otlp', url], { cwd })).code).toBe(0)
  expect(taken).toEqual([])
  const away = await cli(['run', document('telemetry: trace'), '--otlp', 'http://127.0.0.1:1'], { cwd })
  expect(away.code).toBe(0)
  expect(away.err).toContain('"out":950')
  const wrong = await cli(['run', document('telemetry: trace'), '--otlp', 'nowhere'], { cwd })
  expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('--otlp http://127.0.0.1:4318')])
})

test('telemetry: off loads nothing of OpenTelemetry', async () => {
  const hook = join(cwd, 'loaded.mjs')
  writeFileSync(
    hook,
    `import { registerHooks } from 'node:module'
registerHooks({ resolve(name, context, next) { const found = next(name, context); if (found.url.includes('opentelemetry')) console.error('LOADED ' + found.url); return found } })
`,
  )
  const run = (settings: string): Promise<{ err: string }> =>
    cli(['run', document(settings), '--otlp', url], { cwd, env: { NODE_OPTIONS: `--import=${hook}` } })
  expect((await run('telemetry: off')).err).not.toContain('LOADED')
  expect((await run('telemetry: metrics')).err).not.toContain('LOADED')
  expect((await run('telemetry: trace')).err).toContain('LOADED')
})
