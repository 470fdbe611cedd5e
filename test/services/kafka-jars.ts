import { execFile } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { mkdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { promisify } from 'node:util'
import { root } from '../source-files.ts'

const version = '4.1.0'
const folder = join(root, 'node_modules/.cache', `kafka-${version}`)
const jars = join(folder, 'jars')

/** Why no Kafka can be started here, for `context.skip`; null where it can. */
export const noKafka: string | null = reason()

function reason(): string | null {
  const needed = existsSync(jars) ? ['sh', 'openssl', 'java'] : ['sh', 'openssl', 'java', 'mvn']
  const missing = needed.filter((program) => !isInPath(program))
  if (missing.length === 0) return null
  return `skipped: no Kafka, for want of ${missing.join(', ')}; get it by apt-get install openssl default-jre-headless maven`
}

function isInPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((each) => {
    return statSync(join(each, program), { throwIfNoEntry: false })?.isFile() === true
  })
}

/** The folder with Kafka's jars, 43 MB from Maven Central, fetched once; whoever asks meanwhile waits. */
export async function kafkaJars(): Promise<string> {
  const lock = join(folder, 'fetching')
  await mkdir(folder, { recursive: true })
  for (let waited = 0; !existsSync(jars); waited += 1) {
    if (await taken(lock)) {
      if (waited > 1_200) throw new Error(`Kafka's jars are still being fetched after 5 minutes; remove ${lock}`)
      await after(250)
      continue
    }
    const beat = setInterval(() => void utimes(lock, new Date(), new Date()).catch(() => undefined), 1_000)
    try {
      await fetchJars()
    } finally {
      clearInterval(beat)
      await rm(lock, { recursive: true, force: true })
    }
  }
  return jars
}

/** True while another process holds the lock. It touches it every second, so that one that died holds nobody up. */
async function taken(lock: string): Promise<boolean> {
  try {
    await mkdir(lock)
    return false
  } catch {
    const held = await stat(lock).catch(() => null)
    if (held !== null && Date.now() - held.mtimeMs > 10_000) await rm(lock, { recursive: true, force: true })
    return true
  }
}

async function fetchJars(): Promise<void> {
  const unfinished = join(folder, `jars-${process.pid}`)
  await writeFile(join(folder, 'pom.xml'), pom)
  const goal = ['-q', '-B', '-f', join(folder, 'pom.xml'), 'dependency:copy-dependencies', '-DincludeScope=runtime']
  try {
    await promisify(execFile)('mvn', [...goal, `-DoutputDirectory=${unfinished}`], { timeout: 240_000 })
  } catch (thrown) {
    await rm(unfinished, { recursive: true, force: true })
    throw new Error(`Maven could not fetch Kafka ${version}: ${thrown instanceof Error ? thrown.message : thrown}`)
  }
  await rename(unfinished, jars)
}

const dependency = (group: string, artifact: string, number: string): string =>
  `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${number}</version></dependency>`

// The second one is what leads Kafka's log to a place where it can be read.
const pom = `<project><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
${dependency('org.apache.kafka', 'kafka_2.13', version)}
${dependency('org.apache.logging.log4j', 'log4j-slf4j-impl', '2.24.3')}
</dependencies></project>
`
