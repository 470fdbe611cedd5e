import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { noRecentClickHouse, startRecentClickHouse } from './services/clickhouse.ts'
import { noKafka } from './services/kafka.ts'
import { sharedKafka } from './services/shared.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const program = join(root, 'bin/millrace.js')

it.each(['file', 'grpc', 'http', 'standard-streams', 'websocket'])(
  'the first example of docs/connectors/%s.md runs and prints what it says',
  async (name) => runExample(name, '4680', String(await freePort())),
)

it('the chat of docs/connectors/websocket.md runs and prints what it says', async () =>
  runExample('websocket', '4680', String(await freePort()), '## A chat with rooms'))

it('the first example of docs/connectors/clickhouse.md runs and prints what it says', async (context) => {
  if (noRecentClickHouse !== null) return context.skip(noRecentClickHouse)
  const server = await startRecentClickHouse()
  try {
    await runExample('clickhouse', '8123', new URL(server.url).port)
  } finally {
    await server.stop()
  }
})

it('the first example of docs/connectors/kafka.md runs and prints what it says', async (context) => {
  if (noKafka !== null) return context.skip(noKafka)
  const [broker = ''] = (await sharedKafka()).brokers
  await runExample('kafka', '9092', broker.slice(broker.lastIndexOf(':') + 1))
})

/** Runs the first blocks of a page, or of the part under a heading, with another port in place of the one that they name. */
async function runExample(name: string, port: string, by: string, heading = ''): Promise<void> {
  const whole = await readFile(new URL(`../docs/connectors/${name}.md`, import.meta.url), 'utf8')
  const page = whole.slice(whole.indexOf(heading))
  const block = (language: string): string =>
    (new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? '').replaceAll(port, by)
  const document = /Save this as `([^`]+)`/.exec(page)?.[1] ?? ''
  const folder = await mkdtemp(join(tmpdir(), 'millrace-docs-'))
  try {
    await writeFile(join(folder, document), block('yaml'))
    // `npx millrace` and `npx node` of a clone with its packages, on the Node that runs this test.
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
    await mkdir(join(folder, '.bin'))
    await symlink(process.execPath, join(folder, '.bin/node'))
    await writeFile(
      join(folder, '.bin/npx'),
      `#!/bin/sh\n[ "$1" = node ] && exec "$@"\nshift\nexec node "${program}" "$@"\n`,
      { mode: 0o755 },
    )
    const { stdout } = await run('bash', ['-e', '-c', `trap 'kill $(jobs -p) 2> .trap || :' EXIT\n${block('sh')}`], {
      cwd: folder,
      env: { ...process.env, PATH: `${join(folder, '.bin')}:${process.env.PATH}` },
      timeout: 30_000,
    })
    expect(stdout).toBe(block('text'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

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
