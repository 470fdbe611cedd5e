import { failureOf, NodeError } from '../../core/flow/failure.ts'
import type { Key, Message } from '../../core/flow/message.ts'
import { message } from '../../core/flow/message.ts'
import type { BlockMeta } from './block-meta.ts'
import type { Decoder } from './decode.ts'
import type { RecordCursor } from './driver.ts'

export type KeyForm = 'text' | 'bytes' | 'none'

export interface ReadOptions {
  readonly node: string
  readonly decoder: Decoder
  readonly key: KeyForm
  /** A larger value is not decoded. */
  readonly recordBytesMax: number
}

/** Messages of records in a row, and those that could not be made, as an error port carries them. */
export interface ReadMessages {
  readonly good: Message[]
  readonly bad: Message[]
}

/**
 * Reads `count` records of a block: the next ones, or from the one at `from` on. One that cannot be decoded does not disturb
 * the ones around it.
 */
export function readMessages(
  cursor: RecordCursor,
  count: number,
  meta: BlockMeta,
  options: ReadOptions,
  from: number | null = null,
): ReadMessages {
  const good: Message[] = []
  const bad: Message[] = []
  const { decoder, recordBytesMax } = options
  const keyForm = options.key
  for (let i = 0; i < count; i++) {
    if (i === 0 && from !== null) cursor.moveTo(from)
    else if (!cursor.next()) break
    try {
      if (cursor.valueEnd - cursor.valueStart > recordBytesMax) throw tooLarge(cursor, recordBytesMax)
      const value = decoder.decode(cursor.bytes, cursor.valueStart, cursor.valueEnd)
      const key = keyForm === 'none' ? null : keyOf(cursor, keyForm)
      good.push(message(value, key, cursor.timestampMs, meta, cursor.at))
    } catch (thrown) {
      bad.push(unreadable(cursor, meta, options, thrown))
    }
  }
  return { good, bad }
}

function keyOf(cursor: RecordCursor, form: 'text' | 'bytes'): Key {
  if (cursor.keyEnd < 0) return null
  if (form === 'text') return cursor.bytes.toString('utf8', cursor.keyStart, cursor.keyEnd)
  return cursor.bytes.subarray(cursor.keyStart, cursor.keyEnd)
}

function tooLarge(cursor: RecordCursor, recordBytesMax: number): NodeError {
  return new NodeError(
    'kafka.too-large',
    `the value has ${cursor.valueEnd - cursor.valueStart} bytes; recordBytesMax is ${recordBytesMax}`,
  )
}

const shownBytesMax = 1_000

function unreadable(cursor: RecordCursor, meta: BlockMeta, options: ReadOptions, thrown: unknown): Message {
  const shown = cursor.bytes.toString(
    'utf8',
    cursor.valueStart,
    Math.max(cursor.valueStart, Math.min(cursor.valueEnd, cursor.valueStart + shownBytesMax)),
  )
  const failure = failureOf(thrown, options.node)
  return message(
    { error: { ...failure, retriable: false }, value: shown },
    keyOf(cursor, 'text'),
    cursor.timestampMs,
    meta,
    cursor.at,
  )
}
