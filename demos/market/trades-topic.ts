import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { KafkaOptions, TradeOptions } from './document.ts'

/** A Kafka topic that a process of its own writes trades to. */
export interface TradesTopic extends KafkaOptions {
  /** Starts the process that writes. */
  produce(): Promise<void>
  close(): Promise<void>
}

const partitions = 4
const stopMsMax = 5_000

/** Makes the topic where it is not there. It keeps ten minutes, since nobody reads trades twice and a day of them is a terabyte. */
export async function openTradesTopic(
  brokers: readonly string[],
  topic = 'market-trades',
  trades: TradeOptions,
): Promise<TradesTopic> {
  const { Kafka, logLevel } = await import('kafkajs')
  const kafka = new Kafka({
    brokers: [...brokers],
    clientId: 'millrace-market',
    logLevel: logLevel.NOTHING,
    retry: { retries: 3 },
  })
  const admin = kafka.admin()
  try {
    await admin.connect()
    if (!(await admin.listTopics()).includes(topic))
      await admin.createTopics({
        waitForLeaders: true,
        topics: [
          {
            topic,
            numPartitions: partitions,
            configEntries: [
              { name: 'retention.ms', value: '600000' },
              { name: 'segment.ms', value: '60000' },
              { name: 'retention.bytes', value: '500000000' },
            ],
          },
        ],
      })
  } catch (thrown) {
    const said = thrown instanceof Error ? thrown.message : String(thrown)
    throw new Error(`Kafka at ${brokers.join(', ')} does not answer: ${said}. Start it, or leave --kafka out.`)
  } finally {
    await admin.disconnect()
  }
  let child: ChildProcess | null = null
  const options: KafkaOptions = { brokers, topic, group: `millrace-${topic}` }
  return {
    ...options,
    async produce() {
      const program = fileURLToPath(new URL(`./produce${extname(import.meta.url)}`, import.meta.url))
      child = fork(program, {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        // kafkajs counts a wait from a moment that has passed; Node warns, and waits a millisecond.
        execArgv: ['--disable-warning=TimeoutNegativeWarning'],
      })
      child.send({ trades, kafka: options })
    },
    async close() {
      const writer = child
      if (writer === null || writer.exitCode !== null) return
      await new Promise<void>((resolve) => {
        const cut = setTimeout(() => writer.kill('SIGKILL'), stopMsMax)
        writer.once('exit', () => {
          clearTimeout(cut)
          resolve()
        })
        // It ends when nobody listens to it any more.
        writer.disconnect()
      })
    },
  }
}
