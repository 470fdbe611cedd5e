import type { Reader } from '@platformatic/kafka'
import { Writer } from '@platformatic/kafka'
import type { Aborted } from './batch-block.ts'
import type { RecordApi } from './record-wire.ts'

export interface FetchRequest {
  readonly waitMsMax: number
  readonly bytesMax: number
  readonly partitionBytesMax: number
  readonly readCommitted: boolean
  readonly topics: ReadonlyMap<string, readonly WantedPartition[]>
}

export interface WantedPartition {
  readonly partition: number
  readonly fetchOffset: number
}

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly startOffset: number
  readonly aborted: readonly Aborted[]
  /** Record batches as they came, the last one perhaps cut off; in memory of their own, so that they hold nothing else of the answer. */
  readonly bytes: Buffer
}

/**
 * Fetch, version 11, without sessions. Records stay bytes: nothing is done per record.
 * https://kafka.apache.org/protocol#The_Messages_Fetch
 */
export const fetchRecords: RecordApi<FetchRequest, readonly FetchedPartition[]> = { key: 1, version: 11, write, read }

function write(request: FetchRequest): Writer {
  return Writer.create()
    .appendInt32(-1)
    .appendInt32(request.waitMsMax)
    .appendInt32(1)
    .appendInt32(request.bytesMax)
    .appendInt8(request.readCommitted ? 1 : 0)
    .appendInt32(0)
    .appendInt32(-1)
    .appendArray(
      [...request.topics],
      (topic, [name, partitions]) => {
        topic.appendString(name, false).appendArray(
          [...partitions],
          (each, { partition, fetchOffset }) => {
            each
              .appendInt32(partition)
              .appendInt32(-1)
              .appendInt64(BigInt(fetchOffset))
              .appendInt64(-1n)
              .appendInt32(request.partitionBytesMax)
          },
          false,
          false,
        )
      },
      false,
      false,
    )
    .appendArray([], () => undefined, false, false)
    .appendString('', false)
}

function read(reader: Reader): readonly FetchedPartition[] {
  reader.readInt32()
  const errorCode = reader.readInt16()
  reader.readInt32()
  const found: FetchedPartition[] = []
  reader.readArray(
    (ofTopic) => {
      const topic = ofTopic.readString(false)
      ofTopic.readArray((each) => found.push(readPartition(each, topic, errorCode)), false, false)
    },
    false,
    false,
  )
  return found
}

function readPartition(reader: Reader, topic: string, answerCode: number): FetchedPartition {
  const partition = reader.readInt32()
  const errorCode = reader.readInt16() || answerCode
  const highWatermark = Number(reader.readInt64())
  const lastStableOffset = Number(reader.readInt64())
  const startOffset = Number(reader.readInt64())
  const aborted = reader.readNullableArray(
    (each) => ({ producerId: Number(each.readInt64()), firstOffset: Number(each.readInt64()) }),
    false,
    false,
  )
  reader.readInt32()
  const bytes = ownBytes(reader.readNullableBytes(false) ?? nothing)
  return { topic, partition, errorCode, highWatermark, lastStableOffset, startOffset, aborted: sorted(aborted), bytes }
}

const nothing = Buffer.alloc(0)

function ownBytes(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(own)
  return own
}

function sorted(aborted: Aborted[] | null): readonly Aborted[] {
  return aborted === null ? [] : aborted.sort((a, b) => a.firstOffset - b.firstOffset)
}
