import type * as kafkajs from 'kafkajs'
import type { RawHeader, RecordBlock } from '../../driver.ts'
import { recordList } from '../record-list.ts'

/** kafkajs's batch as a block; it has left out control records and aborted transactions already. */
export function blockOf(batch: kafkajs.Batch, generation: number): RecordBlock {
  const records = batch.messages.map((message) => ({
    offset: Number(message.offset),
    timestampMs: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: rawHeaders(message.headers ?? {}),
  }))
  return recordList(batch, generation, records, Number(batch.lastOffset()))
}

function rawHeaders(headers: kafkajs.IHeaders): readonly RawHeader[] {
  return Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((value) => ({ name, value: value === undefined ? null : Buffer.from(value) })),
  )
}
