import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { id, KafkaFlows, until } from '../../connectors/kafka/kafka.fixture.ts'
import { openDriver } from '../../connectors/kafka/open-driver.ts'
import type { CliProcess } from '../cli-process.ts'
import { startCli } from '../cli-process.ts'
import { noKafka } from '../services/kafka.ts'
import { sharedKafka } from '../services/shared.ts'
import { driver, rounds } from './faults.ts'

let folder: string
let flows: KafkaFlows
let running: CliProcess | null = null

beforeEach(async (context) => {
  if (noKafka !== null) return context.skip(noKafka)
  folder = await mkdtemp(join(tmpdir(), 'millrace-kill-'))
  flows = new KafkaFlows(await sharedKafka(), await openDriver(driver))
})
afterEach(async () => {
  running?.child.kill('SIGKILL')
  await running?.done
  await flows?.close()
  if (folder !== undefined) await rm(folder, { recursive: true, force: true })
})

/** A stream of numbers into a topic, for as long as the test goes on. */
async function feed(topic: string, signal: AbortSignal): Promise<number> {
  let next = 0
  while (!signal.aborted) {
    const values = Array.from({ length: 500 }, (_, n) => ({
      key: `k${(next + n) % 50}`,
      value: JSON.stringify({ n: next + n }),
    }))
    await flows.write(topic, values)
    next += values.length
    await delay(20)
  }
  return next
}

test.each(['at-least-once', 'exactly-once'] as const)(
  'killed again and again under load, %s: every record arrives',
  { timeout: 3_600_000 },
  async (delivery) => {
    const [from, to, group] = [await flows.topic(3), await flows.topic(2), id()]
    const document = join(folder, 'copy.yaml')
    const kafka = `brokers: [${flows.address.brokers.join(', ')}], driver: ${driver}`
    await writeFile(
      document,
      `millrace: 1
name: copy
settings: { delivery: ${delivery} }
nodes:
  in: { type: kafka.consume@1, config: { ${kafka}, topic: ${from}, group: ${group}, commitMs: 100, transactionMs: 100, sessionMsMax: 6000, heartbeatMs: 500, instance: one } }
  up: { type: set@1, config: { fields: { n: "{{ $json.n }}" } } }
  out: { type: kafka.produce@1, config: { ${kafka}, topic: ${to} } }
edges: [in -> up, up -> out]
`,
    )
    const stop = new AbortController()
    const feeding = feed(from, stop.signal)
    for (let round = 0; round < rounds(3, 100); round++) {
      running = startCli(['run', document], { cwd: folder })
      const before = await flows.groupOffset(group, from)
      // Killed at any moment after it has begun to get on.
      await until(async () => (await flows.groupOffset(group, from)) > before, 'it gets on', 60_000)
      await delay(Math.random() * 400)
      running.child.kill('SIGKILL')
      await running.done
    }
    stop.abort()
    const count = await feeding
    running = startCli(['run', document], { cwd: folder })
    await until(async () => (await flows.groupOffset(group, from)) >= count, 'the rest arrives', 120_000)
    running.child.kill('SIGINT')
    await running.done
    const numbers = (await flows.json(to)).map((each) => (each as { n: number }).n)
    expect(new Set(numbers).size).toBe(count)
    if (delivery === 'exactly-once') expect(numbers).toHaveLength(count)
  },
)
