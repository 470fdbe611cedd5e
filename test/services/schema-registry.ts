import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { promisify } from 'node:util'
import { fetchedPath, fetchOnce } from './fetch-once.ts'
import { freePorts } from './free-ports.ts'
import { missingPrograms } from './programs.ts'
import { spawnTied } from './tied-process.ts'

// The last one that runs on the Java that Kafka runs on here.
const version = '2.6.13.Final'
const name = `apicurio-${version}`

/** Why no schema registry can be started here, for `context.skip`; null where it can. */
export const noSchemaRegistry: string | null = reason()

function reason(): string | null {
  const needed = ['sh', 'java', ...(existsSync(fetchedPath(name)) ? [] : ['mvn', 'tar'])]
  const missing = missingPrograms(needed)
  if (missing.length === 0) return null
  return `skipped: no schema registry, for want of ${missing.join(', ')}; get it by apt-get install default-jre-headless maven`
}

export interface RunningSchemaRegistry {
  /** Where Confluent's API begins. */
  readonly url: string
  stop(): Promise<void>
}

/** Starts Apicurio, which speaks the API of Confluent's registry, in memory; 5 s, and 140 MB from Maven Central the first time. */
export async function startSchemaRegistry(): Promise<RunningSchemaRegistry> {
  const program = await fetchOnce(name, fetchApicurio)
  const [jar] = (await readdir(program)).filter((each) => each.endsWith('-runner.jar'))
  if (jar === undefined) throw new Error(`${program} holds no Apicurio; remove it`)
  const [port] = await freePorts(1)
  const folder = await mkdtemp(join(tmpdir(), 'millrace-registry-'))
  const jvm = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
  const place = ['-Dquarkus.http.host=127.0.0.1', `-Dquarkus.http.port=${port}`]
  const server = spawnTied('java', [...jvm, ...place, '-jar', join(program, jar)], {
    cwd: folder,
    log: join(folder, 'log'),
    folder,
  })
  const url = `http://127.0.0.1:${port}/apis/ccompat/v7`
  for (let tries = 0; !(await answers(`${url}/subjects`)); tries += 1) {
    if (!server.alive || tries > 900) throw new Error(`the schema registry did not start:\n${server.lastWords()}`)
    await after(100)
  }
  return {
    url,
    stop: async () => {
      server.kill('SIGKILL')
      await server.ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function fetchApicurio(into: string, scratch: string): Promise<void> {
  const run = promisify(execFile)
  const artifact = `io.apicurio:apicurio-registry-app:${version}:tar.gz:all`
  const goal = ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${scratch}`]
  await run('mvn', goal, { cwd: scratch, timeout: 280_000 })
  const archive = join(scratch, `apicurio-registry-app-${version}-all.tar.gz`)
  await run('tar', ['-xzf', archive, '-C', into])
  await rm(archive)
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok
  } catch {
    return false
  }
}
