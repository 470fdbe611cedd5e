import { describe, expect } from 'vitest'
import { driverTest, never, numbered } from './conformance-desk.ts'
import type { DriverName } from './driver.ts'
import { partitionOf } from './partitioner.ts'

/** Writing: partitions, order, limits, acknowledgements. */
export function producing(name: DriverName): void {
  describe('produces', () => {
    driverTest(name, 'keys to the partitions that the Java client chooses', async (desk) => {
      const topic = await desk.topic(7)
      const keys = Array.from({ length: 50 }, (_, index) => `ключ-${index}`)
      await desk.write(keys.map((key) => ({ topic, key, value: key })))
      const assigned = Array.from({ length: 7 }, (_, partition) => ({ topic, partition }))
      const reading = await desk.read({ assigned })
      await reading.untilRead(50)
      for (const { key, partition } of reading.records) {
        const bytes = Buffer.from(key ?? '')
        expect(partition).toBe(partitionOf(bytes, 0, bytes.length, 7))
      }
    })

    driverTest(name, 'to a partition that is named, and those without a key all to one', async (desk) => {
      const topic = await desk.topic(5)
      await desk.write([...numbered(topic, 3, { partition: 4, key: 'k' }), ...numbered(topic, 20)])
      const assigned = [0, 1, 2, 3, 4].map((partition) => ({ topic, partition }))
      const reading = await desk.read({ assigned })
      await reading.untilRead(23)
      const named = reading.records.filter((each) => each.key === 'k')
      expect(named.map((each) => each.partition)).toEqual([4, 4, 4])
      expect(new Set(reading.records.filter((each) => each.key === null).map((each) => each.partition)).size).toBe(1)
    })

    driverTest(name, 'in order, with several sends under way', async (desk) => {
      const topic = await desk.topic(2)
      const producer = await desk.producer()
      const sends = Array.from({ length: 30 }, (_, round) =>
        desk.send(
          producer,
          Array.from({ length: 100 }, (_, index) => ({
            topic,
            partition: index % 2,
            value: String(round * 100 + index),
          })),
        ),
      )
      await Promise.all(sends)
      const reading = await desk.read({ assigned: [0, 1].map((partition) => ({ topic, partition })) })
      await reading.untilRead(3_000)
      for (const partition of [0, 1]) {
        const values = reading.records.filter((each) => each.partition === partition).map((each) => Number(each.value))
        expect(values).toEqual(Array.from({ length: 1_500 }, (_, index) => index * 2 + partition))
      }
    })

    driverTest(name, 'one draft to several topics, larger than a batch', async (desk) => {
      const topics = [await desk.topic(), await desk.topic(2)]
      const value = 'x'.repeat(1_000)
      const records = Array.from({ length: 600 }, (_, index) => ({
        topic: topics[index % 2]!,
        key: String(index),
        value,
      }))
      await desk.write(records, { batchBytesMax: 50_000 })
      const assigned = [
        { topic: topics[0]!, partition: 0 },
        { topic: topics[1]!, partition: 0 },
        { topic: topics[1]!, partition: 1 },
      ]
      const reading = await desk.read({ assigned })
      await reading.untilRead(600)
      expect(new Set(reading.records.map((each) => each.key)).size).toBe(600)
    })

    for (const acks of ['leader', 'none'] as const) {
      driverTest(name, `with acknowledgement by ${acks}`, async (desk) => {
        const topic = await desk.topic()
        const producer = await desk.producer({ acks, idempotent: false })
        await desk.send(producer, numbered(topic, 10))
        const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
        await reading.untilRead(10)
      })
    }

    driverTest(name, 'nothing to a topic that does not exist', async (desk) => {
      const producer = await desk.producer()
      await expect(producer.prepare('no-such-topic', never)).rejects.toMatchObject({ code: 'kafka.unknown-topic' })
      const draft = producer.draft()
      expect(() => draft.add('no-such-topic', null, null, 'x', null, 0)).toThrow(
        expect.objectContaining({ code: 'kafka.unknown-topic' }),
      )
      expect(draft.count).toBe(0)
    })

    driverTest(name, 'nothing to a partition that does not exist', async (desk) => {
      const topic = await desk.topic(2)
      const producer = await desk.producer()
      await producer.prepare(topic, never)
      const draft = producer.draft()
      expect(() => draft.add(topic, 2, null, 'x', null, 0)).toThrow(/partitions 0 to 1, not 2/)
      expect(() => draft.add(topic, -1, null, 'x', null, 0)).toThrow(
        expect.objectContaining({ code: 'kafka.unknown-partition' }),
      )
      draft.add(topic, 1, null, 'kept', null, 0)
      expect(await producer.send(draft, never)).toEqual([])
    })

    driverTest(name, 'no record over its own limit, and all others', async (desk) => {
      const topic = await desk.topic()
      const producer = await desk.producer({ recordBytesMax: 1_000 })
      await producer.prepare(topic, never)
      const draft = producer.draft()
      draft.add(topic, null, 'k', 'x'.repeat(900), null, Date.now())
      expect(() => draft.add(topic, null, 'k', 'x'.repeat(1_000), null, Date.now())).toThrow(
        expect.objectContaining({ code: 'kafka.too-large' }),
      )
      expect(() => draft.add(topic, null, null, 'é'.repeat(501), null, Date.now())).toThrow(/1002 bytes/)
      draft.add(topic, null, 'k', 'after', null, Date.now())
      expect(draft.count).toBe(2)
      expect(await producer.send(draft, never)).toEqual([])
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      await reading.untilRead(2)
      expect(reading.values.map((each) => each?.length)).toEqual([900, 5])
    })

    driverTest(name, 'and says which records the broker found too large', async (desk) => {
      const small = await desk.topic(1, { 'max.message.bytes': '2000' })
      const producer = await desk.producer()
      const failures = await desk.trySend(producer, [
        { topic: small, value: 'x'.repeat(5_000) },
        { topic: small, value: 'y'.repeat(5_000) },
      ])
      expect(failures.flatMap((each) => each.indexes).toSorted()).toEqual([0, 1])
      expect(failures[0]?.failure).toMatchObject({ code: 'kafka.too-large', retriable: false })
      // The producer goes on: what was refused takes no number away from what follows.
      await desk.send(producer, numbered(small, 3))
      const reading = await desk.read({ assigned: [{ topic: small, partition: 0 }] })
      await reading.untilRead(3)
      expect(reading.values).toEqual(['0', '1', '2'])
    })

    driverTest(name, 'until it is told to stop', async (desk) => {
      const topic = await desk.topic()
      const producer = await desk.producer()
      await producer.prepare(topic, never)
      const draft = producer.draft()
      draft.add(topic, null, null, 'x', null, Date.now())
      const reason = new Error('enough')
      await expect(producer.send(draft, AbortSignal.abort(reason))).rejects.toBe(reason)
      await desk.send(producer, numbered(topic, 1))
    })

    driverTest(name, 'an empty draft at once', async (desk) => {
      const producer = await desk.producer()
      expect(await producer.send(producer.draft(), never)).toEqual([])
    })
  })

  describe('administers', () => {
    driverTest(name, 'topics, made once and deleted', async (desk) => {
      const admin = await desk.admin()
      const topic = await desk.topic(3, { 'retention.ms': '60000' })
      expect(await admin.partitions(topic)).toBe(3)
      await admin.createTopics([{ topic, partitions: 5, replicas: 1, settings: {} }])
      expect(await admin.partitions(topic)).toBe(3)
      await admin.deleteTopics([topic])
      await expect.poll(() => admin.partitions(topic), { timeout: 10_000 }).toBe(null)
      await expect(
        admin.createTopics([{ topic: 'not a name', partitions: 1, replicas: 1, settings: {} }]),
      ).rejects.toMatchObject({ code: 'kafka.invalid-topic' })
    })

    driverTest(name, 'topics with the defaults of the broker', async (desk) => {
      const admin = await desk.admin()
      const topic = `${await desk.topic()}-more`
      await admin.createTopics([{ topic, partitions: -1, replicas: -1, settings: {} }])
      expect(await admin.partitions(topic)).toBe(1)
    })

    driverTest(name, 'offsets', async (desk) => {
      const admin = await desk.admin()
      const topic = await desk.topic(2)
      await desk.write(numbered(topic, 4, { partition: 1, timestampMs: 1_700_000_000_000 }))
      const sorted = async (at: Parameters<typeof admin.offsets>[1]): Promise<readonly number[]> =>
        (await admin.offsets(topic, at)).toSorted((a, b) => a.partition - b.partition).map((each) => each.offset)
      expect(await sorted({ kind: 'earliest' })).toEqual([0, 0])
      expect(await sorted({ kind: 'latest' })).toEqual([0, 4])
      expect(await sorted({ kind: 'time', timeMs: 1_600_000_000_000 })).toEqual([0, 0])
      expect(await sorted({ kind: 'time', timeMs: 1_800_000_000_000 })).toEqual([0, 4])
      expect(await admin.groupOffsets('no-such-group', [topic])).toEqual([])
    })
  })
}
