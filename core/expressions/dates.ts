import { createRequire } from 'node:module'
import type { DateTime, Duration } from 'luxon'
import { limits } from './limits.ts'

type Luxon = typeof import('luxon')

let loaded: Luxon | null = null

/** The date library, loaded when the first date is made: most workflows never make one. */
export function luxon(): Luxon {
  if (loaded === null) {
    const library: Luxon = createRequire(import.meta.url)('luxon')
    loaded = library
  }
  return loaded
}

/** True for luxon's DateTime. Loads nothing: before the library is loaded there is no such value. */
export function isDateTime(value: unknown): value is DateTime {
  return loaded !== null && value instanceof loaded.DateTime
}

/** True for luxon's Duration. */
export function isDuration(value: unknown): value is Duration {
  return loaded !== null && value instanceof loaded.Duration
}

let latestNow: DateTime | null = null
let latestNowMs = Number.NaN

/** `$now` for a batch's time in milliseconds: the same object for the same time, since all messages of a batch share it. */
export function nowAt(timeMs: number): DateTime {
  if (latestNow === null || timeMs !== latestNowMs) {
    latestNow = luxon().DateTime.fromMillis(timeMs)
    latestNowMs = timeMs
  }
  return latestNow
}

/** `$today` for a batch's time. */
export function todayAt(timeMs: number): DateTime {
  return nowAt(timeMs).startOf('day')
}

/**
 * The value with every date and duration in it as ISO text, so that a message only ever holds plain data; the date
 * library's inner parts, such as `$now.loc`, are left out.
 * Copies only what holds one.
 */
export function withoutDates(value: unknown, depth = 0): unknown {
  if (typeof value === 'function') return undefined
  if (typeof value !== 'object' || value === null) return value
  if (isDateTime(value) || isDuration(value)) return value.toISO()
  if (depth > limits.valueDepthMax) return value
  if (Array.isArray(value)) {
    let copy: unknown[] | null = null
    for (let i = 0; i < value.length; i++) {
      const item = withoutDates(value[i], depth + 1)
      if (item !== value[i]) (copy ??= [...value])[i] = item
    }
    return copy ?? value
  }
  if (ArrayBuffer.isView(value) || value instanceof Date) return value
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) return undefined
  let copy: Map<string, unknown> | null = null
  for (const [name, field] of Object.entries(value)) {
    const changed = withoutDates(field, depth + 1)
    if (changed !== field) (copy ??= new Map(Object.entries(value))).set(name, changed)
  }
  return copy === null ? value : Object.fromEntries(copy)
}
