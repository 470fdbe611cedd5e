import { NodeError } from './flow/failure.ts'

/** Headers of an answer: a list is a header that stands there several times. */
export type AnswerHeaders = Readonly<Record<string, string | readonly string[]>>

/** What a header may be called (RFC 9110, 5.1). */
export const headerName = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}$/

/** What a header may hold (RFC 9110, 5.5); a line end in one would begin another. */
const content = /^[\t\x20-\x7e\x80-\xff]*$/

/** A header's value as it is sent. Throws a NodeError with this code, without the value, for one that no header may hold. */
export function headerText(name: string, value: unknown, code: string): string {
  const text = typeof value === 'string' ? value : typeof value === 'number' ? String(value) : null
  if (text !== null && content.test(text)) return text
  const found =
    text !== null
      ? 'text with characters that no header may hold, such as a line end'
      : value === null
        ? 'null'
        : typeof value
  throw new NodeError(code, `the header ${name} is ${found}; give it text of printable Latin-1 characters`)
}

/** Whether a header may stand in one answer several times. Those that may not are the ones that readers take only the first or the last of. */
export function mayRepeat(name: string): boolean {
  return !onlyOnce.has(name.toLowerCase())
}

const onlyOnce: ReadonlySet<string> = new Set([
  'access-control-allow-origin',
  'access-control-max-age',
  'age',
  'content-disposition',
  'content-length',
  'content-location',
  'content-range',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'retry-after',
  'server',
  'strict-transport-security',
])
