import { dateOfText } from './date-methods.ts'
import { tooLarge } from './fuel.ts'
import { limits } from './limits.ts'
import { isRegex, readyRegex } from './regex.ts'
import { describeValue, limitedText, shownArgument } from './runtime.ts'
import { base64Decode, base64Encode, decoded, encoded, hash, parseJson, toJsonString } from './text-codes.ts'
import {
  extractDomain,
  extractEmail,
  extractUrl,
  extractUrlPath,
  isDomain,
  isEmail,
  isNumeric,
  isUrl,
} from './text-contents.ts'
import {
  quote,
  removeMarkdown,
  removeTags,
  replaceSpecialChars,
  toSentenceCase,
  toSnakeCase,
  toTitleCase,
} from './text-forms.ts'

type TextMethod = (text: string, ...args: readonly unknown[]) => unknown

/** The methods of text, by name. Arguments are of any type, and are turned into what JavaScript's own method would see. */
export const textMethods: Readonly<Record<string, TextMethod>> = {
  charAt: (text, position) => text.charAt(Number(position ?? 0)),
  charCodeAt: (text, position) => text.charCodeAt(Number(position ?? 0)),
  codePointAt: (text, position) => text.codePointAt(Number(position ?? 0)),
  endsWith: (text, end, position) => text.endsWith(String(end), position === undefined ? undefined : Number(position)),
  startsWith: (text, start, position) => text.startsWith(String(start), Number(position ?? 0)),
  substring: (text, start, end) => text.substring(Number(start), end === undefined ? undefined : Number(end)),
  substr,
  toLowerCase: (text) => text.toLowerCase(),
  toUpperCase: (text) => text.toUpperCase(),
  toTitleCase,
  toSentenceCase,
  toSnakeCase,
  replaceSpecialChars: (text) => limitedText(replaceSpecialChars(text)),
  quote: (text, mark) => limitedText(quote(text, mark === undefined ? '"' : String(mark))),
  removeTags,
  removeMarkdown,
  isEmail,
  isUrl,
  isDomain,
  isNumeric,
  extractEmail,
  extractUrl,
  extractDomain,
  extractUrlPath,
  parseJson: (text) => parseJson(shortText(text)),
  toJsonString,
  base64Encode: (text) => limitedText(base64Encode(text)),
  base64Decode: (text) => base64Decode(shortText(text)),
  urlEncode: (text, isWhole) => limitedText(encoded(isWhole === true ? encodeURI : encodeURIComponent, text)),
  urlDecode: (text, isWhole) => decoded(isWhole === true ? decodeURI : decodeURIComponent, text),
  hash,
  toBoolean: (text) => !['', '0', 'false', 'no'].includes(text.toLowerCase()),
  trim: (text) => text.trim(),
  trimStart: (text) => text.trimStart(),
  trimEnd: (text) => text.trimEnd(),
  split,
  match: (text, pattern) => text.match(readyRegex(patternOf(pattern, 'match'), text)),
  matchAll: (text, pattern) => [...text.matchAll(readyRegex(patternOf(pattern, 'matchAll'), text))],
  search: (text, pattern) => text.search(readyRegex(patternOf(pattern, 'search'), text)),
  replace: (text, pattern, replacement) => replace(text, pattern, replacement, false),
  replaceAll: (text, pattern, replacement) => replace(text, pattern, replacement, true),
  padStart: (text, length, filler) =>
    text.padStart(producedLength(length), filler === undefined ? ' ' : String(filler)),
  padEnd: (text, length, filler) => text.padEnd(producedLength(length), filler === undefined ? ' ' : String(filler)),
  repeat,
  normalize,
  localeCompare: (text, other, locale) => text.localeCompare(String(other), languageOf(locale)),
  toNumber,
  toDateTime: (text, format) => dateOfText(text, format),
  at: (text, position) => text.at(Number(position)),
  concat: (text, ...more) => limitedText(text + more.map(String).join('')),
  includes: (text, part, position) => text.includes(String(part), Number(position ?? 0)),
  indexOf: (text, part, position) => text.indexOf(String(part), Number(position ?? 0)),
  lastIndexOf: (text, part, position) =>
    text.lastIndexOf(String(part), position === undefined ? undefined : Number(position)),
  slice: (text, start, end) => text.slice(Number(start ?? 0), end === undefined ? undefined : Number(end)),
  isEmpty: (text) => text.length === 0,
  isNotEmpty: (text) => text.length > 0,
  toString: (text: string) => text,
  valueOf: (text: string) => text,
}

/** The methods of regular expressions. */
export const regexMethods: Readonly<Record<string, (regex: RegExp, text: unknown) => unknown>> = {
  test: (regex, text) => readyRegex(regex, String(text)).test(String(text)),
  exec: (regex, text) => readyRegex(regex, String(text)).exec(String(text)),
}

/** A language as text. Anything else made text might name one by chance, as `[Infinity]` does, which JavaScript refuses. */
function languageOf(language: unknown): string | undefined {
  if (language === undefined || typeof language === 'string') return language
  throw new TypeError(`localeCompare needs a language such as "de-DE", not ${shownArgument(language)}.`)
}

function normalize(text: string, form: unknown): string {
  const name = form === undefined ? 'NFC' : String(form)
  if (!normalForms.has(name))
    throw new RangeError(`normalize needs NFC, NFD, NFKC or NFKD, not ${shownArgument(name)}.`)
  return limitedText(shortText(text).normalize(name))
}

const normalForms: ReadonlySet<string> = new Set(['NFC', 'NFD', 'NFKC', 'NFKD'])

function substr(text: string, start: unknown, length: unknown): string {
  const from = Math.trunc(Number(start)) || 0
  const first = from < 0 ? Math.max(0, text.length + from) : from
  return length === undefined ? text.slice(first) : text.slice(first, first + Math.max(0, Number(length) || 0))
}

function split(text: string, separator: unknown, limit: unknown): string[] {
  const partsMax =
    limit === undefined ? limits.producedItemsMax + 1 : Math.min(Number(limit) >>> 0, limits.producedItemsMax + 1)
  const parts =
    separator === undefined
      ? [text].slice(0, partsMax)
      : text.split(isRegex(separator) ? readyRegex(separator, text) : String(separator), partsMax)
  if (parts.length > limits.producedItemsMax) tooLarge('The list of parts', limits.producedItemsMax)
  return parts
}

function replace(text: string, pattern: unknown, replacement: unknown, all: boolean): string {
  if (typeof replacement === 'function')
    throw new TypeError('replace takes a text as its second argument, not a function.')
  const by = String(replacement)
  const regex = isRegex(pattern) ? pattern : null
  if (all && regex !== null && !regex.global)
    throw new TypeError('replaceAll needs a regular expression with the flag g.')
  const what = regex === null ? String(pattern) : readyRegex(regex, text)
  // `$&` and its like put parts of the text into the result; each counts as the whole text.
  const addedPerFind = by.length + (by.split('$').length - 1) * text.length
  if (text.length + (text.length + 1) * addedPerFind > limits.producedCharsMax) {
    const many = all || regex?.global === true
    const finds = !many ? 1 : typeof what === 'string' ? text.split(what).length + 1 : (text.match(what)?.length ?? 0)
    if (text.length > limits.producedCharsMax || text.length + finds * addedPerFind > limits.producedCharsMax)
      if (finds > 0 && addedPerFind > 0) tooLarge('The text after replacing', limits.producedCharsMax)
  }
  return all ? text.replaceAll(what, by) : text.replace(what, by)
}

function repeat(text: string, count: unknown): string {
  const times = Number(count)
  if (text.length * times > limits.producedCharsMax) tooLarge('The repeated text', limits.producedCharsMax)
  // An empty text may be repeated for ever without growing, which still takes time.
  return text === '' && times >= 0 && times !== Infinity ? '' : text.repeat(times)
}

function producedLength(length: unknown): number {
  const chars = Number(length)
  if (chars > limits.producedCharsMax) tooLarge('The padded text', limits.producedCharsMax)
  return chars
}

function toNumber(text: string): number {
  const number = Number(text)
  if (text.trim() === '' || Number.isNaN(number)) throw new TypeError('toNumber found a text that is not a number.')
  return number
}

function shortText(text: string, charsMax: number = limits.producedCharsMax): string {
  return text.length > charsMax ? tooLarge('The text', charsMax) : text
}

function patternOf(pattern: unknown, method: string): RegExp {
  if (isRegex(pattern)) return pattern
  throw new TypeError(`${method} needs a regular expression literal, not ${describeValue(pattern)}.`)
}
