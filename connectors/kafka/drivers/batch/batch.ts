import type { Driver } from '../../driver.ts'
import { openAdmin } from './admin.ts'
import { readBlock } from './batch-block.ts'
import { BatchDraft } from './batch-draft.ts'
import { openConsumer } from './consumer.ts'
import { openProducer } from './producer.ts'
import type { RecordCodec } from './record-codec.ts'

/** Records are read in the bytes in which they came and encoded into the bytes in which they go. */
const inPlace: RecordCodec = {
  draft: (partitions, limits) => new BatchDraft(partitions, limits),
  read: readBlock,
}

/**
 * Our own: connections and requests of @platformatic/kafka's lower layers, but fetching, producing, groups and transactions are ours, and
 * nothing is made per record. Needs Kafka 2.5 or newer.
 */
export const driver: Driver = {
  name: 'batch',
  openConsumer: (options, events) => openConsumer(options, events, inPlace),
  openProducer: (options) => openProducer(options, inPlace),
  openAdmin,
}
