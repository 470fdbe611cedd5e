import type { Decoded } from './frame.ts'
import { isRecord } from './frame.ts'

/** What a server may say. */
export type ServerFrame =
  | { readonly kind: 'welcome'; readonly protocol: number; readonly server: string }
  /** The next message will have the offset `next`, counted in this `log`. */
  | { readonly kind: 'subscribed'; readonly id: number; readonly log: string; readonly next: number }
  /** Values at consecutive offsets, the first at `offset`. */
  | { readonly kind: 'messages'; readonly id: number; readonly offset: number; readonly values: readonly unknown[] }
  /** These offsets are gone for good. `to` is null when the whole log is gone: nobody knows how far it went. */
  | { readonly kind: 'gap'; readonly id: number; readonly from: number; readonly to: number | null }
  | { readonly kind: 'end'; readonly id: number; readonly outcome: WireOutcome | null }
  /** About the frame with this id, or, with null, about the connection. */
  | { readonly kind: 'error'; readonly id: number | null; readonly code: string; readonly message: string }
  | { readonly kind: 'pong' }
  | { readonly kind: 'ran'; readonly id: number; readonly execution: string; readonly topic: string }

/** How an execution ended, as a client sees it. */
export interface WireOutcome {
  readonly state: 'done' | 'failed' | 'stopped' | 'lost'
  /** Messages that were still under way when it was cut. */
  readonly unsettled: number
  /** Messages that failed for good and lie in the dead-letter. */
  readonly deadLetters: number
  readonly failure: { readonly code: string; readonly message: string; readonly node: string | null } | null
}

/** Checks a decoded header on the client's side. */
export function parseServerFrame(header: Readonly<Record<string, unknown>>): Decoded<ServerFrame> {
  const frame = read(header)
  if (frame !== null) return { ok: true, value: frame }
  return {
    ok: false,
    fault: {
      code: 'frame.unexpected',
      message: `The server sent a frame that this client cannot read (${String(header.kind).slice(0, 40)}).`,
    },
  }
}

function read(header: Readonly<Record<string, unknown>>): ServerFrame | null {
  const { kind, id } = header
  if (kind === 'pong') return { kind }
  if (kind === 'welcome' && isCount(header.protocol) && typeof header.server === 'string')
    return { kind, protocol: header.protocol, server: header.server }
  if (kind === 'error' && typeof header.code === 'string' && typeof header.message === 'string')
    return { kind, id: isCount(id) ? id : null, code: header.code, message: header.message }
  if (!isCount(id)) return null
  if (kind === 'subscribed' && typeof header.log === 'string' && isCount(header.next))
    return { kind, id, log: header.log, next: header.next }
  if (kind === 'messages' && isCount(header.offset) && Array.isArray(header.values))
    return { kind, id, offset: header.offset, values: header.values }
  if (kind === 'gap' && isCount(header.from) && (header.to === null || isCount(header.to)))
    return { kind, id, from: header.from, to: header.to }
  if (kind === 'end') return { kind, id, outcome: readOutcome(header.outcome) }
  if (kind === 'ran' && typeof header.execution === 'string' && typeof header.topic === 'string')
    return { kind, id, execution: header.execution, topic: header.topic }
  return null
}

/** An outcome out of JSON, or null where there is none. */
export function readOutcome(value: unknown): WireOutcome | null {
  if (!isRecord(value)) return null
  const { state, unsettled, deadLetters, failure } = value
  if (state !== 'done' && state !== 'failed' && state !== 'stopped' && state !== 'lost') return null
  return {
    state,
    unsettled: isCount(unsettled) ? unsettled : 0,
    deadLetters: isCount(deadLetters) ? deadLetters : 0,
    failure: readFailure(failure),
  }
}

function readFailure(value: unknown): WireOutcome['failure'] {
  if (!isRecord(value) || typeof value.code !== 'string' || typeof value.message !== 'string') return null
  return { code: value.code, message: value.message, node: typeof value.node === 'string' ? value.node : null }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
