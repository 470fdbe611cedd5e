import { openDriver } from '../../connectors/kafka/open-driver.ts'
import type { SideOptions } from './work.ts'
import { handWork } from './work.ts'

/** The loop as one writes it by hand on the `batch` driver. */
export async function bareDriver(options: SideOptions): Promise<() => Promise<void>> {
  const driver = await openDriver('batch')
  return async () => {
    const connection = {
      brokers: options.brokers,
      clientId: 'bare',
      tls: null,
      sasl: null,
      connectMsMax: 10_000,
      requestMsMax: 30_000,
    }
    const signal = new AbortController().signal
    const producer = await driver.openProducer({
      ...connection,
      acks: 'all',
      idempotent: true,
      compression: 'none',
      requestsMax: 5,
      batchBytesMax: 1_000_000,
      recordBytesMax: 1_000_000,
      deliveryMsMax: 120_000,
      transaction: null,
    })
    await producer.prepare(options.to, signal)
    let wake = (): void => undefined
    const consumer = await driver.openConsumer(
      {
        ...connection,
        group: { id: options.group, instanceId: null, topics: [options.from] },
        assigned: [],
        from: { kind: 'earliest' },
        isolation: 'read-committed',
        sessionMsMax: 30_000,
        heartbeatMs: 3_000,
        rebalanceMsMax: 60_000,
        partitionFetchBytesMax: 1_048_576,
        prefetchBytesMax: 16_777_216,
        fetchWaitMsMax: 500,
      },
      {
        assigned: () => undefined,
        revoked: async () => undefined,
        ready: () => wake(),
        trouble: () => undefined,
        failed: (failure) => {
          throw new Error(failure.message)
        },
      },
    )
    let read = 0
    const sending = new Set<Promise<void>>()
    while (read < options.count) {
      const block = consumer.take()
      if (block === null) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      const cursor = block.cursor()
      const draft = producer.draft()
      while (cursor.next()) {
        const value = handWork(cursor.bytes.toString('utf8', cursor.valueStart, cursor.valueEnd))
        if (value !== null) draft.add(options.to, null, null, value, null, cursor.timestampMs)
      }
      read += block.count
      const { topic, partition, lastOffset } = block
      const sent = producer.send(draft, signal).then(async (failed) => {
        if (failed.length > 0) throw new Error(failed[0]?.failure.message)
        sending.delete(sent)
        await consumer.commit([{ topic, partition, offset: lastOffset + 1 }])
      })
      sending.add(sent)
      if (sending.size >= 5) await Promise.race(sending)
    }
    await Promise.all(sending)
    await consumer.close()
    await producer.close()
  }
}
