import type { Type } from 'protobufjs'
import { failureOf } from '../../core/flow/failure.ts'
import type { RecordReader, Records } from '../../core/flow/record-source.ts'
import { decode } from './message-bytes.ts'

/** Each piece of bytes is a message. One that cannot be read is given to the dead-letter with its bytes. */
export function messageRecords(type: Type, node: string): RecordReader {
  let arrived: Uint8Array | null = null
  return {
    push(bytes) {
      arrived = bytes
    },
    end: () => undefined,
    restart: () => undefined,
    take() {
      if (arrived === null) return null
      const bytes = arrived
      arrived = null
      return recordOf(type, bytes, node)
    },
  }
}

function recordOf(type: Type, bytes: Uint8Array, node: string): Records {
  try {
    const value = decode(type, bytes)
    return { values: [value], unreadable: [], bytes: bytes.length, again: () => [decode(type, bytes)] }
  } catch (thrown) {
    const unreadable = [{ failure: failureOf(thrown, node), value: bytes }]
    return { values: [], unreadable, bytes: bytes.length, again: () => [] }
  }
}
