import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect } from 'vitest'
import { rounds } from '../../test/faults/faults.ts'
import type { CuttingProxy } from '../../test/services/cutting-proxy.ts'
import { startProxy } from '../../test/services/cutting-proxy.ts'
import type { Kafka } from '../../test/services/kafka.ts'
import type { Desk } from './conformance-desk.ts'
import { faultTest } from './conformance-desk.ts'
import type { Reading } from './conformance-reading.ts'
import type { DriverName, Producer } from './driver.ts'

/** What holds for every driver while brokers die, come back, stand still and lead in turn. Each test has a Kafka of its own. */
export function faults(name: DriverName): void {
  describe(`driver ${name}, when`, () => {
    faultTest(
      name,
      'the only broker is killed and comes back, loses nothing and keeps the order',
      {},
      async (desk, kafka) => {
        const topic = await desk.topic(2)
        const producer = await desk.producer({ deliveryMsMax: 60_000, requestMsMax: 5_000 })
        const reading = await desk.read({ group: desk.group([topic]), requestMsMax: 5_000 })
        const load = new Load(desk, producer, topic)
        await load.until(() => reading.records.length > 200)
        await kafka.kill(1)
        await sleep(500)
        await kafka.restart(1)
        const seen = reading.records.length
        await load.until(() => reading.records.length > seen + 200)
        await load.stop()
        await reading.until('all records', () => new Set(reading.values).size === load.sent)
        expectOrder(reading)
        await commitSoon(reading)
        expect(reading.failures).toEqual([])
      },
    )

    faultTest(
      name,
      'the broker stands still for longer than the session, goes on afterwards',
      {},
      async (desk, kafka) => {
        const topic = await desk.topic(2)
        const producer = await desk.producer({ deliveryMsMax: 60_000, requestMsMax: 2_000 })
        const group = desk.group([topic])
        const reading = await desk.read({ group, requestMsMax: 2_000, sessionMsMax: 1_500, rebalanceMsMax: 2_000 })
        const load = new Load(desk, producer, topic)
        await load.until(() => reading.records.length > 100)
        kafka.freeze(1)
        await sleep(4_000)
        kafka.thaw(1)
        const seen = reading.records.length
        await load.until(() => reading.records.length > seen + 200)
        await load.stop()
        await reading.until('all records', () => new Set(reading.values).size === load.sent)
        await commitSoon(reading)
        expect(reading.failures).toEqual([])
      },
    )

    faultTest(
      name,
      'connections are cut while answers are on their way, writes nothing twice and loses nothing',
      {},
      (desk, kafka) =>
        throughProxy(kafka, async (proxy, brokers) => {
          const topic = await desk.topic(3)
          const producer = await desk.producer({ brokers, deliveryMsMax: 60_000, requestMsMax: 5_000 })
          const reading = await desk.read({ group: desk.group([topic]), brokers, requestMsMax: 5_000 })
          const loads = Array.from({ length: 4 }, (_, index) => new Load(desk, producer, topic, index * 1_000_000))
          for (let round = 0; round < rounds(4, 40); round += 1) {
            proxy.muffle()
            await sleep(20 + (round % 8) * 15)
            proxy.cut()
            const seen = reading.records.length
            await loads[0]!.until(() => reading.records.length > seen + 100)
          }
          for (const load of loads) await load.stop()
          const sent = loads.reduce((sum, load) => sum + load.sent, 0)
          await reading.until('all records', () => new Set(reading.values).size === sent)
          expectOrder(reading)
          await commitSoon(reading)
          expect(reading.failures).toEqual([])
        }),
    )

    faultTest(name, 'leaders of three are killed in turn, loses nothing', { brokers: 3 }, async (desk, kafka) => {
      const topic = await desk.topic(6)
      const producer = await desk.producer({ deliveryMsMax: 60_000, requestMsMax: 5_000 })
      const reading = await desk.read({ group: desk.group([topic]), requestMsMax: 5_000 })
      const load = new Load(desk, producer, topic)
      for (const id of [1, 2, 3].slice(0, rounds(1, 3))) {
        await kafka.kill(id)
        const seen = reading.records.length
        await load.until(() => reading.records.length > seen + 200)
        await kafka.restart(id)
      }
      await load.stop()
      await reading.until('all records', () => new Set(reading.values).size === load.sent)
      await commitSoon(reading)
      expect(reading.failures).toEqual([])
    })
  })
}

/** Not of kafkajs, which waits for the whole time of a request. */
export function standstill(name: DriverName): void {
  describe(`driver ${name}, when`, () => {
    faultTest(
      name,
      'one of three brokers stands still, goes on without it at once',
      { brokers: 3 },
      async (desk, kafka) => {
        const topic = await desk.topic(6)
        // Longer than `until` waits.
        const requestMsMax = 90_000
        const producer = await desk.producer({ deliveryMsMax: 120_000, requestMsMax })
        const reading = await desk.read({ group: desk.group([topic]), requestMsMax })
        const load = new Load(desk, producer, topic)
        for (const id of [1, 2, 3].slice(0, rounds(1, 3))) {
          let seen = reading.records.length
          await load.until(() => reading.records.length > seen + 200)
          kafka.freeze(id)
          seen = reading.records.length
          await load.until(() => reading.records.length > seen + 1_000)
          kafka.thaw(id)
        }
        await load.stop()
        await reading.until('all records', () => new Set(reading.values).size === load.sent)
        await commitSoon(reading)
        expect(reading.failures).toEqual([])
      },
    )
  })
}

/** What holds for transactions meanwhile. Not of kafkajs, which cannot ask again for the end of a transaction whose answer is lost. */
export function transactionFaults(name: DriverName): void {
  describe(`driver ${name}, when`, () => {
    faultTest(name, 'connections are cut between transactions and within, each is there once', {}, (desk, kafka) =>
      throughProxy(kafka, async (proxy, brokers) => {
        const topic = await desk.topic(2)
        const transaction = { id: topic, msMax: 30_000 }
        const producer = await desk.producer({ brokers, transaction, deliveryMsMax: 60_000, requestMsMax: 10_000 })
        const count = rounds(20, 200)
        const isOver = new AbortController()
        const cutting = cutNowAndThen(proxy, isOver.signal)
        for (let round = 0; round < count; round += 1) {
          await producer.transaction?.begin()
          const records = [0, 1].map((partition) => ({ topic, partition, value: `${round}` }))
          await desk.send(producer, records)
          if (round % 4 === 3) await producer.transaction?.abort()
          else await producer.transaction?.commit()
        }
        isOver.abort()
        await cutting
        await desk.write([0, 1].map((partition) => ({ topic, partition, value: 'end' })))
        const reading = await desk.read({ assigned: [0, 1].map((partition) => ({ topic, partition })) })
        await reading.until('both ends', () => reading.values.filter((each) => each === 'end').length === 2)
        const committed = Array.from({ length: count }, (_, round) => String(round)).filter(
          (_, round) => round % 4 !== 3,
        )
        for (const partition of [0, 1]) {
          const values = reading.records.filter((each) => each.partition === partition).map((each) => each.value)
          expect(values).toEqual([...committed, 'end'])
        }
      }),
    )
  })
}

/** Reaches the first broker by a proxy. */
async function throughProxy(
  kafka: Kafka,
  body: (proxy: CuttingProxy, brokers: readonly string[]) => Promise<void>,
): Promise<void> {
  const { port, target } = kafka.behindProxy[0]!
  const proxy = await startProxy(port, target)
  try {
    await body(proxy, [`127.0.0.1:${port}`])
  } finally {
    await proxy.stop()
  }
}

async function cutNowAndThen(proxy: CuttingProxy, isOver: AbortSignal): Promise<void> {
  for (let round = 0; !isOver.aborted; round += 1) {
    await sleep(30 + (round % 5) * 20)
    if (round % 2 === 0) proxy.muffle()
    await sleep(20)
    proxy.cut()
  }
}

/** Numbers sent one draft after the other, for as long as is asked. */
class Load {
  sent = 0
  readonly #first: number
  readonly #desk: Desk
  readonly #producer: Producer
  readonly #topic: string
  #over = false
  #sending: Promise<void>

  constructor(desk: Desk, producer: Producer, topic: string, first = 0) {
    this.#first = first
    this.#desk = desk
    this.#producer = producer
    this.#topic = topic
    this.#sending = this.#send()
    this.#sending.catch(() => undefined)
  }

  /** Resolves when it is so; rejects when sending fails before. */
  async until(done: () => boolean): Promise<void> {
    const reached = expect.poll(done, { timeout: 60_000, interval: 20 }).toBe(true)
    await Promise.race([reached, this.#sending])
  }

  async stop(): Promise<void> {
    this.#over = true
    await this.#sending
  }

  async #send(): Promise<void> {
    while (!this.#over) {
      const records = Array.from({ length: 20 }, (_, index) => ({
        topic: this.#topic,
        key: String((this.sent + index) % 10),
        value: String(this.#first + this.sent + index),
      }))
      await this.#desk.send(this.#producer, records)
      this.sent += records.length
      await sleep(5)
    }
  }
}

/** What a partition gave, read once more at most from where it was committed, is in the order of its offsets and complete. */
function expectOrder(reading: Reading): void {
  const seen = new Map<string, number>()
  for (const { topic, partition, offset, value, key } of reading.records) {
    const place = `${topic}/${partition}/${offset}`
    const number = Number(value)
    expect(seen.get(place) ?? number).toBe(number)
    seen.set(place, number)
    expect(number % 10).toBe(Number(key))
  }
  // An idempotent producer that tries again writes nothing twice.
  expect(new Set(seen.values()).size).toBe(seen.size)
  const partitions = Map.groupBy(seen, ([place]) => place.split('/')[1])
  for (const places of partitions.values()) {
    const sorted = places.toSorted((a, b) => Number(a[0].split('/')[2]) - Number(b[0].split('/')[2]))
    // Of several loads each has a million numbers of its own.
    const loads = Map.groupBy(
      sorted.map(([, number]) => number),
      (number) => Math.floor(number / 1_000_000),
    )
    for (const numbers of loads.values()) expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
  }
}

/** A commit that is refused while the group is moving succeeds a little later. */
async function commitSoon(reading: Reading): Promise<void> {
  const commit = async (): Promise<string> => {
    try {
      await reading.consumer.commit(reading.positions)
      return 'committed'
    } catch (thrown) {
      return String(thrown)
    }
  }
  await expect.poll(commit, { timeout: 30_000, interval: 200 }).toBe('committed')
}
