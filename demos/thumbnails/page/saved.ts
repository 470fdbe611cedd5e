import { isRecord } from './values.ts'

/** What must outlive the page: enough to find a video's execution again, and figures that only this page could measure. */
export interface RunRecord {
  readonly key: string
  readonly name: string
  readonly source: 'file' | 'sample'
  /** Null for the sample, whose size nobody asks for. */
  readonly bytes: number | null
  /** Times are in milliseconds since the epoch. */
  readonly startedAt: number
  /** The last byte was handed over; for the sample, it was asked for. */
  sentAt: number | null
  /** The work told what the video is. */
  workedAt: number | null
  firstAt: number | null
  lastAt: number | null
  /** Thumbnails that have come so far. */
  seen: number
  execution: string | null
  /** The log that its thumbnails stand in: another one is that of a server that knows nothing of them. */
  log: string | null
}

const place = 'millrace.thumbnails'
const keptMax = 20

/** Keeps the records of this tab: they are there after a reload, and in no other tab. */
export function save(records: readonly RunRecord[]): void {
  try {
    sessionStorage.setItem(place, JSON.stringify(records.slice(0, keptMax)))
  } catch {
    // Without storage the page works all the same, until it is reloaded.
  }
}

/** The records of this tab, those that can be read. */
export function load(): readonly RunRecord[] {
  try {
    const read: unknown = JSON.parse(sessionStorage.getItem(place) ?? '[]')
    return Array.isArray(read) ? read.flatMap((each) => readRecord(each) ?? []).slice(0, keptMax) : []
  } catch {
    return []
  }
}

function readRecord(value: unknown): RunRecord | null {
  if (!isRecord(value) || typeof value.key !== 'string' || typeof value.name !== 'string') return null
  if (typeof value.startedAt !== 'number') return null
  const numberOf = (field: unknown): number | null => (typeof field === 'number' ? field : null)
  return {
    key: value.key,
    name: value.name,
    source: value.source === 'sample' ? 'sample' : 'file',
    bytes: numberOf(value.bytes),
    startedAt: value.startedAt,
    sentAt: numberOf(value.sentAt),
    workedAt: numberOf(value.workedAt),
    firstAt: numberOf(value.firstAt),
    lastAt: numberOf(value.lastAt),
    seen: numberOf(value.seen) ?? 0,
    execution: typeof value.execution === 'string' ? value.execution : null,
    log: typeof value.log === 'string' ? value.log : null,
  }
}
