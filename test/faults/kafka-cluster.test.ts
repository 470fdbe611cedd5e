import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { id, KafkaFlows, until } from '../../connectors/kafka/kafka.fixture.ts'
import { openDriver } from '../../connectors/kafka/open-driver.ts'
import type { Pipeline } from '../../core/pipeline.ts'
import type { Kafka } from '../services/kafka.ts'
import { noKafka, startKafka } from '../services/kafka.ts'
import { driver, rounds } from './faults.ts'

let kafka: Kafka
let flows: KafkaFlows

beforeEach(async (context) => {
  if (noKafka !== null) return context.skip(noKafka)
  kafka = await startKafka({ brokers: 3 })
  flows = new KafkaFlows(kafka, await openDriver(driver))
})
afterEach(async () => {
  await flows?.close()
  await kafka?.stop()
})

/**
 * Writes numbers until it is told to stop. A batch that one broker did not take is written again, also those of its records that
 * another took: the source topic may hold a number twice.
 */
async function feed(topic: string, signal: AbortSignal): Promise<number> {
  let next = 0
  while (!signal.aborted) {
    const values = Array.from({ length: 200 }, (_, n) => ({
      key: `k${(next + n) % 50}`,
      value: JSON.stringify({ n: next + n }),
    }))
    const written = await flows.write(topic, values).then(
      () => true,
      () => false,
    )
    if (written) next += values.length
    await delay(20)
  }
  return next
}

/** How often each number lies in a topic. */
function counts(messages: readonly unknown[]): ReadonlyMap<number, number> {
  const found = new Map<number, number>()
  for (const { n } of messages as { n: number }[]) found.set(n, (found.get(n) ?? 0) + 1)
  return found
}

test.each(['at-least-once', 'exactly-once'] as const)(
  'brokers die and come back, one stands still, members come and go, %s: every record arrives',
  { timeout: 3_600_000 },
  async (delivery) => {
    const [from, to, group] = [await flows.topic(4), await flows.topic(3), id()]
    const member = async (name: string): Promise<Pipeline> => {
      const pipeline = await flows.start(`
millrace: 1
name: copy
settings: { delivery: ${delivery} }
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${group}, commitMs: 200, sessionMsMax: 6000, heartbeatMs: 500, rebalanceMsMax: 10000, transactionId: ${name} } }
  up: { type: set@1, config: { fields: { n: "{{ $json.n }}" } } }
  out: { type: kafka.produce@1, config: { KAFKA, topic: ${to} } }
edges: [in -> up, up -> out]
`)
      await pipeline.open()
      return pipeline
    }
    const stop = new AbortController()
    const feeding = feed(from, stop.signal)
    const first = await member('one')
    const goesOn = async (): Promise<void> => {
      const before = await flows.groupOffset(group, from)
      await until(
        async () => (await flows.groupOffset(group, from)) > before,
        () => `it goes on:\n${flows.log.join('\n')}`,
        120_000,
      )
    }
    await goesOn()
    for (let round = 0; round < rounds(1, 10); round++) {
      const broker = (round % 3) + 1
      await kafka.kill(broker)
      await goesOn()
      await kafka.restart(broker)
      const second = await member(`two-${round}`)
      await goesOn()
      kafka.freeze((broker % 3) + 1)
      await goesOn()
      kafka.thaw((broker % 3) + 1)
      await second.release()
      await goesOn()
    }
    stop.abort()
    const count = await feeding
    await until(async () => (await flows.groupOffset(group, from)) >= count, 'the rest arrives', 180_000)
    await first.release()
    const [fed, arrived] = [counts(await flows.json(from)), counts(await flows.json(to))]
    expect(fed.size).toBe(count)
    expect(arrived.size).toBe(count)
    if (delivery === 'exactly-once') expect([...arrived].filter(([n, times]) => times !== fed.get(n))).toEqual([])
  },
)
