import type { Driver } from '../../driver.ts'
import { openAdmin } from './admin.ts'
import { openConsumer } from './consumer.ts'
import { openProducer } from './producer.ts'

/**
 * Our own: connections and requests of @platformatic/kafka's lower layers, but records stay in the bytes in which they came and are encoded
 * into the bytes in which they go. Nothing is made per record on either way. Needs Kafka 2.5 or newer.
 */
export const driver: Driver = { name: 'batch', openConsumer, openProducer, openAdmin }
