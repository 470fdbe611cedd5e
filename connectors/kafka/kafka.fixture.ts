import { randomUUID } from 'node:crypto'
import { planText } from '../../core/document/plan-text.ts'
import type { DeadLetter } from '../../core/host.ts'
import type { Outcome, Pipeline } from '../../core/pipeline.ts'
import { catalogue } from '../../nodes.ts'
import { createHost } from '../../server/host.ts'
import { launch } from '../../server/isolation/launch.ts'
import type { KafkaAddress } from '../../test/services/kafka.ts'
import type { ConnectionOptions, Driver, OutHeader } from './driver.ts'

export interface ReadRecord {
  readonly key: string | null
  readonly value: string | null
  readonly headers: Readonly<Record<string, string>>
  readonly partition: number
  readonly time: number
}

/** Documents that run against a real Kafka, and what tests ask of that by hand. */
export class KafkaFlows {
  readonly address: KafkaAddress
  readonly driver: Driver
  readonly letters: DeadLetter[] = []
  readonly log: string[] = []
  readonly #pipelines: Pipeline[] = []

  constructor(address: KafkaAddress, driver: Driver) {
    this.address = address
    this.driver = driver
  }

  /** Runs a document; the word `KAFKA` stands for `brokers` and `driver` in it. */
  async start(text: string, before?: Pipeline): Promise<Pipeline> {
    const planned = planText(
      text.replaceAll('KAFKA', `brokers: [${this.address.brokers.join(', ')}], driver: ${this.driver.name}`),
      catalogue,
    )
    const host = createHost({
      log: { write: (level, line) => void this.log.push(`${level} ${line}`) },
      deadLetter: async (letters) => void this.letters.push(...letters),
    })
    const pipeline = await launch(planned, catalogue, host, { folders: [] }, before)
    this.#pipelines.push(pipeline)
    return pipeline
  }

  /** Runs a document to its end. */
  async run(text: string): Promise<Outcome> {
    const pipeline = await this.start(text)
    const execution = await pipeline.open()
    if (execution === null) throw new Error('the document has no stream trigger')
    const outcome = await execution.done
    await pipeline.release()
    return outcome
  }

  async topic(partitions = 1): Promise<string> {
    const topic = `t-${randomUUID().slice(0, 8)}`
    const admin = await this.driver.openAdmin(this.connection())
    await admin.createTopics([{ topic, partitions, replicas: -1, settings: {} }])
    await admin.close()
    return topic
  }

  async drop(topic: string): Promise<void> {
    const admin = await this.driver.openAdmin(this.connection())
    await admin.deleteTopics([topic])
    await admin.close()
  }

  async write(
    topic: string,
    records: readonly {
      readonly value: string | Uint8Array | null
      readonly key?: string
      readonly headers?: readonly OutHeader[]
      readonly time?: number
      readonly partition?: number
    }[],
  ): Promise<void> {
    const producer = await this.driver.openProducer({
      ...this.connection(),
      acks: 'all',
      idempotent: true,
      compression: 'none',
      requestsMax: 5,
      batchBytesMax: 1_000_000,
      recordBytesMax: 1_000_000,
      deliveryMsMax: 30_000,
      transaction: null,
    })
    const signal = AbortSignal.timeout(60_000)
    await producer.prepare(topic, signal)
    for (let at = 0; at < records.length; at += 1_000) {
      const draft = producer.draft()
      for (const { value, key, headers, time, partition } of records.slice(at, at + 1_000))
        draft.add(topic, partition ?? null, key ?? null, value, headers ?? null, time ?? Date.now())
      const failed = await producer.send(draft, signal)
      if (failed.length > 0) throw new Error(JSON.stringify(failed))
    }
    await producer.close()
  }

  /**
   * All records of a topic that are committed, by partition and offset. A last record is written to each partition and read for:
   * what lies before it has been seen then, whatever a transaction left there.
   */
  async read(topic: string): Promise<readonly ReadRecord[]> {
    const admin = await this.driver.openAdmin(this.connection())
    const partitions = (await admin.partitions(topic)) ?? 0
    await admin.close()
    const last = `last ${randomUUID()}`
    const numbers = Array.from({ length: partitions }, (_, partition) => partition)
    await this.write(
      topic,
      numbers.map((partition) => ({ value: last, partition })),
    )
    const found: ReadRecord[] = []
    let open = partitions
    let wake = (): void => undefined
    const consumer = await this.driver.openConsumer(
      {
        ...this.connection(),
        group: null,
        assigned: numbers.map((partition) => ({ topic, partition })),
        from: { kind: 'earliest' },
        isolation: 'read-committed',
        sessionMsMax: 10_000,
        heartbeatMs: 1_000,
        rebalanceMsMax: 10_000,
        partitionFetchBytesMax: 1_000_000,
        prefetchBytesMax: 16_000_000,
        fetchWaitMsMax: 100,
      },
      {
        assigned: () => undefined,
        revoked: async () => undefined,
        ready: () => wake(),
        trouble: () => undefined,
        failed: () => undefined,
      },
    )
    const limit = Date.now() + 30_000
    while (open > 0) {
      const block = consumer.take()
      if (block === null) {
        if (Date.now() > limit) throw new Error(`reading ${topic} does not come to its end; ${found.length} records`)
        await new Promise<void>((resolve) => {
          wake = resolve
          setTimeout(resolve, 200)
        })
        continue
      }
      const cursor = block.cursor()
      while (cursor.next()) {
        const { bytes, keyStart, keyEnd, valueStart, valueEnd } = cursor
        const value = valueEnd < 0 ? null : bytes.toString('utf8', valueStart, valueEnd)
        if (value === last) open -= 1
        // Those of earlier reads are none of the test's.
        if (value?.startsWith('last ') === true) continue
        found.push({
          key: keyEnd < 0 ? null : bytes.toString('utf8', keyStart, keyEnd),
          value,
          headers: block.headersAt(cursor.at),
          partition: block.partition,
          time: cursor.timestampMs,
        })
      }
    }
    await consumer.close()
    return found
  }

  async json(topic: string): Promise<readonly unknown[]> {
    return (await this.read(topic)).map((each) => JSON.parse(String(each.value)))
  }

  async groupOffset(group: string, topic: string): Promise<number> {
    const positions = await this.#insist(async () => {
      // A broker that stands still must not hold up the question: it is put again, to another one.
      const admin = await this.driver.openAdmin({ ...this.connection(), connectMsMax: 1_000, requestMsMax: 2_000 })
      return admin.groupOffsets(group, [topic]).finally(() => admin.close())
    })
    return positions.reduce((sum, each) => sum + Math.max(0, each.offset), 0)
  }

  /** Brokers that come and go are none of the test's own business. */
  async #insist<T>(ask: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++)
      try {
        return await ask()
      } catch (thrown) {
        if (attempt >= 50) throw thrown
        await new Promise((resolve) => setTimeout(resolve, 200))
      }
  }

  async close(): Promise<void> {
    await Promise.all(this.#pipelines.map((each) => each.release(2_000)))
  }

  connection(): ConnectionOptions {
    const { brokers } = this.address
    return { brokers, clientId: 'test', tls: null, sasl: null, connectMsMax: 5_000, requestMsMax: 20_000 }
  }
}

export const id = (): string => `g-${randomUUID().slice(0, 8)}`

/** Waits for an outside condition. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  msMax = 30_000,
): Promise<void> {
  const limit = Date.now() + msMax
  while (!(await condition())) {
    if (Date.now() > limit)
      throw new Error(`this did not come true in ${msMax} ms: ${typeof what === 'string' ? what : what()}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
