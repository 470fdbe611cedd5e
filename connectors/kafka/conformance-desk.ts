import { randomUUID } from 'node:crypto'
import { test } from 'vitest'
import type { Kafka, KafkaAddress, KafkaOptions } from '../../test/services/kafka.ts'
import { noKafka, startKafka } from '../../test/services/kafka.ts'
import { sharedKafka } from '../../test/services/shared.ts'
import { Reading } from './conformance-reading.ts'
import type {
  Admin,
  ConnectionOptions,
  ConsumerOptions,
  Driver,
  DriverName,
  OutHeader,
  Producer,
  ProducerOptions,
  SendFailure,
} from './driver.ts'
import { openDriver } from './open-driver.ts'

/** A record as the tests write it. */
export interface Sent {
  readonly topic: string
  readonly value: string | Uint8Array | null
  readonly key?: string | Uint8Array | null
  readonly partition?: number
  readonly headers?: readonly OutHeader[]
  readonly timestampMs?: number
}

export const never = new AbortController().signal

/** A test of one driver against the real broker that all tests share; whatever it opened is closed after it. */
export function driverTest(name: DriverName, title: string, body: (desk: Desk) => Promise<void>): void {
  test(title, async (context) => {
    if (noKafka !== null) return context.skip(noKafka)
    const desk = new Desk(await openDriver(name), await sharedKafka())
    try {
      await body(desk)
    } finally {
      await desk.close()
    }
  })
}

/** The same against a Kafka of its own, to which it may do harm. */
export function faultTest(
  name: DriverName,
  title: string,
  options: KafkaOptions,
  body: (desk: Desk, kafka: Kafka) => Promise<void>,
): void {
  test(title, { timeout: 180_000 }, async (context) => {
    if (noKafka !== null) return context.skip(noKafka)
    const kafka = await startKafka(options)
    const desk = new Desk(await openDriver(name), kafka)
    try {
      await body(desk, kafka)
    } finally {
      await desk.close().finally(() => kafka.stop())
    }
  })
}

/** What a test opens, with options that suit tests: short waits, small fetches. */
export class Desk {
  readonly driver: Driver
  readonly kafka: KafkaAddress
  readonly #opened: { close(): Promise<void> }[] = []
  #admin: Admin | null = null

  constructor(driver: Driver, kafka: KafkaAddress) {
    this.driver = driver
    this.kafka = kafka
  }

  connection(over: Partial<ConnectionOptions> = {}): ConnectionOptions {
    const { brokers } = this.kafka
    const limits = { connectMsMax: 3_000, requestMsMax: 10_000 }
    return { brokers, clientId: 'conformance', tls: null, sasl: null, ...limits, ...over }
  }

  consumerOptions(over: Partial<ConsumerOptions>): ConsumerOptions {
    return {
      ...this.connection(),
      group: null,
      assigned: [],
      from: { kind: 'earliest' },
      isolation: 'read-committed',
      sessionMsMax: 6_000,
      heartbeatMs: 200,
      rebalanceMsMax: 6_000,
      partitionFetchBytesMax: 256 * 1024,
      prefetchBytesMax: 4 * 1024 * 1024,
      fetchWaitMsMax: 100,
      ...over,
    }
  }

  producerOptions(over: Partial<ProducerOptions> = {}): ProducerOptions {
    return {
      ...this.connection(),
      acks: 'all',
      idempotent: true,
      compression: 'none',
      requestsMax: 4,
      batchBytesMax: 512 * 1024,
      recordBytesMax: 1_000_000,
      deliveryMsMax: 20_000,
      transaction: null,
      ...over,
    }
  }

  async admin(): Promise<Admin> {
    this.#admin ??= this.owned(await this.driver.openAdmin(this.connection()))
    return this.#admin
  }

  /** A new topic with a random name, with as many replicas as the Kafka has brokers. */
  async topic(partitions = 1, settings: Readonly<Record<string, string>> = {}): Promise<string> {
    const topic = `t-${randomUUID()}`
    await (await this.admin()).createTopics([{ topic, partitions, replicas: -1, settings }])
    return topic
  }

  group(topics: readonly string[], id: string = randomUUID()): NonNullable<ConsumerOptions['group']> {
    return { id, instanceId: null, topics }
  }

  /** Opens a consumer that takes whatever comes. */
  async read(over: Partial<ConsumerOptions>, reading: Reading = new Reading()): Promise<Reading> {
    await reading.open(this.driver, this.consumerOptions(over))
    return this.owned(reading)
  }

  async producer(over: Partial<ProducerOptions> = {}): Promise<Producer> {
    return this.owned(await this.driver.openProducer(this.producerOptions(over)))
  }

  /** Sends in one draft; throws what failed. */
  async send(producer: Producer, records: readonly Sent[]): Promise<void> {
    const failures = await this.trySend(producer, records)
    if (failures.length > 0) throw new Error(`not sent: ${JSON.stringify(failures)}`)
  }

  async trySend(producer: Producer, records: readonly Sent[]): Promise<readonly SendFailure[]> {
    for (const topic of new Set(records.map((each) => each.topic))) await producer.prepare(topic, never)
    const draft = producer.draft()
    for (const { topic, partition, key, value, headers, timestampMs } of records) {
      draft.add(topic, partition ?? null, key ?? null, value, headers ?? null, timestampMs ?? Date.now())
    }
    return producer.send(draft, never)
  }

  /** Sends by a producer that is closed again. */
  async write(records: readonly Sent[], over: Partial<ProducerOptions> = {}): Promise<void> {
    const producer = await this.driver.openProducer(this.producerOptions(over))
    await this.send(producer, records).finally(() => producer.close())
  }

  owned<T extends { close(): Promise<void> }>(resource: T): T {
    this.#opened.push(resource)
    return resource
  }

  async close(): Promise<void> {
    for (const each of this.#opened.reverse()) await each.close()
  }
}

/** Values `0` to `count - 1` for one topic. */
export function numbered(topic: string, count: number, more: Partial<Sent> = {}): readonly Sent[] {
  return Array.from({ length: count }, (_, index) => ({ topic, value: String(index), ...more }))
}
