import type { Driver } from '../../driver.ts'
import { openAdmin } from './admin.ts'
import { openConsumer } from './consumer.ts'
import { openProducer } from './producer.ts'

/**
 * Around kafkajs 2. It is the oldest of the clients and the slowest here: an object per record, and a produce batch grouped in quadratic time.
 * What it cannot do: wait for `revoked` when it learns of a rebalance between two fetches, tell the last stable offset (`end` is the
 * high watermark), fence offsets of a transaction by the group's generation, be a static member
 * (`instanceId`), and ask again for the end of a transaction whose answer was lost.
 */
export const driver: Driver = { name: 'kafkajs', openConsumer, openProducer, openAdmin }
