import { Reader, readRecordsBatch } from '@platformatic/kafka'
import type { Partition, RecordBlock } from '../../driver.ts'
import type { FetchedBytes } from '../batch/batch-block.ts'
import { wantedBatches } from '../batch/batch-block.ts'
import { corrupt } from '../batch/record-batch.ts'
import type { RecordReader } from '../record-list.ts'
import { recordList } from '../record-list.ts'

type LibraryRecord = ReturnType<typeof readRecordsBatch>['records'][number]

/** A record with what its batch says of it. */
interface Placed {
  readonly record: LibraryRecord
  readonly offset: number
  readonly timestampMs: number
}

const reader: RecordReader<Placed> = {
  offset: (each) => each.offset,
  timestampMs: (each) => each.timestampMs,
  key: (each) => each.record.key,
  value: (each) => each.record.value,
  headerBytes: ({ record }) => {
    let bytes = 0
    for (const [name, value] of record.headers) bytes += (name?.length ?? 0) + (value?.length ?? 0)
    return bytes
  },
  headers: ({ record }) => record.headers.map(([name, value]) => ({ name: String(name), value })),
}

/** Makes a block of records that the library read, an object each. Throws `kafka.corrupt`. */
export function readWithLibrary(fetched: FetchedBytes, partition: Partition, generation: number): RecordBlock | null {
  const records: Placed[] = []
  for (const { header, at } of wantedBatches(fetched)) {
    const { baseOffset, baseTimestamp, appendTimestamp } = header
    for (const record of read(fetched.bytes.subarray(at, header.end))) {
      const offset = baseOffset + record.offsetDelta
      if (offset < fetched.from) continue
      const ownTimestamp = baseTimestamp + Number(record.timestampDelta)
      records.push({ record, offset, timestampMs: appendTimestamp < 0 ? ownTimestamp : appendTimestamp })
    }
  }
  return records.length === 0 ? null : recordList(partition, generation, records, fetched.next - 1, reader)
}

function read(batch: Buffer): readonly LibraryRecord[] {
  try {
    return readRecordsBatch(Reader.from(batch)).records
  } catch (thrown) {
    throw corrupt(thrown instanceof Error ? thrown.message : String(thrown))
  }
}
