import { NodeError } from '../flow/failure.ts'
import { isBytes, isRecord } from '../protocol/frame.ts'

/** A value as JSON text, in which bytes are base64 text. `undefined` where JSON has no form for it. */
export function jsonText(value: unknown, indent?: number | string): string | undefined {
  return JSON.stringify(value, holdsBytes(value, 0) ? bytesAsBase64 : undefined, indent)
}

/** The same for who has nothing to say of it. Throws a NodeError for a value that has no JSON form, such as undefined. */
export function jsonOf(value: unknown): string {
  const text = jsonText(value)
  if (text === undefined) throw new NodeError('value.no-json', `${typeof value} has no JSON form; give a value`)
  return text
}

/** Text as it is, bytes as the text that they are, all else as JSON. Throws a NodeError for bytes that are no text. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return isBytes(value) ? decoded(value) : jsonOf(value)
}

/** Bytes as base64 text. */
export function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

const levelsLooked = 100

/** Looking costs a tenth of writing, a replacer twice as much as writing. What is too deep to be looked at, or a circle, is taken for one that does. */
function holdsBytes(value: unknown, level: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (ArrayBuffer.isView(value) || level > levelsLooked) return true
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) if (holdsBytes(value[index], level + 1)) return true
    return false
  }
  if (isRecord(value)) for (const name in value) if (holdsBytes(value[name], level + 1)) return true
  return false
}

function bytesAsBase64(this: unknown, key: string, value: unknown): unknown {
  // `value` has gone through toJSON, which a Buffer has; the object itself still holds the bytes.
  const raw: unknown = typeof this === 'object' && this !== null ? Reflect.get(this, key) : value
  return isBytes(raw) ? base64Of(raw) : value
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decoded(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new NodeError(
      'value.not-text',
      'the bytes are not text in UTF-8; use `format: ndjson`, which writes them as base64',
    )
  }
}
