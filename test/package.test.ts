import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildPackages } from '../scripts/build.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
let folder = ''
let app = ''

/** Packs what is built and unpacks it where an installation would put it, beside the repository's own dependencies. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-package-'))
  app = join(folder, 'app')
  const modules = join(app, 'node_modules')
  await mkdir(modules, { recursive: true })
  await writeFile(join(app, 'package.json'), '{ "type": "module" }')
  const built = await buildPackages(join(folder, 'dist'))
  for (const [name, source] of [
    ['millrace', built.millrace],
    ['millrace-sdk', built.sdk],
  ] as const) {
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
    await run(npm, ['pack', '--ignore-scripts', '--offline', '--pack-destination', folder], { cwd: source })
    await mkdir(join(modules, name))
    const archive = (await readdir(folder)).find((each) => new RegExp(`^${name}-\\d.*\\.tgz$`).test(each)) ?? ''
    await run('tar', ['-xzf', join(folder, archive), '--strip-components=1', '-C', join(modules, name)])
  }
  for (const name of await readdir(join(root, 'node_modules')))
    if (!name.startsWith('.') && !name.startsWith('millrace'))
      await symlink(join(root, 'node_modules', name), join(modules, name), 'junction')
}, 60_000)

afterAll(() => rm(folder, { recursive: true, force: true }))

/** Runs the installed program and answers its standard output. */
async function millrace(...options: readonly string[]): Promise<string> {
  const program = join(app, 'node_modules/millrace/bin/millrace.js')
  return (await run(process.execPath, [program, ...options], { cwd: app, timeout: 30_000 })).stdout
}

async function write(name: string, text: string): Promise<string> {
  await writeFile(join(app, name), text)
  return name
}

const squares = (settings: string): string => `
millrace: 1
name: squares
settings: { ${settings} }
nodes:
  numbers: { type: generate@1, config: { count: 4, value: "{{ $json * $json }}" } }
  even: { type: filter@1, config: { where: "{{ $json % 2 === 0 }}" } }
edges: [numbers -> even]
`

describe('the installed package', () => {
  test('holds no TypeScript but declarations, and no tests', async () => {
    const files = await readdir(join(app, 'node_modules/millrace'), { recursive: true })
    expect(files.filter((file) => /(?<!\.d)\.ts$|\.test\.|\.fixture\.|conformance/.test(file))).toEqual([])
    expect(files).toContain(join('demos', 'thumbnails', 'page', 'index.html'))
  })

  test('lists node types', async () => {
    expect(await millrace('nodes')).toContain('http.request')
  })

  test.each(['', 'isolation: thread'])('runs a workflow (%s)', async (settings) => {
    const file = await write('squares.yaml', squares(settings))
    expect(await millrace('run', file, '--quiet')).toBe('0\n4\n')
  })

  test('runs a task in a pool of processes', async () => {
    await write(
      'tasks.js',
      `import { defineTask } from 'millrace/workers'
defineTask('shout', async function* (input, { runner }) { for (const word of input) yield word.toUpperCase() + ' ' + runner.backend })`,
    )
    const file = await write(
      'shout.yaml',
      `
millrace: 1
name: shout
nodes:
  go: { type: manual@1 }
  loud: { type: pool@1, config: { task: shout, backend: process, max: 1 } }
edges: [go -> loud]
`,
    )
    expect(await millrace('run', file, '--tasks', 'tasks.js', '--input', '["a","b"]', '--quiet')).toBe(
      '"A process"\n"B process"\n',
    )
  })

  test('serves the modules of pages as JavaScript under the names that they were written with', async () => {
    const file = await write(
      'pages.js',
      `import { fileURLToPath } from 'node:url'
import { createServer, sdkPages } from 'millrace/server'
const directory = fileURLToPath(new URL('./node_modules/millrace/demos/thumbnails/page', import.meta.url))
const server = await createServer({ port: 0, pages: [{ path: '/', directory }, ...sdkPages] })
for (const path of ['/', '/main.ts', '/sdk/index.ts', '/sdk/client.js', '/core/protocol/frame.js']) {
  const answer = await fetch(server.url + path)
  console.log(answer.status, answer.headers.get('content-type'), path)
}
await server.close()`,
    )
    const { stdout } = await run(process.execPath, [file], { cwd: app, timeout: 30_000 })
    expect(stdout.trim().split('\n')).toEqual([
      '200 text/html; charset=utf-8 /',
      ...['/main.ts', '/sdk/index.ts', '/sdk/client.js', '/core/protocol/frame.js'].map(
        (path) => `200 text/javascript; charset=utf-8 ${path}`,
      ),
    ])
  })

  test('has types behind every door', async () => {
    await write(
      'typed.ts',
      `import { define, parse } from 'millrace'
import { catalogue } from 'millrace/nodes'
import { createServer } from 'millrace/server'
import { runFlow } from 'millrace/testing'
import { defineTask } from 'millrace/workers'
import { connect } from 'millrace-sdk'
const client: { close(): void } = connect('http://127.0.0.1:1')
export const found: boolean = catalogue.find('filter@1') !== null
// @ts-expect-error a port is a number
void createServer({ port: 'none' })
// @ts-expect-error a document is text
void parse(5)
export { client, define, defineTask, runFlow }`,
    )
    const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc')
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2024', 'typed.ts']
    await run(process.execPath, [compiler, ...options], { cwd: app, timeout: 60_000 }).catch((thrown) => {
      throw new Error(String(thrown.stdout))
    })
  })
})

describe('the installed SDK', () => {
  test('needs nothing else, and works in Node', async () => {
    const about: unknown = JSON.parse(await readFile(join(app, 'node_modules/millrace-sdk/package.json'), 'utf8'))
    expect(about).not.toHaveProperty('dependencies')
    const code = await readFile(join(app, 'node_modules/millrace-sdk/index.js'), 'utf8')
    expect(code).not.toMatch(/\bimport\b\s*[({'"*]|\brequire\(|['"]node:/)
    const file = await write(
      'sdk.js',
      `import { connect } from 'millrace-sdk'
import { createServer } from 'millrace/server'
const server = await createServer({ port: 0 })
const client = connect(server.url)
const reading = client.topic('words').subscribe()[Symbol.asyncIterator]()
await server.topics.publish('words', ['hello'], new AbortController().signal)
console.log((await reading.next()).value.value)
client.close()
await server.close()`,
    )
    expect((await run(process.execPath, [file], { cwd: app, timeout: 30_000 })).stdout).toBe('hello\n')
  })
})
