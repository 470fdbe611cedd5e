import { isUtf8 } from 'node:buffer'
import { unpack } from 'msgpackr'
import { NodeError } from '../../core/flow/failure.ts'
import { JsonReader } from '../../core/json/json-reader.ts'
import type { RecordBlock } from './driver.ts'

/** Makes values of the bytes of records. */
export interface Decoder {
  /** Loads what the records of a block need before they can be decoded; null when nothing is missing. */
  prepare(block: RecordBlock): Promise<void> | null
  /** The value in `bytes` from `start` to `end`; an `end` of -1 is a null value. Throws a NodeError with what is wrong. */
  decode(bytes: Buffer, start: number, end: number): unknown
}

export const plainForms = ['json', 'string', 'raw', 'msgpack'] as const

/** A decoder that needs nothing from outside. */
export function plainDecoder(form: (typeof plainForms)[number]): Decoder {
  return { prepare: () => null, decode: form === 'json' ? jsonDecode() : decodes[form] }
}

function jsonDecode(): Decoder['decode'] {
  const reader = new JsonReader(parseJson)
  return (bytes, start, end) => (end < 0 ? null : reader.read(bytes, start, end))
}

function parseJson(bytes: Buffer, start: number, end: number): unknown {
  const text = textOf(bytes, start, end)
  try {
    return JSON.parse(text)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new NodeError('kafka.not-json', `the value is not JSON: ${why.slice(0, 200)}`)
  }
}

const decodes = {
  string(bytes: Buffer, start: number, end: number): unknown {
    return end < 0 ? null : textOf(bytes, start, end)
  },
  raw(bytes: Buffer, start: number, end: number): unknown {
    return end < 0 ? null : bytes.subarray(start, end)
  },
  msgpack(bytes: Buffer, start: number, end: number): unknown {
    if (end < 0) return null
    try {
      return unpack(bytes.subarray(start, end))
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown)
      throw new NodeError('kafka.not-msgpack', `the value is not MessagePack: ${why.slice(0, 200)}`)
    }
  },
}

/**
 * Text of UTF-8. Bytes that are none would silently become U+FFFD, so a text that holds that sign is checked against its bytes;
 * the others need no second look.
 */
function textOf(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end)
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end)))
    throw new NodeError('kafka.not-utf8', 'the value is not text in UTF-8')
  return text
}
