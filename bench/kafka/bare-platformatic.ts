import type { SideOptions } from './work.ts'
import { handWork } from './work.ts'

/** Records in one send. */
const sendMax = 4_000

/** The loop as one writes it by hand with @platformatic/kafka. */
export async function barePlatformatic(options: SideOptions): Promise<() => Promise<void>> {
  const { Consumer, Producer, stringSerializers } = await import('@platformatic/kafka')
  return async () => {
    const common = { clientId: 'bare', bootstrapBrokers: [...options.brokers] }
    const producer = new Producer({ ...common, serializers: stringSerializers, acks: -1, autocreateTopics: false })
    const consumer = new Consumer({ ...common, groupId: options.group, maxWaitTime: 500 })
    const stream = await consumer.consume({
      topics: [options.from],
      mode: 'earliest',
      autocommit: 1_000,
      highWaterMark: 16_384,
    })
    let read = 0
    let messages: { topic: string; value: string }[] = []
    for await (const each of stream) {
      const value = handWork(each.value?.toString() ?? '')
      if (value !== null) messages.push({ topic: options.to, value })
      read += 1
      if (messages.length >= sendMax || read >= options.count) {
        if (messages.length > 0) await producer.send({ messages })
        messages = []
      }
      if (read >= options.count) break
    }
    await stream.close()
    await consumer.close(true)
    await producer.close()
  }
}
