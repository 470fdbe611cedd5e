import type { Decoded } from './frame.ts'

/** What a client may say. */
export type ClientFrame =
  | { readonly kind: 'hello'; readonly token: string | null }
  | SubscribeFrame
  | { readonly kind: 'credit'; readonly id: number; readonly n: number }
  | { readonly kind: 'unsubscribe'; readonly id: number }
  | RunFrame
  | { readonly kind: 'cancel'; readonly execution: string }
  | { readonly kind: 'ping' }

export interface SubscribeFrame {
  readonly kind: 'subscribe'
  /** Chosen by the client; names the subscription in both directions. */
  readonly id: number
  readonly topic: string
  readonly after: After
  /** The log that `after` counts in, as `subscribed` told; null when the client does not know one. */
  readonly log: string | null
  /** Messages that the client takes before it gives more credit. */
  readonly credits: number
}

export interface RunFrame {
  readonly kind: 'run'
  readonly id: number
  readonly workflow: string
  readonly entry: string | null
  readonly input: unknown
}

/** The last offset that the reader has; `start`: all that is kept; null: only what comes from now on. */
export type After = number | 'start' | null

/** `orders`, `jobs/17`: what a topic may be called. */
export const topicPattern = /^[A-Za-z0-9._~/-]{1,200}$/
const creditsMax = 100_000
const nameCharsMax = 200

/** Checks a decoded header. Fields that are not of the frame are ignored, so that newer clients can talk to older servers. */
export function parseClientFrame(header: Readonly<Record<string, unknown>>): Decoded<ClientFrame> {
  switch (header.kind) {
    case 'hello':
      if (header.token === undefined || header.token === null)
        return { ok: true, value: { kind: 'hello', token: null } }
      if (typeof header.token === 'string' && header.token.length <= 4096)
        return { ok: true, value: { kind: 'hello', token: header.token } }
      return wrong('hello', 'token', 'text of at most 4,096 characters')
    case 'subscribe':
      return parseSubscribe(header)
    case 'credit':
      if (!isId(header.id)) return wrong('credit', 'id', 'a non-negative integer')
      if (!isCredit(header.n)) return wrong('credit', 'n', `an integer from 1 to ${creditsMax}`)
      return { ok: true, value: { kind: 'credit', id: header.id, n: header.n } }
    case 'unsubscribe':
      if (!isId(header.id)) return wrong('unsubscribe', 'id', 'a non-negative integer')
      return { ok: true, value: { kind: 'unsubscribe', id: header.id } }
    case 'run':
      return parseRun(header)
    case 'cancel':
      if (!isName(header.execution)) return wrong('cancel', 'execution', 'the id of an execution')
      return { ok: true, value: { kind: 'cancel', execution: header.execution } }
    case 'ping':
      return { ok: true, value: { kind: 'ping' } }
    default:
      return {
        ok: false,
        fault: { code: 'frame.unknown-kind', message: `There is no frame of kind ${show(header.kind)}.` },
      }
  }
}

function parseSubscribe(header: Readonly<Record<string, unknown>>): Decoded<ClientFrame> {
  const { id, topic, credits } = header
  const after = header.after ?? null
  const log = header.log ?? null
  if (!isId(id)) return wrong('subscribe', 'id', 'a non-negative integer')
  if (typeof topic !== 'string' || !topicPattern.test(topic))
    return wrong('subscribe', 'topic', '1 to 200 letters, digits and . _ ~ / -')
  if (!isAfter(after)) return wrong('subscribe', 'after', 'an offset, "start" or null')
  if (log !== null && !isName(log)) return wrong('subscribe', 'log', 'the id of a log, or null')
  if (!isCredit(credits)) return wrong('subscribe', 'credits', `an integer from 1 to ${creditsMax}`)
  return { ok: true, value: { kind: 'subscribe', id, topic, after, log, credits } }
}

function parseRun(header: Readonly<Record<string, unknown>>): Decoded<ClientFrame> {
  const { id, workflow, input } = header
  const entry = header.entry ?? null
  if (!isId(id)) return wrong('run', 'id', 'a non-negative integer')
  if (!isName(workflow)) return wrong('run', 'workflow', 'the id of a workflow')
  if (entry !== null && !isName(entry)) return wrong('run', 'entry', 'the id of a trigger, or null')
  return { ok: true, value: { kind: 'run', id, workflow, entry, input } }
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isCredit(value: unknown): value is number {
  return isId(value) && value >= 1 && value <= creditsMax
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= nameCharsMax
}

function isAfter(value: unknown): value is After {
  return (
    value === null || value === 'start' || (typeof value === 'number' && Number.isSafeInteger(value) && value >= -1)
  )
}

function wrong(kind: string, field: string, expected: string): Decoded<ClientFrame> {
  return {
    ok: false,
    fault: { code: 'frame.bad-field', message: `Field ${field} of a ${kind} frame must be ${expected}.` },
  }
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 40)) : typeof value
}
