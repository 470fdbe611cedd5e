import type { Driver } from '../../driver.ts'
import { openAdmin } from '../batch/admin.ts'
import { openConsumer } from '../batch/consumer.ts'
import { openProducer } from '../batch/producer.ts'
import type { RecordCodec } from '../batch/record-codec.ts'
import { LibraryDraft } from './library-draft.ts'
import { readWithLibrary } from './read-with-library.ts'

const ofLibrary: RecordCodec = {
  draft: (partitions, limits) => new LibraryDraft(partitions, limits),
  read: readWithLibrary,
}

/**
 * @platformatic/kafka 2: its connections, requests and record batches, an object per record. Its own consumer and producer are not used: the
 * stream of its consumer pauses and seeks no single partition, shows aborted records whose marker comes in a later fetch, and commits
 * what was revoked after joining anew; a send of its producer fails when the partitions of one broker move to several, and a transaction
 * that takes over an id is fenced itself. Groups, order across failures and transactions are those of driver `batch`.
 */
export const driver: Driver = {
  name: 'platformatic',
  openConsumer: (options, events) => openConsumer(options, events, ofLibrary),
  openProducer: (options) => openProducer(options, ofLibrary),
  openAdmin,
}
