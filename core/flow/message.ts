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
}

class MessageRecord implements Message {
  value: unknown
  readonly key: Key
  readonly time: number
  readonly meta: Meta | null

  constructor(value: unknown, key: Key, time: number, meta: Meta | null) {
    this.value = value
    this.key = key
    this.time = time
    this.meta = meta
  }
}

/** The one door that makes messages, so that all of them share a hidden class. */
export function message(value: unknown, key: Key = null, time = 0, meta: Meta | null = null): Message {
  return new MessageRecord(value, key, time, meta)
}

/** The same envelope around another value. */
export function withValue(original: Message, value: unknown): Message {
  return new MessageRecord(value, original.key, original.time, original.meta)
}
