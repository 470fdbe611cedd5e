/** A message's key: text, raw bytes, or none. Order holds per key where a node promises it. */
export type Key = string | Uint8Array | null

/** What travels beside a value without being part of it: headers, the reply handle, the request. Never serialised whole. */
export type Meta = Readonly<Record<string, unknown>>

/** One value in flight. `time` is the event time in milliseconds since the epoch. */
export interface Message {
  value: unknown
  readonly key: Key
  readonly time: number
  readonly meta: Meta | null
  /** Where it stands in what `meta` is of, if many messages share that; else -1. */
  readonly at: number
}

/**
 * What many messages have beside their values, kept once for all of them: a source that reads thousands of records in a row makes
 * one for the row, and each message holds a small number. `$meta` is described only for the messages whose expressions read it.
 */
export abstract class SharedMeta {
  readonly [name: string]: unknown
  abstract describe(at: number): Meta
}

/** What `$meta` reads. */
export function metaOf(from: { readonly meta: Meta | null; readonly at?: number }): Meta {
  const { meta } = from
  if (meta === null) return noMeta
  return meta instanceof SharedMeta ? meta.describe(from.at ?? -1) : meta
}

/** What `$meta` is for a message that has none. */
export const noMeta: Meta = Object.freeze({})

class MessageRecord implements Message {
  value: unknown
  readonly key: Key
  readonly time: number
  readonly meta: Meta | null
  readonly at: number

  constructor(value: unknown, key: Key, time: number, meta: Meta | null, at: number) {
    this.value = value
    this.key = key
    this.time = time
    this.meta = meta
    this.at = at
  }
}

/** The one door that makes messages, so that all of them share a hidden class. */
export function message(value: unknown, key: Key = null, time = 0, meta: Meta | null = null, at = -1): Message {
  return new MessageRecord(value, key, time, meta, at)
}

/** The same envelope around another value. */
export function withValue(original: Message, value: unknown): Message {
  return new MessageRecord(value, original.key, original.time, original.meta, original.at)
}
