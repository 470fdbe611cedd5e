import { jsonText } from '../json/json-text.ts'
import { isDateTime, isDuration } from './dates.ts'
import { tooLarge } from './fuel.ts'
import { limits } from './limits.ts'
import { groupBy, listFrom } from './list-methods.ts'
import { describeValue, entryKey, itemsOf, keyOf } from './runtime.ts'
import { decoded, encoded } from './text-codes.ts'

/** A function of the language, on values of any type. */
export type Call = (...args: readonly unknown[]) => unknown

/** The functions of the language by their full names. Those of luxon stand with the dates. */
export const functionCalls: Readonly<Record<string, Call>> = {
  Number: (...args) => (args.length === 0 ? 0 : Number(args[0])),
  String: (...args) => (args.length === 0 ? '' : String(args[0])),
  Boolean: (value) => Boolean(value),
  parseInt: (text, base) => Number.parseInt(String(text), base === undefined ? undefined : Number(base)),
  parseFloat: (text) => Number.parseFloat(String(text)),
  isNaN: (value) => Number.isNaN(Number(value)),
  isFinite: (value) => Number.isFinite(Number(value)),
  encodeURIComponent: (text) => encoded(encodeURIComponent, text),
  decodeURIComponent: (text) => decoded(decodeURIComponent, text),
  encodeURI: (text) => encoded(encodeURI, text),
  decodeURI: (text) => decoded(decodeURI, text),
  'JSON.stringify': stringify,
  'JSON.parse': (text): unknown => JSON.parse(longText(text)),
  'Object.keys': (value) => Object.keys(fielded(value)),
  'Object.values': (value) => Object.values(fielded(value)),
  'Object.entries': (value) => Object.entries(fielded(value)),
  'Object.fromEntries': fromEntries,
  'Object.assign': (...sources) =>
    Object.fromEntries(
      sources.flatMap((source) => (source === null || source === undefined ? [] : Object.entries(fielded(source)))),
    ),
  'Object.hasOwn': (value, name) => Object.hasOwn(fielded(value), keyOf(name)),
  'Object.groupBy': groupBy,
  'Array.isArray': (value) => Array.isArray(value),
  'Array.of': (...items) => items,
  'Array.from': listFrom,
  'String.fromCharCode': (...codes) => String.fromCharCode(...codes.map(Number)),
  'String.fromCodePoint': (...codes) => String.fromCodePoint(...codes.map(Number)),
  'Number.isInteger': (value) => Number.isInteger(value),
  'Number.isSafeInteger': (value) => Number.isSafeInteger(value),
  'Number.isFinite': (value) => Number.isFinite(value),
  'Number.isNaN': (value) => Number.isNaN(value),
  'Number.parseInt': (text, base) => Number.parseInt(String(text), base === undefined ? undefined : Number(base)),
  'Number.parseFloat': (text) => Number.parseFloat(String(text)),
  'Date.parse': (text) => Date.parse(String(text)),
  'Date.UTC': (year, ...parts) => Date.UTC(Number(year), ...numbers(parts)),
  'Math.atan2': (y, x) => Math.atan2(Number(y), Number(x)),
  'Math.hypot': (...values) => Math.hypot(...values.map(Number)),
  'Math.imul': (left, right) => Math.imul(Number(left), Number(right)),
  'Math.max': (...values) => Math.max(...values.map(Number)),
  'Math.min': (...values) => Math.min(...values.map(Number)),
  'Math.pow': (base, exponent) => Number(base) ** Number(exponent),
  'Math.abs': (x) => Math.abs(Number(x)),
  'Math.acos': (x) => Math.acos(Number(x)),
  'Math.acosh': (x) => Math.acosh(Number(x)),
  'Math.asin': (x) => Math.asin(Number(x)),
  'Math.asinh': (x) => Math.asinh(Number(x)),
  'Math.atan': (x) => Math.atan(Number(x)),
  'Math.atanh': (x) => Math.atanh(Number(x)),
  'Math.cbrt': (x) => Math.cbrt(Number(x)),
  'Math.ceil': (x) => Math.ceil(Number(x)),
  'Math.clz32': (x) => Math.clz32(Number(x)),
  'Math.cos': (x) => Math.cos(Number(x)),
  'Math.cosh': (x) => Math.cosh(Number(x)),
  'Math.exp': (x) => Math.exp(Number(x)),
  'Math.expm1': (x) => Math.expm1(Number(x)),
  'Math.floor': (x) => Math.floor(Number(x)),
  'Math.fround': (x) => Math.fround(Number(x)),
  'Math.log': (x) => Math.log(Number(x)),
  'Math.log10': (x) => Math.log10(Number(x)),
  'Math.log1p': (x) => Math.log1p(Number(x)),
  'Math.log2': (x) => Math.log2(Number(x)),
  'Math.round': (x) => Math.round(Number(x)),
  'Math.sign': (x) => Math.sign(Number(x)),
  'Math.sin': (x) => Math.sin(Number(x)),
  'Math.sinh': (x) => Math.sinh(Number(x)),
  'Math.sqrt': (x) => Math.sqrt(Number(x)),
  'Math.tan': (x) => Math.tan(Number(x)),
  'Math.tanh': (x) => Math.tanh(Number(x)),
  'Math.trunc': (x) => Math.trunc(Number(x)),
  $if: (test, then, otherwise) => (test ? then : otherwise),
  $min: (...values) => Math.min(...values.map(Number)),
  $max: (...values) => Math.max(...values.map(Number)),
  $ifEmpty: (value, other) => (isEmpty(value) ? other : value),
}

function stringify(value: unknown, replacer: unknown, space: unknown): string | undefined {
  if (replacer !== null && replacer !== undefined)
    throw new TypeError(`The second argument of JSON.stringify must be null, not ${describeValue(replacer)}.`)
  const indent = typeof space === 'number' || typeof space === 'string' ? space : undefined
  const text = jsonText(value, indent)
  return text === undefined ? undefined : checkedLength(text)
}

function fromEntries(entries: unknown): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    itemsOf(entries).map((entry): [string, unknown] => {
      if (!Array.isArray(entry))
        throw new TypeError(`Object.fromEntries needs pairs [name, value], not ${describeValue(entry)}.`)
      return [entryKey(entry[0]), entry[1]]
    }),
  )
}

/** A value whose fields may be listed: a date's are luxon's own business. */
function fielded(value: unknown): object {
  if (isDateTime(value) || isDuration(value))
    throw new TypeError(`${describeValue(value)} has no fields to list; use toObject().`)
  if (value === null || value === undefined) throw new TypeError(`${describeValue(value)} has no fields to list.`)
  return Object(value)
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === '') return true
  if (Array.isArray(value)) return value.length === 0
  return typeof value === 'object' && !isDateTime(value) && !(value instanceof Date) && Object.keys(value).length === 0
}

function numbers(values: readonly unknown[]): [number, ...number[]] {
  const [month, ...others] = values.map(Number)
  return [month ?? 0, ...others]
}

function longText(value: unknown): string {
  return checkedLength(String(value))
}

function checkedLength(text: string): string {
  return text.length > limits.receiverCharsMax ? tooLarge('The JSON text', limits.receiverCharsMax) : text
}
