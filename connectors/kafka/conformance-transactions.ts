import { randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import type { Desk } from './conformance-desk.ts'
import { driverTest, numbered } from './conformance-desk.ts'
import type { DriverName, Producer, Transaction } from './driver.ts'

/** Transactions from both sides: what readers see, offsets within, fencing. */
export function transactions(name: DriverName): void {
  describe('in a transaction', () => {
    driverTest(name, 'what is committed is seen, what is aborted is not', async (desk) => {
      const topic = await desk.topic()
      const assigned = [{ topic, partition: 0 }]
      const committed = await desk.read({ assigned })
      const all = await desk.read({ assigned, isolation: 'read-uncommitted' })
      const [producer, transaction] = await open(desk)
      await transaction.begin()
      await desk.send(producer, [{ topic, value: 'aborted' }])
      await transaction.abort()
      await transaction.begin()
      await desk.send(producer, [{ topic, value: 'committed' }])
      await desk.send(producer, [{ topic, value: 'committed too' }])
      await all.untilRead(3)
      expect(committed.values).toEqual([])
      await transaction.commit()
      // The marker is written a little after the commit is known to hold.
      await committed.untilRead(2)
      await desk.write([{ topic, value: 'outside' }])
      await committed.untilRead(3)
      expect(committed.values).toEqual(['committed', 'committed too', 'outside'])
      await all.untilRead(4)
      expect(all.values).toEqual(['aborted', 'committed', 'committed too', 'outside'])
      // Offsets show where the markers of the transactions lie, which nobody else sees.
      expect(committed.records.map((each) => each.offset)).toEqual([2, 3, 5])
    })

    driverTest(name, 'what is open holds back what came after it', async (desk) => {
      const topic = await desk.topic()
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      await desk.write([{ topic, value: 'before' }])
      const [producer, transaction] = await open(desk)
      await transaction.begin()
      await desk.send(producer, [{ topic, value: 'within' }])
      await desk.write([{ topic, value: 'after' }])
      const all = await desk.read({ assigned: [{ topic, partition: 0 }], isolation: 'read-uncommitted' })
      await all.untilRead(3)
      await reading.untilRead(1)
      expect(reading.values).toEqual(['before'])
      await transaction.abort()
      await reading.untilRead(2)
      expect(reading.values).toEqual(['before', 'after'])
    })

    driverTest(name, 'aborted and committed ones of two producers lie among each other', async (desk) => {
      const topic = await desk.topic()
      const [one, first] = await open(desk)
      const [two, second] = await open(desk)
      for (let round = 0; round < 5; round += 1) {
        await first.begin()
        await second.begin()
        await desk.send(one, [{ topic, value: `yes ${round}` }])
        await desk.send(two, [{ topic, value: `no ${round}` }])
        await desk.send(one, [{ topic, value: `yes too ${round}` }])
        await first.commit()
        await desk.send(two, [{ topic, value: `no neither ${round}` }])
        await second.abort()
      }
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      await desk.write([{ topic, value: 'end' }])
      await reading.until('the end', () => reading.values.at(-1) === 'end')
      expect(reading.values).toEqual([
        ...[0, 1, 2, 3, 4].flatMap((round) => [`yes ${round}`, `yes too ${round}`]),
        'end',
      ])
    })

    driverTest(name, 'offsets of a group are committed with what was written, or not at all', async (desk) => {
      const [input, output] = [await desk.topic(), await desk.topic()]
      await desk.write(numbered(input, 10))
      const group = desk.group([input])
      const reading = await desk.read({ group })
      await reading.untilRead(10)
      const [producer, transaction] = await open(desk)
      const admin = await desk.admin()
      const membership = reading.consumer.membership()
      if (membership === null) throw new Error('no member')
      await transaction.begin()
      await desk.send(producer, [{ topic: output, value: 'aborted' }])
      await transaction.sendOffsets([{ topic: input, partition: 0, offset: 10 }], membership)
      await transaction.abort()
      await transaction.begin()
      await desk.send(producer, [{ topic: output, value: 'committed' }])
      await transaction.sendOffsets([{ topic: input, partition: 0, offset: 6 }], membership)
      await transaction.commit()
      await expect
        .poll(() => admin.groupOffsets(group.id, [input]), { timeout: 10_000 })
        .toEqual([{ topic: input, partition: 0, offset: 6 }])
      const result = await desk.read({ assigned: [{ topic: output, partition: 0 }] })
      await result.untilRead(1)
      expect(result.values).toEqual(['committed'])
    })

    driverTest(name, 'an empty one may be committed and aborted', async (desk) => {
      const [, transaction] = await open(desk)
      await transaction.begin()
      await transaction.commit()
      await transaction.begin()
      await transaction.abort()
      await expect(transaction.commit()).rejects.toThrow(/no transaction is open/)
    })

    driverTest(name, 'a second producer with the same id shuts out the first', async (desk) => {
      const topic = await desk.topic()
      const id = randomUUID()
      const [first, old] = await open(desk, id)
      await old.begin()
      await desk.send(first, [{ topic, value: 'left open' }])
      const [second, young] = await open(desk, id)
      await young.begin()
      await desk.send(second, [{ topic, value: 'of the second' }])
      const failures = await desk.trySend(first, [{ topic, value: 'too late' }])
      expect(failures).toEqual([
        { indexes: [0], failure: expect.objectContaining({ code: 'kafka.fenced', retriable: false }) },
      ])
      await expect(old.commit()).rejects.toMatchObject({ code: 'kafka.fenced' })
      await young.commit()
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      await desk.write([{ topic, value: 'end' }])
      await reading.until('the end', () => reading.values.at(-1) === 'end')
      expect(reading.values).toEqual(['of the second', 'end'])
    })
  })
}

/** What `exactly-once` needs on top. Not of kafkajs, which cannot ask. */
export function strictTransactions(name: DriverName): void {
  describe(`driver ${name}, transactions`, () => {
    driverTest(name, 'a member waits for offsets that one under way may yet commit', async (desk) => {
      const [input, output] = [await desk.topic(), await desk.topic()]
      await desk.write(numbered(input, 10))
      const group = desk.group([input])
      const reading = await desk.read({ group })
      await reading.untilRead(10)
      const [producer, transaction] = await open(desk)
      const membership = reading.consumer.membership()
      if (membership === null) throw new Error('no member')
      await transaction.begin()
      await desk.send(producer, [{ topic: output, value: 'x' }])
      await transaction.sendOffsets([{ topic: input, partition: 0, offset: 7 }], membership)
      const steps: string[] = []
      const told = reading.consumer.committed([{ topic: input, partition: 0 }]).then((offsets) => {
        steps.push('told')
        return offsets
      })
      // Asked on another connection: by its answer the first question has been refused at least once.
      await (await desk.admin()).groupOffsets(group.id, [input])
      steps.push('committing')
      await transaction.commit()
      expect(await told).toEqual([{ topic: input, partition: 0, offset: 7 }])
      expect(steps).toEqual(['committing', 'told'])
    })

    driverTest(name, 'those that take too long are told from those that another producer has ended', async (desk) => {
      const topic = await desk.topic()
      const id = randomUUID()
      const producer = await desk.producer({ transaction: { id, msMax: 1_000 } })
      const { transaction } = producer
      if (transaction === null) throw new Error('the producer has no transactions')
      await transaction.begin()
      // The coordinator looks every ten seconds.
      const shutOut = async (): Promise<string | undefined> =>
        (await desk.trySend(producer, [{ topic, value: 'never seen' }]))[0]?.failure.code
      await expect.poll(shutOut, { timeout: 30_000, interval: 250 }).toBe('kafka.fenced')
      expect(await transaction.isOurs()).toBe(true)
      await producer.close()
      const [, another] = await open(desk, id)
      expect(await transaction.isOurs().catch(() => false)).toBe(false)
      const [third, young] = await open(desk, id)
      expect(await another.isOurs()).toBe(false)
      await young.begin()
      await desk.send(third, [{ topic, value: 'of the third' }])
      await young.commit()
      const reading = await desk.read({ assigned: [{ topic, partition: 0 }] })
      await reading.until('the record', () => reading.values.length > 0)
      expect(reading.values).toEqual(['of the third'])
    })
  })
}

async function open(desk: Desk, id: string = randomUUID()): Promise<readonly [Producer, Transaction]> {
  const producer = await desk.producer({ transaction: { id, msMax: 30_000 } })
  if (producer.transaction === null) throw new Error('the producer has no transactions')
  return [producer, producer.transaction]
}
