import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import { id, KafkaFlows, until } from '../../connectors/kafka/kafka.fixture.ts'
import { openDriver } from '../../connectors/kafka/open-driver.ts'
import type { Execution, Pipeline } from '../../core/pipeline.ts'
import { noKafka } from '../services/kafka.ts'
import { sharedKafka } from '../services/shared.ts'
import { driver, rounds } from './faults.ts'

let flows: KafkaFlows

beforeEach(async (context) => {
  if (noKafka !== null) return context.skip(noKafka)
  flows = new KafkaFlows(await sharedKafka(), await openDriver(driver))
})
afterEach(() => flows?.close())

interface Member {
  readonly pipeline: Pipeline
  readonly execution: Execution | null
}

test('members come, go and are killed while what they ask is slow at times: each number is there once, or in the dead-letter', {
  timeout: 3_600_000,
}, async () => {
  const [from, to, group] = [await flows.topic(6), await flows.topic(3), id()]
  const port = await slowAtTimes()
  const member = async (name: string): Promise<Member> => {
    const pipeline = await flows.start(`
millrace: 1
name: ask
settings: { delivery: exactly-once }
nodes:
  in: { type: kafka.consume@1, config: { KAFKA, topic: ${from}, group: ${group}, transactionMs: 100, sessionMsMax: 6000, heartbeatMs: 300, rebalanceMsMax: 4000, transactionId: ${name} } }
  ask: { type: http.request@1, into: merge, config: { url: 'http://127.0.0.1:${port}/', timeoutMs: 20000 } }
  out: { type: kafka.produce@1, config: { KAFKA, topic: ${to} } }
edges: [in -> ask, ask -> out]
`)
    return { pipeline, execution: await pipeline.open() }
  }
  const stop = new AbortController()
  const feeding = feed(from, stop.signal)
  const members = [await member('first'), await member('second')]
  const leaving: Promise<unknown>[] = []
  for (let round = 0; round < rounds(6, 120); round++) {
    await delay(Math.random() * 3_000)
    const [gone] =
      members.length > 3 || (members.length > 1 && Math.random() < 0.5)
        ? members.splice(Math.floor(Math.random() * members.length), 1)
        : []
    if (gone === undefined) members.push(await member(`member-${round}`))
    else if (Math.random() < 0.7) leaving.push(gone.pipeline.release())
    else {
      await gone.execution?.kill('test')
      leaving.push(gone.pipeline.release(0))
    }
  }
  stop.abort()
  const count = await feeding
  await Promise.all(leaving)
  await until(
    async () => (await flows.groupOffset(group, from)) >= count,
    () => flows.log.join('\n'),
    180_000,
  )
  const arrived = (await flows.json(to)).map(numberOf)
  expect(arrived).toHaveLength(new Set(arrived).size)
  // A round that was undone may have sent a letter already; the host's dead-letter is part of no transaction.
  const found = new Set([...arrived, ...flows.letters.map((letter) => numberOf(letter.value))])
  expect(found.size).toBe(count)
})

/** A server that now and then takes longer than a member may take to give up a partition, and now and then fails. */
async function slowAtTimes(): Promise<number> {
  const server = createServer((_request, response) => {
    const dice = Math.random()
    response.statusCode = dice > 0.999 ? 500 : 200
    response.setHeader('content-type', 'application/json')
    setTimeout(() => response.end('{}'), dice < 0.0003 ? 5_000 : dice < 0.002 ? 300 : 0)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Writes numbers until it is told to stop; answers how many. */
async function feed(topic: string, signal: AbortSignal): Promise<number> {
  let next = 0
  for (; !signal.aborted; next += 60) {
    await flows.write(
      topic,
      Array.from({ length: 60 }, (_, n) => ({ key: `k${n}`, value: JSON.stringify({ n: next + n }) })),
    )
    await delay(100)
  }
  return next
}

const numberOf = (value: unknown): number => (value as { n: number }).n
