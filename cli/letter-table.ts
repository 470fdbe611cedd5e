import { isUtf8 } from 'node:buffer'
import type { KeptLetter } from '../core/define.ts'
import { table } from './table.ts'

/** Letters for a person: a line each, cut to the width. */
export function letterTable(letters: readonly KeptLetter[], width: number): string {
  const rows = letters.map((each) => [
    new Date(each.time).toISOString().slice(0, 19).replace('T', ' '),
    each.node ?? '–',
    each.code,
    each.origin ?? '–',
    each.key === null ? '–' : (textOf(each.key) ?? `${each.key.length} bytes`),
    each.message.replaceAll(/\s+/g, ' '),
  ])
  return table(['time', 'node', 'code', 'from', 'key', 'message'], rows, 6)
    .split('\n')
    .map((line) => (line.length <= width ? line : `${line.slice(0, width - 1)}…`))
    .join('\n')
}

/** A letter for a program; keys and values that are no text are base64. */
export function letterJson(letter: KeptLetter): string {
  const { time, node, code, message, origin, key, value } = letter
  return JSON.stringify({ time, node, code, message, origin, ...shown('key', key), ...shown('value', value) })
}

function shown(name: string, bytes: Uint8Array | null): Readonly<Record<string, string | null>> {
  if (bytes === null) return { [name]: null }
  const text = textOf(bytes)
  return text === null ? { [`${name}Base64`]: Buffer.from(bytes).toString('base64') } : { [name]: text }
}

function textOf(bytes: Uint8Array): string | null {
  return isUtf8(bytes) ? Buffer.from(bytes).toString('utf8') : null
}
