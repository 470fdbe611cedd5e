import { NodeError } from '../../core/flow/failure.ts'
import { base64Of, jsonText } from '../../core/json/json-text.ts'
import { isBytes } from '../../core/protocol/frame.ts'
import type { HttpResponse } from './exchange.ts'

export type SendFormat = 'json' | 'text' | 'form' | 'bytes'
export type ReceiveFormat = 'auto' | 'json' | 'text' | 'bytes'

/** A request's body as bytes, with the content type that it has by itself. Throws a NodeError for a value that does not fit. */
export function encodeBody(value: unknown, format: SendFormat): { readonly type: string; readonly bytes: Uint8Array } {
  switch (format) {
    case 'json': {
      const text = jsonText(value)
      if (text === undefined)
        throw new NodeError('http.bad-body', `the body is ${typeof value}, which has no JSON form`)
      return { type: 'application/json', bytes: Buffer.from(text) }
    }
    case 'text':
      if (typeof value !== 'string') throw new NodeError('http.bad-body', `the body is ${nameOf(value)}, not text`)
      return { type: 'text/plain; charset=utf-8', bytes: Buffer.from(value) }
    case 'form': {
      const fields = new URLSearchParams()
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        throw new NodeError('http.bad-body', `the body of a form is ${nameOf(value)}, not an object`)
      addFields(fields, value)
      return { type: 'application/x-www-form-urlencoded', bytes: Buffer.from(fields.toString()) }
    }
    case 'bytes':
      if (!(value instanceof Uint8Array))
        throw new NodeError('http.bad-body', `the body is ${nameOf(value)}, not bytes`)
      return { type: 'application/octet-stream', bytes: value }
  }
}

/** Adds the fields of an object: lists as repeated names; null and undefined are left out. */
export function addFields(to: URLSearchParams, fields: object): void {
  for (const [name, value] of Object.entries(fields))
    for (const each of Array.isArray(value) ? value : [value])
      if (each !== null && each !== undefined) to.append(name, fieldText(each))
}

function fieldText(value: unknown): string {
  if (isBytes(value)) return base64Of(value)
  return typeof value === 'object' ? (jsonText(value) ?? '') : String(value)
}

/** An answer's body as a value: by its content type, or as asked. Nothing at all is null. */
export function decodeBody(answer: HttpResponse, format: ReceiveFormat, where: string): unknown {
  const type = answer.headers['content-type'] ?? ''
  const chosen = format === 'auto' ? formatOf(type) : format
  if (chosen === 'bytes') return answer.body
  if (answer.body.byteLength === 0) return chosen === 'text' ? '' : null
  const text = textOf(answer.body, type)
  if (chosen === 'text') return text
  try {
    return JSON.parse(text)
  } catch {
    throw new NodeError(
      'http.bad-json',
      `${where} answered ${answer.status} with a body that is not JSON; use \`receive: text\``,
    )
  }
}

function formatOf(type: string): 'json' | 'text' | 'bytes' {
  const [name = ''] = type.toLowerCase().split(';')
  if (/^[^/]+\/(?:[^/]+\+)?json$/.test(name.trim())) return 'json'
  if (/^text\/|\/(?:[^/]+\+)?xml$|\/x-www-form-urlencoded$|\/(?:x-)?ndjson$|\/javascript$|\/yaml$/.test(name.trim()))
    return 'text'
  return name === '' ? 'text' : 'bytes'
}

function textOf(bytes: Uint8Array, type: string): string {
  const charset = /charset="?([^";\s]+)/i.exec(type)?.[1] ?? 'utf-8'
  try {
    return new TextDecoder(charset).decode(bytes)
  } catch {
    return new TextDecoder().decode(bytes)
  }
}

function nameOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : typeof value
}
