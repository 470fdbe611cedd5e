import { createHash } from 'node:crypto'
import { NodeError } from '../flow/failure.ts'
import { jsonText } from '../json/json-text.ts'
import { limitedText, shownArgument } from './runtime.ts'

/*
 * Texts that stand for something else: JSON, base64, parts of URLs, hashes.
 */

/** The value behind JSON text. The message of the error never holds the text, which may be secret. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    const remedy = /^\s*[{[]\s*'/.test(text) ? '; JSON has double quotes' : ''
    throw new TypeError(`parseJson found a text that is no JSON${remedy}.`)
  }
}

/** Any value as JSON text. */
export function toJsonString(value: unknown): string | undefined {
  return jsonText(value)
}

export function base64Encode(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64')
}

/** The text behind base64, of the usual or the URL alphabet. */
export function base64Decode(text: string): string {
  return Buffer.from(text, 'base64').toString('utf8')
}

/** The hash of a text's UTF-8 bytes, in hexadecimal digits. */
export function hash(text: string, algorithm: unknown): string {
  const name = String(algorithm ?? 'md5').toLowerCase()
  if (name === 'base64') return base64Encode(text)
  const hashName = hashNames.get(name)
  if (hashName === undefined)
    throw new TypeError(`hash needs one of ${[...hashNames.keys()].join(', ')}, not ${shownArgument(algorithm)}.`)
  try {
    return createHash(hashName).update(text).digest('hex')
  } catch (thrown) {
    throw new NodeError('expression.no-hash', `This Node.js has no hash ${name}; use sha256.`, { cause: thrown })
  }
}

const hashNames: ReadonlyMap<string, string> = new Map([
  ['md5', 'md5'],
  ['sha1', 'sha1'],
  ['sha224', 'sha224'],
  ['sha256', 'sha256'],
  ['sha384', 'sha384'],
  ['sha512', 'sha512'],
  ['sha3', 'sha3-512'],
])

/** Decodes, and shows the signs that it cannot read. */
export function decoded(decode: (text: string) => string, value: unknown): string {
  const text = limitedText(String(value))
  try {
    return decode(text)
  } catch {
    const wrong = text.match(/(?:%[0-9a-f]{2})+|%.{0,2}/gi)?.find((signs) => !decodes(decode, signs))
    throw new TypeError(`${decode.name} cannot read ${shownArgument(wrong)}: that encodes no character.`)
  }
}

function decodes(decode: (text: string) => string, signs: string): boolean {
  try {
    decode(signs)
    return true
  } catch {
    return false
  }
}

/** Encodes for a URL. Throws a TypeError for half a character, which has no encoding. */
export function encoded(encode: (text: string) => string, value: unknown): string {
  const text = limitedText(String(value))
  if (text.isWellFormed()) return encode(text)
  throw new TypeError('Half a character (a lone UTF-16 surrogate) has no encoding; cut texts between characters.')
}
