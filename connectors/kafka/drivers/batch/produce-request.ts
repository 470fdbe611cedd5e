import type { Reader } from '@platformatic/kafka'
import { Writer } from '@platformatic/kafka'
import type { RecordApi } from './record-wire.ts'

export interface ProduceRequest {
  readonly transactionalId: string | null
  /** -1 for all in-sync replicas, 1 for the leader, 0 for nobody: then there is no answer. */
  readonly acks: number
  readonly timeoutMs: number
  /** By topic; one batch of each partition at most. */
  readonly topics: ReadonlyMap<string, readonly ProducedBatch[]>
}

export interface ProducedBatch {
  readonly partition: number
  readonly bytes: Buffer
}

export interface ProduceAnswer {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly errorMessage: string | null
  /** Places within the batch of the records that the broker found wrong; all the others were refused because of them. */
  readonly wrongRecords: readonly number[]
}

/**
 * Produce, version 8, of batches that are encoded already. Each partition's error is part of the answer.
 * https://kafka.apache.org/protocol#The_Messages_Produce
 */
export const produceBatches: RecordApi<ProduceRequest, readonly ProduceAnswer[]> = { key: 0, version: 8, write, read }

function write(request: ProduceRequest): Writer {
  const writer = Writer.create()
    .appendString(request.transactionalId, false)
    .appendInt16(request.acks)
    .appendInt32(request.timeoutMs)
    .appendArray(
      [...request.topics],
      (topic, [name, batches]) => {
        topic.appendString(name, false).appendArray(
          [...batches],
          (each, { partition, bytes }) => {
            each.appendInt32(partition).appendInt32(bytes.length).append(bytes)
          },
          false,
          false,
        )
      },
      false,
      false,
    )
  if (request.acks === 0) writer.context.noResponse = true
  return writer
}

function read(reader: Reader): readonly ProduceAnswer[] {
  if (reader.remaining === 0) return []
  const found: ProduceAnswer[] = []
  reader.readArray(
    (ofTopic) => {
      const topic = ofTopic.readString(false)
      ofTopic.readArray((each) => found.push(readPartition(each, topic)), false, false)
    },
    false,
    false,
  )
  return found
}

function readPartition(reader: Reader, topic: string): ProduceAnswer {
  const partition = reader.readInt32()
  const errorCode = reader.readInt16()
  // The offset, the broker's time and the log's start are of no interest.
  reader.skip(24)
  const wrongRecords = reader.readArray(
    (each) => {
      const place = each.readInt32()
      each.readNullableString(false)
      return place
    },
    false,
    false,
  )
  const errorMessage = reader.readNullableString(false)
  return { topic, partition, errorCode, errorMessage, wrongRecords }
}
