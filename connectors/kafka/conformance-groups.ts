import { describe, expect } from 'vitest'
import { driverTest, numbered } from './conformance-desk.ts'
import { Reading } from './conformance-reading.ts'
import type { DriverName } from './driver.ts'

/** Groups: commits, restarts, members that come and go. */
export function groups(name: DriverName): void {
  describe('in a group', () => {
    driverTest(name, 'goes on after a restart where it committed', async (desk) => {
      const topic = await desk.topic(2)
      await desk.write([0, 1].flatMap((partition) => numbered(topic, 20, { partition })))
      const group = desk.group([topic])
      const first = await desk.read({ group })
      await first.untilRead(40)
      expect(first.consumer.membership()).toMatchObject({ groupId: group.id, memberId: expect.stringMatching(/./) })
      await first.consumer.commit([
        { topic, partition: 0, offset: 15 },
        { topic, partition: 1, offset: 20 },
      ])
      await first.close()
      expect(first.revocations).toEqual([{ partitions: expect.arrayContaining([]), reason: 'rebalance' }])
      expect(first.revocations[0]?.partitions).toHaveLength(2)
      const offsets = await (await desk.admin()).groupOffsets(group.id, [topic])
      expect(offsets.toSorted((a, b) => a.partition - b.partition)).toEqual([
        { topic, partition: 0, offset: 15 },
        { topic, partition: 1, offset: 20 },
      ])
      const second = await desk.read({ group })
      await desk.write(numbered(topic, 1, { partition: 1 }))
      await second.untilRead(6)
      expect(second.records.map((each) => `${each.partition}/${each.offset}`).toSorted()).toEqual([
        '0/15',
        '0/16',
        '0/17',
        '0/18',
        '0/19',
        '1/20',
      ])
    })

    driverTest(name, 'begins at the end where nothing is committed and so told', async (desk) => {
      const topic = await desk.topic()
      await desk.write(numbered(topic, 5))
      const reading = await desk.read({ group: desk.group([topic]), from: { kind: 'latest' } })
      await desk.write([{ topic, value: 'after' }])
      await reading.untilRead(1)
      expect(reading.values).toEqual(['after'])
    })

    driverTest(name, 'begins at a time where nothing is committed and so told', async (desk) => {
      const topic = await desk.topic()
      const start = 1_700_000_000_000
      for (const index of [0, 1, 2]) {
        await desk.write([{ topic, value: String(index), timestampMs: start + index * 1_000 }])
      }
      const from = { kind: 'time', timeMs: start + 500 } as const
      const reading = await desk.read({ group: desk.group([topic]), from })
      await reading.untilRead(2)
      expect(reading.values).toEqual(['1', '2'])
    })

    driverTest(name, 'shares several topics', async (desk) => {
      const topics = [await desk.topic(2), await desk.topic(3)]
      for (const topic of topics) await desk.write(numbered(topic, 50))
      const reading = await desk.read({ group: desk.group(topics) })
      await reading.untilRead(100)
      expect(reading.ours).toHaveLength(5)
    })

    driverTest(name, 'members come and go in mid-stream, and every record is read', async (desk) => {
      const topic = await desk.topic(4)
      const group = desk.group([topic])
      const producer = await desk.producer()
      const first = committing(new Reading())
      await desk.read({ group }, first)
      let sent = 0
      const more = async (): Promise<void> => {
        const records = Array.from({ length: 40 }, (_, index) => ({
          topic,
          partition: index % 4,
          value: String(sent + index),
        }))
        await desk.send(producer, records)
        sent += records.length
      }
      await more()
      await first.untilRead(40)
      const second = committing(new Reading())
      const joining = desk.read({ group }, second)
      while (second.assignments.length < 1) await more()
      await joining
      await first.until('two each', () => first.ours.length === 2 && second.ours.length === 2)
      await more()
      await second.close()
      while (first.ours.length < 4) await more()
      await more()
      const read = (): ReadonlySet<string | null> => new Set([...first.values, ...second.values])
      await first.until('all records', () => read().size === sent)
      const generations = first.assignments.map((each) => each.generation)
      expect(generations).toEqual(generations.toSorted((a, b) => a - b))
      expect(new Set(generations).size).toBe(generations.length)
    })

    driverTest(name, 'commits nothing of what was revoked', async (desk) => {
      const topic = await desk.topic(2)
      await desk.write([0, 1].flatMap((partition) => numbered(topic, 10, { partition })))
      const group = desk.group([topic])
      const first = await desk.read({ group })
      await first.untilRead(20)
      const second = await desk.read({ group })
      await first.until('one each', () => first.ours.length === 1 && second.ours.length === 1)
      const gone = second.ours[0]
      const partition = Number(gone?.split('/')[1])
      await expect(first.consumer.commit([{ topic, partition, offset: 10 }])).rejects.toMatchObject({
        code: 'kafka.rebalancing',
        retriable: true,
      })
      expect(await (await desk.admin()).groupOffsets(group.id, [topic])).toEqual([])
    })

    driverTest(name, 'members that leave at the same time all commit what they did', async (desk) => {
      const topic = await desk.topic(6)
      const group = desk.group([topic])
      const members: Reading[] = []
      for (let count = 0; count < 3; count += 1) members.push(await desk.read({ group }, committing(new Reading())))
      await members[0]!.until('two each', () => members.every((each) => each.ours.length === 2))
      await desk.write([0, 1, 2, 3, 4, 5].flatMap((partition) => numbered(topic, 20, { partition })))
      await members[0]!.until('all records', () => members.flatMap((each) => each.records).length >= 120)
      await Promise.all(members.map((each) => each.close()))
      const offsets = await (await desk.admin()).groupOffsets(group.id, [topic])
      expect(offsets.map((each) => each.offset)).toEqual([20, 20, 20, 20, 20, 20])
    })

    driverTest(name, 'waits for the last commit before it leaves', async (desk) => {
      const topic = await desk.topic()
      await desk.write(numbered(topic, 10))
      const group = desk.group([topic])
      const reading = await desk.read({ group })
      await reading.untilRead(10)
      reading.onRevoked = async () => {
        await new Promise((resolve) => setTimeout(resolve, 50))
        await reading.consumer.commit([{ topic, partition: 0, offset: 7 }])
      }
      await reading.close()
      expect(await (await desk.admin()).groupOffsets(group.id, [topic])).toEqual([{ topic, partition: 0, offset: 7 }])
    })
  })
}

/** Commits all that was read before partitions go. */
function committing(reading: Reading): Reading {
  reading.onRevoked = async (partitions) => {
    const gone = new Set(partitions.map((each) => `${each.topic}/${each.partition}`))
    const positions = reading.positions.filter((each) => gone.has(`${each.topic}/${each.partition}`))
    await reading.consumer.commit(positions).catch(() => undefined)
  }
  return reading
}
