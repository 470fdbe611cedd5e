import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fetchedPath, fetchOnce } from './fetch-once.ts'
import { missingPrograms } from './programs.ts'

const version = '4.1.0'
const name = `kafka-${version}`

/** Why no Kafka can be started here, for `context.skip`; null where it can. */
export const noKafka: string | null = reason()

function reason(): string | null {
  const needed = ['sh', 'openssl', 'java', ...(existsSync(fetchedPath(name)) ? [] : ['mvn'])]
  const missing = missingPrograms(needed)
  if (missing.length === 0) return null
  return `skipped: no Kafka, for want of ${missing.join(', ')}; get it by apt-get install openssl default-jre-headless maven`
}

/** The folder with Kafka's jars, 43 MB from Maven Central, fetched once. */
export function kafkaJars(): Promise<string> {
  return fetchOnce(name, async (into, scratch) => {
    const project = join(scratch, 'pom.xml')
    await writeFile(project, pom)
    const goal = ['-q', '-B', '-f', project, 'dependency:copy-dependencies', '-DincludeScope=runtime']
    try {
      await promisify(execFile)('mvn', [...goal, `-DoutputDirectory=${into}`], { timeout: 240_000 })
    } catch (thrown) {
      throw new Error(`Maven could not fetch Kafka ${version}: ${thrown instanceof Error ? thrown.message : thrown}`)
    }
  })
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
