import { pack } from 'msgpackr'
import type { Expression, NodeContext } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'
import { jsonText } from '../../core/json/json-text.ts'
import type { Draft, OutHeader } from './driver.ts'

export interface RecordConfig {
  readonly key?: Expression<string | number | null> | undefined
  readonly value?: Expression<unknown> | undefined
  readonly encode: keyof typeof encoders
  readonly partition?: Expression<number> | undefined
  readonly headers: Readonly<Record<string, Expression<string | number | boolean | null>>>
  readonly timestamp: 'message' | 'now'
}

/** Adds a message to a draft as a record. Throws a NodeError that says which part of it cannot be. */
export type AddRecord = (draft: Draft, topic: string, message: Message, scope: Scope) => void

/** Makes the function that turns messages into records as the config says. */
export function recordWriter(config: RecordConfig, context: NodeContext): AddRecord {
  const keyOf = config.key === undefined ? null : context.reader(config.key)
  const readValue = context.readerOrValue(config.value)
  const partitionOf = config.partition === undefined ? null : context.reader(config.partition)
  const headersOf = headersReader(config, context)
  const encode = encoders[config.encode]
  const { clock } = context.host
  return (draft, topic, message, scope) => {
    const key = keyOf === null ? message.key : asKey(keyOf(message, scope))
    const partition = partitionOf === null ? null : asPartition(partitionOf(message, scope))
    const value = readValue(message, scope)
    const bytes = value === null ? null : encode(value)
    const time = config.timestamp === 'now' || message.time === 0 ? clock.now() : message.time
    draft.add(topic, partition, key, bytes, headersOf === null ? null : headersOf(message, scope), time)
  }
}

const encoders = {
  json(value: unknown): string {
    const text = jsonText(value)
    if (text === undefined) throw new NodeError('kafka.no-value', 'the value is undefined, which is no JSON')
    return text
  },
  string: (value: unknown): string => (typeof value === 'string' ? value : String(value)),
  raw(value: unknown): string | Uint8Array {
    if (typeof value === 'string' || value instanceof Uint8Array) return value
    throw new NodeError('kafka.not-bytes', `encode: raw takes bytes or text, not ${describe(value)}`)
  },
  msgpack: (value: unknown): Uint8Array => pack(value),
}

function asKey(key: unknown): string | Uint8Array | null {
  if (typeof key === 'string' || key instanceof Uint8Array || key === null) return key
  if (typeof key === 'number' || typeof key === 'boolean') return String(key)
  if (key === undefined) return null
  throw new NodeError('kafka.bad-key', `a key is text, a number or null, not ${describe(key)}`)
}

function asPartition(partition: unknown): number {
  if (typeof partition === 'number' && Number.isSafeInteger(partition) && partition >= 0) return partition
  throw new NodeError('kafka.bad-partition', `a partition is a whole number from 0, not ${describe(partition)}`)
}

function headersReader(
  config: RecordConfig,
  context: NodeContext,
): ((message: Message, scope: Scope) => readonly OutHeader[]) | null {
  const readers = Object.entries(config.headers).map(([name, value]) => ({ name, read: context.reader(value) }))
  if (readers.length === 0) return null
  return (message, scope) => {
    const headers: OutHeader[] = []
    for (const { name, read } of readers) {
      const value: unknown = read(message, scope)
      if (value === null || value === undefined) continue
      headers.push({ name, value: value instanceof Uint8Array ? value : String(value) })
    }
    return headers
  }
}

function describe(value: unknown): string {
  if (typeof value === 'number') return String(value)
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
