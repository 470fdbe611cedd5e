import type { SideOptions } from './work.ts'
import { handWork } from './work.ts'

/** kafkajs's producer sorts a send's records in quadratic time: a thousand a send is its best. */
const sendMax = 1_000

/** The loop as one writes it by hand with kafkajs. */
export async function bareKafkajs(options: SideOptions): Promise<() => Promise<void>> {
  const { Kafka, logLevel } = (await import('kafkajs')).default
  return async () => {
    const kafka = new Kafka({ clientId: 'bare', brokers: [...options.brokers], logLevel: logLevel.NOTHING })
    const producer = kafka.producer({ allowAutoTopicCreation: false })
    const consumer = kafka.consumer({ groupId: options.group, maxWaitTimeInMs: 500 })
    await Promise.all([producer.connect(), consumer.connect()])
    await consumer.subscribe({ topic: options.from, fromBeginning: true })
    let read = 0
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          partitionsConsumedConcurrently: 4,
          eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
            for (let at = 0; at < batch.messages.length; at += sendMax) {
              const messages: { value: string }[] = []
              for (const each of batch.messages.slice(at, at + sendMax)) {
                const value = handWork(each.value?.toString() ?? '')
                if (value !== null) messages.push({ value })
              }
              if (messages.length > 0) await producer.send({ topic: options.to, acks: -1, messages })
              const last = batch.messages[Math.min(at + sendMax, batch.messages.length) - 1]
              if (last !== undefined) resolveOffset(last.offset)
              await heartbeat()
            }
            read += batch.messages.length
            if (read >= options.count) resolve()
          },
        })
        .catch(reject)
    })
    await consumer.disconnect()
    await producer.disconnect()
  }
}
