import { describe, expect, test } from 'vitest'
import { noKafka, startKafka } from './kafka.ts'
import { brokersKnownTo } from './kafka-probe.ts'
import { sharedKafka } from './shared.ts'

const portOf = (address: string | undefined): number => Number(address?.split(':')[1])

describe('the Kafka of the tests', () => {
  test('is one for all files', async (context) => {
    if (noKafka !== null) return context.skip(noKafka)
    const [one, two] = await Promise.all([sharedKafka(), sharedKafka()])
    expect(one.brokers).toEqual(two.brokers)
    expect(await brokersKnownTo(portOf(one.brokers[0]))).toBe(1)
  })

  test('is a cluster that a broker leaves and joins again', async (context) => {
    if (noKafka !== null) return context.skip(noKafka)
    const kafka = await startKafka({ brokers: 3 })
    try {
      const ports = kafka.brokers.map(portOf)
      expect(await brokersKnownTo(ports[0]!)).toBe(3)
      await kafka.kill(3)
      expect(await brokersKnownTo(ports[2]!)).toBe(0)
      await kafka.restart(3)
      expect(await brokersKnownTo(ports[2]!)).toBe(3)
    } finally {
      await kafka.stop()
    }
    expect(await brokersKnownTo(portOf(kafka.brokers[0]))).toBe(0)
  })
})
