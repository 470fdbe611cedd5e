import { describe, expect } from 'vitest'
import { driverTest, numbered } from './conformance-desk.ts'
import { Reading } from './conformance-reading.ts'
import type { DriverName } from './driver.ts'

/** Reading: from where, what a block and its cursor hold, pause, resume, seek. */
export function consuming(name: DriverName): void {
  describe('consumes', () => {
    driverTest(name, 'keys, values, headers and times as they were written', async (desk) => {
      const topic = await desk.topic()
      const headers = [
        { name: 'kind', value: 'paid' },
        { name: 'bytes', value: Buffer.from('é') },
      ]
      await desk.write([
        { topic, key: 'k1', value: 'one', headers, timestampMs: 1_700_000_000_123 },
        { topic, key: null, value: 'zwei €', timestampMs: 1_700_000_000_124 },
        { topic, key: 'k3', value: null, timestampMs: 1_600_000_000_000 },
        { topic, key: '', value: '', timestampMs: 1_700_000_000_126 },
        { topic, key: Buffer.from('k5'), value: new Uint8Array([0xff, 0, 0x80]), timestampMs: 1_700_000_000_127 },
      ])
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      const records = await reading.untilRead(5)
      expect(records.map(({ key, value, timestampMs, offset }) => [key, value, timestampMs, offset])).toEqual([
        ['k1', 'one', 1_700_000_000_123, 0],
        [null, 'zwei €', 1_700_000_000_124, 1],
        ['k3', null, 1_600_000_000_000, 2],
        ['', '', 1_700_000_000_126, 3],
        ['k5', '\ufffd\0\ufffd', 1_700_000_000_127, 4],
      ])
      expect(records[0]?.headers).toEqual({ kind: 'paid', bytes: 'é' })
      expect(records[1]?.headers).toEqual({})
    })

    driverTest(name, 'raw records, found again by their place in the block', async (desk) => {
      const topic = await desk.topic()
      const headers = [
        { name: 'twice', value: 'a' },
        { name: 'twice', value: 'b' },
      ]
      await desk.write([
        { topic, key: 'k', value: 'first', headers, timestampMs: 1_700_000_000_000 },
        { topic, key: null, value: 'second', timestampMs: 1_700_000_000_001 },
        { topic, key: 'k', value: null, timestampMs: 1_700_000_000_002 },
      ])
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      await reading.untilRead(3)
      const block = reading.blocks[0]!
      const cursor = block.cursor()
      const places: number[] = []
      while (cursor.next()) places.push(cursor.at)
      for (const [index, at] of [...places.entries()].reverse()) {
        cursor.moveTo(at)
        expect([cursor.at, cursor.offset, cursor.timestampMs]).toEqual([at, index, 1_700_000_000_000 + index])
      }
      cursor.moveTo(places[0]!)
      expect(cursor.bytes.toString('utf8', cursor.valueStart, cursor.valueEnd)).toBe('first')
      expect(cursor.next()).toBe(true)
      expect(cursor.at).toBe(places[1])
      expect(block.recordAt(places[0]!)).toEqual({
        offset: 0,
        timestampMs: 1_700_000_000_000,
        key: Buffer.from('k'),
        value: Buffer.from('first'),
        headers: [
          { name: 'twice', value: Buffer.from('a') },
          { name: 'twice', value: Buffer.from('b') },
        ],
      })
      expect(block.headersAt(places[0]!)).toEqual({ twice: 'b' })
      expect(block.recordAt(places[2]!)).toMatchObject({ key: Buffer.from('k'), value: null, headers: [] })
      expect(block.bytes).toBeGreaterThanOrEqual('kfirstsecondktwiceatwiceb'.length)
    })

    driverTest(name, 'only the assigned partitions', async (desk) => {
      const topic = await desk.topic(3)
      await desk.write([0, 1, 2].flatMap((partition) => numbered(topic, 10, { partition })))
      const reading = await desk.read({ assigned: [1, 2].map((partition) => ({ topic, partition })) })
      await reading.untilRead(20)
      expect(new Set(reading.records.map((each) => each.partition))).toEqual(new Set([1, 2]))
      expect(reading.ours.toSorted()).toEqual([`${topic}/1`, `${topic}/2`])
      expect(reading.consumer.membership()).toBe(null)
      await reading.consumer.commit(reading.positions)
    })

    driverTest(name, 'from the end: what comes after opening', async (desk) => {
      const topic = await desk.topic()
      await desk.write(numbered(topic, 5))
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }], from: { kind: 'latest' } })
      await desk.write([{ topic, value: 'after' }])
      await reading.untilRead(1)
      expect(reading.values).toEqual(['after'])
    })

    driverTest(name, 'from a time and from an offset', async (desk) => {
      const topic = await desk.topic()
      const start = 1_700_000_000_000
      // A batch each, since brokers find times by batch.
      for (let index = 0; index < 6; index += 1) {
        await desk.write([{ topic, value: String(index), timestampMs: start + index * 1_000 }])
      }
      const assigned = [{ topic, partition: 0 }]
      const byTime = await desk.read({ assigned, from: { kind: 'time', timeMs: start + 2_500 } })
      expect((await byTime.untilRead(3)).map((each) => each.value)).toEqual(['3', '4', '5'])
      const byOffset = await desk.read({ assigned, from: { kind: 'offset', offset: 4 } })
      expect((await byOffset.untilRead(2)).map((each) => each.value)).toEqual(['4', '5'])
      const late = await desk.read({ assigned, from: { kind: 'time', timeMs: start + 60_000 } })
      await desk.write([{ topic, value: 'new', timestampMs: start + 90_000 }])
      expect((await late.untilRead(1))[0]?.value).toBe('new')
    })

    driverTest(name, 'from within a batch', async (desk) => {
      const topic = await desk.topic()
      await desk.write(numbered(topic, 100), { compression: 'gzip' })
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }], from: { kind: 'offset', offset: 97 } })
      await reading.untilRead(3)
      expect(reading.values).toEqual(['97', '98', '99'])
      expect(reading.blocks[0]).toMatchObject({ firstOffset: 97, lastOffset: 99, count: 3 })
    })

    driverTest(name, 'a record that is larger than a fetch may be', async (desk) => {
      const topic = await desk.topic()
      await desk.write([
        { topic, value: 'x'.repeat(600_000) },
        { topic, value: 'small' },
      ])
      const limits = { partitionFetchBytesMax: 1_024, prefetchBytesMax: 4_096 }
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }], ...limits })
      await reading.untilRead(2)
      expect(reading.values.map((each) => each?.length)).toEqual([600_000, 5])
    })

    driverTest(name, 'ahead of what is taken, up to a limit', async (desk) => {
      const topic = await desk.topic(4)
      const partitions = [0, 1, 2, 3].map((partition) => ({ topic, partition }))
      const value = 'x'.repeat(10_000)
      for (const { partition } of partitions) {
        await desk.write(Array.from({ length: 200 }, () => ({ topic, partition, value })))
      }
      const reading = new Reading()
      reading.taking = false
      const limits = { partitionFetchBytesMax: 100_000, prefetchBytesMax: 1_000_000, fetchWaitMsMax: 50 }
      await desk.read({ assigned: partitions, ...limits }, reading)
      const last = (): number => Math.max(...reading.consumer.state().map((each) => each.fetchedAtMs))
      await reading.until('that it fetches no more', () => last() > 0 && Date.now() - last() > 500)
      // No answer of the network is waited for in between, so this is what was held.
      reading.take()
      const held = reading.blocks.reduce((sum, block) => sum + block.bytes, 0)
      expect(held).toBeGreaterThan(0)
      expect(held).toBeLessThanOrEqual(1_000_000 + 4 * 100_000 + 20_000)
      reading.taking = true
      reading.ready()
      await reading.untilRead(800)
    })

    driverTest(name, 'nothing of paused partitions, and all of them afterwards', async (desk) => {
      const topic = await desk.topic(2)
      const producer = await desk.producer()
      const both = [0, 1].map((partition) => ({ topic, partition }))
      const reading = await desk.read({ assigned: both })
      reading.consumer.pause([both[0]!])
      for (let round = 0; round < 5; round += 1) {
        await desk.send(
          producer,
          both.flatMap(({ partition }) => numbered(topic, 20, { partition })),
        )
      }
      await reading.untilRead(100)
      expect(new Set(reading.records.map((each) => each.partition))).toEqual(new Set([1]))
      reading.consumer.pause([both[1]!])
      reading.consumer.resume([both[0]!])
      await desk.send(producer, numbered(topic, 20, { partition: 1 }))
      await reading.untilRead(200)
      reading.consumer.resume(both)
      await reading.untilRead(220)
      for (const { partition } of both) {
        const offsets = reading.records.filter((each) => each.partition === partition).map((each) => each.offset)
        expect(offsets).toEqual(offsets.map((_, index) => index))
      }
    })

    driverTest(name, 'nothing untaken of a partition that is paused', async (desk) => {
      const topic = await desk.topic()
      await desk.write(numbered(topic, 50))
      const reading = new Reading()
      reading.taking = false
      let told = false
      reading.ready = () => {
        told = true
      }
      await desk.read({ assigned: [{ topic, partition: 0 }] }, reading)
      await reading.until('something to take', () => told)
      reading.consumer.pause([{ topic, partition: 0 }])
      expect(reading.consumer.take()).toBe(null)
      reading.consumer.resume([{ topic, partition: 0 }])
      await reading.until('all records', () => {
        reading.take()
        return reading.records.length >= 50
      })
      expect(reading.values).toEqual(numbered(topic, 50).map((each) => each.value))
    })

    driverTest(name, 'again from where it is told to seek', async (desk) => {
      const topic = await desk.topic()
      await desk.write(numbered(topic, 30))
      const partitions = [{ topic, partition: 0 }]
      const reading = await desk.read({ assigned: partitions })
      await reading.untilRead(30)
      expect(await reading.consumer.seek(partitions, { kind: 'offset', offset: 25 })).toEqual([
        { topic, partition: 0, offset: 25 },
      ])
      await reading.untilRead(35)
      expect(reading.values.slice(30)).toEqual(['25', '26', '27', '28', '29'])
      expect(await reading.consumer.seek(partitions, { kind: 'latest' })).toEqual([{ topic, partition: 0, offset: 30 }])
      await desk.write([{ topic, value: 'new' }])
      await reading.untilRead(36)
      expect(reading.values.at(-1)).toBe('new')
      expect(await reading.consumer.seek(partitions, { kind: 'earliest' })).toEqual([
        { topic, partition: 0, offset: 0 },
      ])
      await reading.untilRead(36 + 31)
      expect(reading.values.slice(36)).toEqual([...numbered(topic, 30).map((each) => each.value), 'new'])
    })

    driverTest(name, 'nothing from before a seek, however much was fetched', async (desk) => {
      const topic = await desk.topic()
      await desk.write(Array.from({ length: 200 }, (_, index) => ({ topic, value: `${index}-${'x'.repeat(2_000)}` })))
      const partitions = [{ topic, partition: 0 }]
      const reading = new Reading()
      reading.taking = false
      await desk.read({ assigned: partitions, partitionFetchBytesMax: 20_000 }, reading)
      const first = Promise.withResolvers<void>()
      reading.ready = first.resolve
      await first.promise
      await reading.consumer.seek(partitions, { kind: 'offset', offset: 190 })
      await reading.until('the last ten', () => {
        reading.take()
        return reading.records.length >= 10
      })
      expect(reading.records.map((each) => each.offset)).toEqual(Array.from({ length: 10 }, (_, index) => 190 + index))
    })

    driverTest(name, 'and tells how far it is', async (desk) => {
      const topic = await desk.topic()
      await desk.write(numbered(topic, 12))
      const before = Date.now()
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      await reading.untilRead(12)
      expect(reading.consumer.state()).toEqual([
        { topic, partition: 0, offset: 12, end: 12, fetchedAtMs: expect.any(Number) },
      ])
      expect(reading.consumer.state()[0]?.fetchedAtMs).toBeGreaterThanOrEqual(before)
      expect(reading.blocks[0]).toMatchObject({ topic, partition: 0, firstOffset: 0, generation: 1 })
      expect(reading.assignments).toEqual([{ partitions: [{ topic, partition: 0 }], generation: 1 }])
    })
  })
}
