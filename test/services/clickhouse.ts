import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePorts } from './free-ports.ts'
import type { TiedProcess } from './tied-process.ts'
import { spawnTied } from './tied-process.ts'

const program = ['/usr/sbin/clickhouse-server', '/usr/bin/clickhouse-server'].find((path) => existsSync(path))
const chdb = fileURLToPath(new URL('./chdb/', import.meta.url))

/** Why no ClickHouse can be started here, for `context.skip`; null where it can. */
export const noClickHouse: string | null =
  program === undefined ? 'skipped: no ClickHouse; get it by apt-get install clickhouse-server' : null

/** Why no recent engine can be started here, for `context.skip`; null where it can. */
export const noRecentClickHouse: string | null = existsSync(join(chdb, 'node_modules/chdb'))
  ? null
  : 'skipped: no recent ClickHouse; get it by npm install --ignore-scripts --prefix test/services/chdb (500 MB)'

/** A real ClickHouse of our own. */
export interface ClickHouse {
  readonly url: string
  /** Runs SQL, and answers what it prints, by default as TabSeparated. Throws what the server says. */
  sql(text: string): Promise<string>
  /** Ends the server at once, as a power cut would. */
  kill(): Promise<void>
  /** Starts a server that was killed, on its port and with its data. */
  restart(): Promise<void>
  /** Stops the server in its tracks: its connections stay open and nothing answers. */
  freeze(): void
  thaw(): void
  stop(): Promise<void>
}

/** A user of the server of `startClickHouse` who has a password; `default` has none. */
export const writer = { username: 'writer', password: 'wr1ter-secret' }

/** Starts the server that Debian has: 18.16, without parameters, tokens and all that came later. It ends with this process at the latest. */
export function startClickHouse(): Promise<ClickHouse> {
  if (program === undefined) throw new Error(noClickHouse ?? '')
  return start(async (folder, port) => {
    for (const each of ['data', 'tmp']) await mkdir(join(folder, each))
    await writeFile(join(folder, 'config.xml'), configOf(folder, port))
    return [program, `--config-file=${join(folder, 'config.xml')}`]
  })
}

/** Starts a recent engine behind an HTTP interface of our own, without users: for parameters, tokens and what else is new. */
export function startRecentClickHouse(): Promise<ClickHouse> {
  return start(async (folder, port) => [process.execPath, join(chdb, 'front.ts'), String(port), join(folder, 'data')])
}

async function start(prepare: (folder: string, port: number) => Promise<readonly string[]>): Promise<ClickHouse> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-clickhouse-'))
  const port = (await freePorts(1))[0] ?? 0
  const [command = '', ...args] = await prepare(folder, port)
  const url = `http://127.0.0.1:${port}`
  let server: TiedProcess | null = null
  const begin = async (): Promise<void> => {
    const started = spawnTied(command, args, { cwd: folder, log: join(folder, 'server.log'), folder })
    server = started
    const limit = Date.now() + 60_000
    while (!(await answers(url))) {
      if (!started.alive) throw new Error(`ClickHouse ended:\n${started.lastWords()}`)
      if (Date.now() > limit) throw new Error(`ClickHouse is not up after a minute:\n${started.lastWords()}`)
      await sleep(20)
    }
  }
  const end = async (): Promise<void> => {
    server?.kill('SIGKILL')
    await server?.ended
  }
  await begin()
  return {
    url,
    async sql(text) {
      const response = await fetch(url, { method: 'POST', body: text })
      const body = await response.text()
      if (!response.ok) throw new Error(body)
      return body.trimEnd()
    },
    kill: end,
    async restart() {
      await end()
      await begin()
    },
    freeze: () => server?.kill('SIGSTOP'),
    thaw: () => server?.kill('SIGCONT'),
    async stop() {
      await end()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/ping`, { signal: AbortSignal.timeout(1_000) })).ok
  } catch {
    return false
  }
}

function configOf(folder: string, port: number): string {
  const user = (name: string, password: string): string =>
    `<${name}><password>${password}</password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota></${name}>`
  return `<yandex>
<logger><console>1</console><level>warning</level></logger>
<http_port>${port}</http_port><listen_host>127.0.0.1</listen_host>
<path>${folder}/data/</path><tmp_path>${folder}/tmp/</tmp_path><mark_cache_size>67108864</mark_cache_size>
<users_config>config.xml</users_config>
<profiles><default/></profiles><quotas><default/></quotas>
<users>${user('default', '')}${user(writer.username, writer.password)}</users>
</yandex>
`
}
