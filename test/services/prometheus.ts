import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePorts } from './free-ports.ts'
import { spawnTied } from './tied-process.ts'

/** Why no Prometheus can be started here, for `context.skip`; null where it can. */
export const noPrometheus: string | null =
  spawnSync('promtool', ['--version']).error === undefined && spawnSync('prometheus', ['--version']).error === undefined
    ? null
    : 'skipped: no Prometheus; get it by apt-get install --no-install-recommends prometheus'

/** A real Prometheus of our own that scrapes one server, each second. */
export interface Prometheus {
  /** The value of a query that has one series; null while it has none. */
  value(query: string): Promise<number | null>
  /** What it says of its one target: `up`, or why not. */
  target(): Promise<string>
  stop(): Promise<void>
}

/** Starts it with a configuration in which `targets:` gets this address. It ends with this process at the latest. */
export async function startPrometheus(config: string): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-prometheus-'))
  const [port = 0] = await freePorts(1)
  await writeFile(join(folder, 'prometheus.yml'), config)
  const args = [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]
  const server = spawnTied('prometheus', args, { cwd: folder, log: join(folder, 'log'), folder })
  const ask = async (path: string): Promise<unknown> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(5_000) })
    return answer.json()
  }
  const limit = Date.now() + 30_000
  while (
    !(await fetch(`http://127.0.0.1:${port}/-/ready`).then(
      (answer) => answer.ok,
      () => false,
    ))
  ) {
    if (!server.alive || Date.now() > limit) throw new Error(`Prometheus does not start:\n${server.lastWords()}`)
    await sleep(50)
  }
  return {
    async value(query) {
      // The answer of https://prometheus.io/docs/prometheus/latest/querying/api/
      const { data } = (await ask(`/api/v1/query?query=${encodeURIComponent(query)}`)) as {
        data?: { result: { value: [number, string] }[] }
      }
      const value = data?.result[0]?.value[1]
      return value === undefined ? null : Number(value)
    },
    async target() {
      const { data } = (await ask('/api/v1/targets')) as {
        data: { activeTargets: { health: string; lastError: string }[] }
      }
      const [only] = data.activeTargets
      return only === undefined ? 'none' : only.lastError === '' ? only.health : only.lastError
    },
    async stop() {
      server.kill('SIGTERM')
      await server.ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}
