import type * as kafkajs from 'kafkajs'
import type { RawHeader, RecordBlock } from '../../driver.ts'
import type { RecordReader } from '../record-list.ts'
import { recordList } from '../record-list.ts'

/** kafkajs's batch as a block; it has left out control records and aborted transactions already. */
export function blockOf(batch: kafkajs.Batch, generation: number): RecordBlock {
  return recordList(batch, generation, batch.messages, Number(batch.lastOffset()), reader)
}

const reader: RecordReader<kafkajs.KafkaMessage> = {
  offset: (message) => Number(message.offset),
  timestampMs: (message) => Number(message.timestamp),
  key: (message) => message.key,
  value: (message) => message.value,
  headerBytes: (message) => {
    let bytes = 0
    // Most records have none, and this is asked for each.
    for (const name in message.headers)
      for (const value of [message.headers[name]].flat()) bytes += name.length + (value?.length ?? 0)
    return bytes
  },
  headers: (message) => rawHeaders(message.headers ?? {}),
}

function rawHeaders(headers: kafkajs.IHeaders): readonly RawHeader[] {
  return Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((value) => ({ name, value: value === undefined ? null : Buffer.from(value) })),
  )
}
