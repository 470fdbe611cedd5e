import { NodeError } from '../flow/failure.ts'
import { jsonText } from '../json/json-text.ts'
import { isDateTime, isDuration } from './dates.ts'
import { charge, tooLarge } from './fuel.ts'
import { limits } from './limits.ts'
import { forbiddenNames } from './names.ts'

/*
 * What the operators of the language do that JavaScript's own do not: read fields without reaching a prototype, join
 * text, and keep to a budget. Generated code and the interpreter call the same functions.
 */

/** Any value seen as something with fields. The one place where a value of unknown type is read by name; null throws. */
export function fieldsOf(value: unknown): Readonly<Record<PropertyKey, unknown>> {
  return value as Readonly<Record<PropertyKey, unknown>>
}

/** Filters what a read by a guarded name found: a function is a built-in method, never data. */
export function data(found: unknown): unknown {
  return typeof found === 'function' ? undefined : found
}

/** `object[key]` with a key known only now. Throws a TypeError for null and undefined, as JavaScript does. */
export function at(object: unknown, key: unknown): unknown {
  if (typeof key === 'number') return data(fieldsOf(object)[key])
  if (object === null || object === undefined) return fieldsOf(object)[typeof key === 'string' ? key : typeof key]
  return data(fieldsOf(object)[keyOf(key)])
}

/** A computed key as text, once and for all. Throws `expression.forbidden-name` for names that lead to a prototype. */
export function keyOf(key: unknown): string {
  const name = typeof key === 'string' ? key : String(key)
  if (forbiddenNames.has(name)) throw forbiddenName(name)
  return name
}

/** A computed key of an object literal: everything but the name that would set a prototype. */
export function entryKey(key: unknown): string {
  const name = typeof key === 'string' ? key : String(key)
  if (name === '__proto__') throw forbiddenName(name)
  return name
}

function forbiddenName(name: string): NodeError {
  return new NodeError(
    'expression.forbidden-name',
    `The name ${name} cannot be used; rename the field where it is made.`,
  )
}

/** `key in object`, for own fields only. Throws a TypeError when `object` is none. */
export function has(key: unknown, object: unknown): boolean {
  if (typeof object !== 'object' || object === null)
    throw new TypeError(`The right side of "in" must be an object or a list, not ${describeValue(object)}.`)
  return Object.hasOwn(object, keyOf(key))
}

/** What `...value` opens in a list or in arguments: a list or a text, nothing else. */
export function itemsOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  if (typeof value === 'string') return [...checkedReceiver(value)]
  throw new TypeError(`Only a list or a text can be opened with "...", not ${describeValue(value)}.`)
}

/** The same for arguments, whose number is limited. */
export function argumentsOf(value: unknown): readonly unknown[] {
  const items = itemsOf(value)
  if (items.length > limits.argumentsMax) tooLarge('The list of arguments', limits.argumentsMax)
  return items
}

const decoder = new TextDecoder()

/** A value inside mixed text: null and undefined are nothing, dates ISO text, bytes UTF-8, other objects JSON, with bytes in them as base64. */
export function toText(value: unknown): string {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return ''
  if (typeof value !== 'object') return typeof value === 'function' || typeof value === 'symbol' ? '' : String(value)
  if (isDateTime(value) || isDuration(value)) return value.toISO() ?? ''
  if (value instanceof Date) return value.toJSON() ?? ''
  if (value instanceof Uint8Array) return decoder.decode(value)
  return jsonText(value) ?? ''
}

/** `left + right` of a budgeted evaluation: the result is limited. */
export function add(left: unknown, right: unknown): unknown {
  // Numbers first: the sum of two has type feedback of its own then, and needs no check.
  if (typeof left === 'number' && typeof right === 'number') return left + right
  const sum = plus(left, right)
  if (typeof sum === 'string' && sum.length > limits.producedCharsMax) tooLarge('The text', limits.producedCharsMax)
  return sum
}

/** Joined text of a budgeted evaluation: the result is limited. */
export function limitedText(text: string): string {
  if (text.length > limits.producedCharsMax) tooLarge('The text', limits.producedCharsMax)
  return text
}

/** JavaScript's own `+` on values of any type. */
export function plus(left: unknown, right: unknown): unknown {
  return (left as string) + (right as string)
}

/** Pays for what an operator may do with an operand: compare or flatten a text, turn an object into text. */
export function operand(value: unknown): unknown {
  if (typeof value === 'string') {
    if (value.length > 1_024) charge(value.length >> 3)
  } else if (typeof value === 'object' && value !== null) measure(value, 0)
  return value
}

/** Pays for opening a value with `...` in a budgeted evaluation. */
export function opened(value: unknown): unknown {
  if (typeof value === 'string' || Array.isArray(value)) charge(8 + 4 * value.length)
  else if (typeof value === 'object' && value !== null) charge(8 + 4 * Object.keys(value).length)
  return value
}

/**
 * Pays for all that a value holds, each part as often as it appears: what writing it out would cost.
 * Throws `expression.out-of-fuel` for a small value that stands for a huge one, such as lists that hold one list twice.
 */
export function measure(value: unknown, depth: number): void {
  charge(typeof value === 'string' ? 4 + (value.length >> 2) : 4)
  if (typeof value !== 'object' || value === null) return
  if (depth > limits.valueDepthMax)
    throw new NodeError('expression.too-deep', `A value is nested deeper than ${limits.valueDepthMax} levels.`)
  if (Array.isArray(value)) for (const item of value) measure(item, depth + 1)
  else if (ArrayBuffer.isView(value)) charge(value.byteLength >> 2)
  else if (!isLeaf(value)) for (const field of Object.values(value)) measure(field, depth + 1)
}

/** The value, once it is clear that writing it out ends in bounded time. */
export function bounded(value: unknown): unknown {
  measure(value, 0)
  return value
}

/** An object that is one value: its fields are its own business. */
export function isLeaf(value: object): boolean {
  return value instanceof Date || value instanceof RegExp || isDateTime(value) || isDuration(value)
}

/** A text that a method is called on, within the limit. */
export function checkedReceiver(text: string): string {
  if (text.length > limits.receiverCharsMax) tooLarge('The text that a method is called on', limits.receiverCharsMax)
  return text
}

/** A word for a value in error messages; never its content, which may be secret. */
export function describeValue(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (isDateTime(value) || value instanceof Date) return 'a date'
  if (isDuration(value)) return 'a duration'
  const words: Readonly<Record<string, string>> = { string: 'a text', object: 'an object', undefined: 'undefined' }
  return words[typeof value] ?? `a ${typeof value}`
}

/** What a method was told, in error messages: a size, a unit, a language. Unlike data it may be shown. */
export function shownArgument(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : describeValue(value)
}

/** `$request`: the HTTP request that the message came with, or undefined. */
export function requestOf(meta: Readonly<Record<string, unknown>> | null): unknown {
  return meta === null ? undefined : meta.request
}
