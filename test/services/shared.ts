import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inject } from 'vitest'
import type { TestProject } from 'vitest/node'
import type { Kafka, KafkaAddress } from './kafka.ts'
import { startKafka } from './kafka.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    readonly sharedServices: string
  }
}

/**
 * Vitest's global set-up: a small door of the main process behind which servers stand that all test files share. One starts when the first
 * file asks for it and stops with the run, so a run that needs none pays for none.
 */
export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  let kafka: Promise<Kafka> | null = null
  const door = createServer((request, response) => {
    if (request.url !== '/kafka') return void response.writeHead(404).end()
    kafka ??= startKafka()
    kafka.then(
      (started) => response.end(JSON.stringify(started)),
      (thrown: unknown) => response.writeHead(500).end(thrown instanceof Error ? thrown.message : String(thrown)),
    )
  })
  const address = await new Promise<AddressInfo | string | null>((resolve) =>
    door.listen(0, '127.0.0.1', () => resolve(door.address())),
  )
  if (address === null || typeof address === 'string') throw new Error('the door of the shared services has no port')
  project.provide('sharedServices', `http://127.0.0.1:${address.port}`)
  return async () => {
    door.close()
    door.closeAllConnections()
    await (await kafka?.catch(() => null))?.stop()
  }
}

/**
 * The one broker that all test files of a run share, started when first asked for. Use topics and groups with random names; who wants
 * to kill it, or to look at all topics, starts its own with `startKafka`.
 */
export async function sharedKafka(): Promise<KafkaAddress> {
  const response = await fetch(`${inject('sharedServices')}/kafka`)
  if (!response.ok) throw new Error(await response.text())
  // The other side of our own door, a few lines above.
  const address: KafkaAddress = await response.json()
  return address
}
