import type { DoneValue, MissingValue, ThumbnailValue, VideoValue } from '../video/values.ts'

/** What the topic of an execution carries when its work failed. */
export interface ErrorValue {
  readonly kind: 'error'
  readonly code: string
  readonly message: string
}

export type TopicValue = VideoValue | ThumbnailValue | MissingValue | DoneValue | ErrorValue

/** Checks a value of the topic; null for one that this page does not know, which a newer workflow may send. */
export function readValue(value: unknown): TopicValue | null {
  if (!isRecord(value)) return null
  const { kind } = value
  const ok =
    (kind === 'video' && has(value, { container: 'string', codec: 'string', width: 'number', height: 'number' })) ||
    (kind === 'thumbnail' && has(value, { index: 'number', atMs: 'number' }) && value.data instanceof Uint8Array) ||
    (kind === 'missing' && has(value, { index: 'number', atMs: 'number' })) ||
    (kind === 'done' && has(value, { thumbnails: 'number', missing: 'number', elapsedMs: 'number' })) ||
    (kind === 'error' && has(value, { code: 'string', message: 'string' }))
  return ok ? known(value) : null
}

/** The execution's id out of the 202 that answers an upload. */
export function readAccepted(value: unknown): string | null {
  return isRecord(value) && typeof value.execution === 'string' ? value.execution : null
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function has(value: Readonly<Record<string, unknown>>, fields: Readonly<Record<string, string>>): boolean {
  return Object.entries(fields).every(([name, type]) => typeof value[name] === type)
}

/** The fields were checked one by one above; this is the one place where the type is said. */
function known(value: Readonly<Record<string, unknown>>): TopicValue {
  const checked: unknown = value
  return checked as TopicValue
}
