/**
 * A program that uses a driver, closes what it opened, and must then end by itself: `node conformance-closing.ts DRIVER TOPIC BROKER…`.
 */
import { randomUUID } from 'node:crypto'
import type { ConnectionOptions } from './driver.ts'
import { driverNames } from './driver.ts'
import { openDriver } from './open-driver.ts'

const [, , wanted, topic = '', ...brokers] = process.argv
const name = driverNames.find((each) => each === wanted)
if (name === undefined) throw new Error(`no driver ${wanted}`)
const limits = { connectMsMax: 3_000, requestMsMax: 10_000 }
const connection: ConnectionOptions = { brokers, clientId: 'closing', tls: null, sasl: null, ...limits }

const driver = await openDriver(name)
const admin = await driver.openAdmin(connection)
const partitions = await admin.partitions(topic)

const producer = await driver.openProducer({
  ...connection,
  acks: 'all',
  idempotent: true,
  compression: 'none',
  requestsMax: 4,
  batchBytesMax: 500_000,
  recordBytesMax: 500_000,
  deliveryMsMax: 10_000,
  transaction: null,
})
await producer.prepare(topic, new AbortController().signal)
const draft = producer.draft()
draft.add(topic, null, 'key', 'value', null, Date.now())
const failures = await producer.send(draft, new AbortController().signal)

const read = Promise.withResolvers<number>()
const consumer = await driver.openConsumer(
  {
    ...connection,
    group: { id: randomUUID(), instanceId: null, topics: [topic] },
    assigned: [],
    from: { kind: 'earliest' },
    isolation: 'read-committed',
    sessionMsMax: 10_000,
    heartbeatMs: 1_000,
    rebalanceMsMax: 10_000,
    partitionFetchBytesMax: 100_000,
    prefetchBytesMax: 1_000_000,
    fetchWaitMsMax: 500,
  },
  {
    assigned: () => undefined,
    revoked: () => Promise.resolve(),
    ready: () => queueMicrotask(() => read.resolve(consumer.take()?.count ?? 0)),
    trouble: () => undefined,
    failed: (failure) => read.reject(new Error(failure.message)),
  },
)
const count = await read.promise

await Promise.all([consumer.close(), producer.close(), admin.close()])
const closedAt = performance.now()
console.log(`closed: ${partitions} partitions, ${failures.length} failures, ${count} records`)
process.on('exit', () => console.log(`left after ${Math.round(performance.now() - closedAt)} ms`))
