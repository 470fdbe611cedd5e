import { afterEach, beforeEach, expect, test } from 'vitest'
import { id, KafkaFlows } from '../../connectors/kafka/kafka.fixture.ts'
import { openDriver } from '../../connectors/kafka/open-driver.ts'
import { noKafka } from '../services/kafka.ts'
import { sharedKafka } from '../services/shared.ts'
import { driver, rounds } from './faults.ts'

let flows: KafkaFlows

beforeEach(async (context) => {
  if (noKafka !== null) return context.skip(noKafka)
  flows = new KafkaFlows(await sharedKafka(), await openDriver(driver))
})
afterEach(() => flows?.close())

test.each(['at-least-once', 'exactly-once'] as const)(
  'one record in a hundred is poison, %s: each of them is in the dead-letter topic with its cause, the rest is delivered',
  { timeout: 600_000 },
  async (delivery) => {
    const count = rounds(10_000, 200_000)
    const [from, to, dead] = [await flows.topic(4), await flows.topic(2), await flows.topic(1)]
    const poison = (n: number): string | Buffer => {
      const kinds = [`{"n":${n}`, Buffer.from([0x7b, 0xff, n % 256]), '', `{"n":{"not":${n}}}`]
      return kinds[(n / 100) % kinds.length] ?? ''
    }
    await flows.write(
      from,
      Array.from({ length: count }, (_, n) => ({
        key: String(n),
        value: n % 100 === 0 ? poison(n) : JSON.stringify({ n }),
      })),
    )
    const outcome = await flows.run(`
millrace: 1
name: poison
settings: { delivery: ${delivery} }
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${id()}, until: caught-up, deadLetterTopic: ${dead} } }
  up: { type: set@1, config: { fields: { n: "{{ $json.n.toFixed(0) }}" } } }
  out: { type: kafka.produce@1, config: { KAFKA, topic: ${to} } }
edges: [in -> up, up -> out]
`)
    expect(outcome).toMatchObject({ state: 'done', unsettled: 0 })
    const good = (await flows.json(to)).map((each) => Number((each as { n: string }).n))
    expect([...good].sort((a, b) => a - b)).toEqual(
      Array.from({ length: count }, (_, n) => n).filter((n) => n % 100 !== 0),
    )
    const letters = await flows.read(dead)
    expect(letters.map((each) => Number(each.key)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: count / 100 }, (_, n) => n * 100),
    )
    const causes = new Set(letters.map((each) => `${each.headers['millrace-node']} ${each.headers['millrace-code']}`))
    expect([...causes].sort()).toEqual(['in kafka.not-json', 'in kafka.not-utf8', 'up node.type-error'])
  },
)
