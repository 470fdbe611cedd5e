import { dateFunctions, dateMethods, durationMethods, jsDateMethods } from './date-methods.ts'
import { isDateTime, isDuration, withoutDates } from './dates.ts'
import { charge } from './fuel.ts'
import type { Call } from './function-calls.ts'
import { functionCalls } from './function-calls.ts'
import { functionByName } from './functions.ts'
import { listMethods } from './list-methods.ts'
import type { Kind } from './methods.ts'
import { methodByName } from './methods.ts'
import { numberMethods } from './number-methods.ts'
import { objectMethods } from './object-methods.ts'
import { isRegex } from './regex.ts'
import { bounded, checkedReceiver, describeValue, measure, operand } from './runtime.ts'
import { toJsonString } from './text-codes.ts'
import { regexMethods, textMethods } from './text-methods.ts'

type Method = (receiver: unknown, ...args: readonly unknown[]) => unknown
/** The receiver's kind is known when a method of a table is called, which the type cannot say. */
type AnyMethod = (receiver: never, ...args: readonly unknown[]) => unknown

/**
 * The method of that name, as a function of its receiver. It looks at what the receiver is, never at what fields it has:
 * a value's own `map` is data. Throws a TypeError for a receiver that does not have it.
 */
export function methodOf(name: string): Method {
  return cached(plainMethods, name, makeMethod)
}

/** The same in a budgeted evaluation: it pays for its receiver and arguments. */
export function budgetedMethodOf(name: string): Method {
  return cached(budgetedMethods, name, makeBudgetedMethod)
}

/**
 * The list that a callback method is called on, paid for, so that generated code can call JavaScript's own method in place:
 * its type feedback then belongs to that one expression. Throws a TypeError for anything but a list.
 */
export function listReceiverOf(name: string): (receiver: unknown) => readonly unknown[] {
  return cached(listReceivers, name, (method) => (receiver) => {
    if (!Array.isArray(receiver)) return wrongReceiver(method, receiver)
    charge(16 + (receiver.length >> 1))
    return receiver
  })
}

/** The function of that full name. */
export function functionOf(name: string): Call {
  return cached(plainFunctions, name, makeFunction)
}

/** The same in a budgeted evaluation. */
export function budgetedFunctionOf(name: string): Call {
  return cached(budgetedFunctions, name, makeBudgetedFunction)
}

const plainMethods = new Map<string, Method>()
const budgetedMethods = new Map<string, Method>()
const listReceivers = new Map<string, (receiver: unknown) => readonly unknown[]>()
const plainFunctions = new Map<string, Call>()
const budgetedFunctions = new Map<string, Call>()

function cached<F>(made: Map<string, F>, name: string, make: (name: string) => F): F {
  const found = made.get(name)
  if (found !== undefined) return found
  const fresh = make(name)
  made.set(name, fresh)
  return fresh
}

const booleanMethods: Readonly<Record<string, (value: boolean) => unknown>> = {
  toString: (value: boolean) => String(value),
  valueOf: (value: boolean) => value,
  toNumber: Number,
  toBoolean: (value) => value,
  toJsonString,
}

/** What the tables hold, for the test that they and the list of methods are the same. */
export const methodTables: Readonly<Record<Kind, Readonly<Record<string, AnyMethod>>>> = {
  string: textMethods,
  regex: regexMethods,
  array: listMethods,
  number: numberMethods,
  boolean: booleanMethods,
  object: objectMethods,
  date: dateMethods,
  duration: durationMethods,
  jsdate: jsDateMethods,
}

function kindOf(value: unknown): Kind | null {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return typeof value === 'string' ? 'string' : typeof value === 'number' ? 'number' : 'boolean'
  if (typeof value !== 'object' || value === null) return null
  if (Array.isArray(value)) return 'array'
  if (isDateTime(value)) return 'date'
  if (isDuration(value)) return 'duration'
  if (value instanceof Date) return 'jsdate'
  if (isRegex(value)) return 'regex'
  return ArrayBuffer.isView(value) ? null : 'object'
}

/** Methods that tell an argument that is undefined from one that is missing. */
const countsArguments: ReadonlySet<string> = new Set([
  'reduce',
  'reduceRight',
  'lastIndexOf',
  'concat',
  'toSpliced',
  'shiftTo',
  'unique',
  'append',
  'renameKeys',
])

function makeMethod(name: string): Method {
  const spec = methodByName.get(name)
  if (spec === undefined) throw new Error(`the language has no method ${name}`)
  const byKind = new Map(spec.on.map((kind) => [kind, methodTables[kind][name] as Method]))
  const onText = byKind.get('string')
  const onList = byKind.get('array')
  const other = (receiver: unknown): Method => {
    const kind = kindOf(receiver)
    return (kind === null ? undefined : byKind.get(kind)) ?? wrongReceiver(name, receiver)
  }
  if (countsArguments.has(name)) return (receiver, ...args) => other(receiver)(receiver, ...args)
  if (onText !== undefined)
    return (receiver, a, b) =>
      typeof receiver === 'string' ? onText(checkedReceiver(receiver), a, b) : other(receiver)(receiver, a, b)
  if (onList !== undefined)
    return (receiver, a, b, c) =>
      Array.isArray(receiver) ? onList(receiver, a, b, c) : other(receiver)(receiver, a, b, c)
  return (receiver, a, b) => other(receiver)(receiver, a, b)
}

/** Methods that look into all that their receiver holds. */
const writesOut: ReadonlySet<string> = new Set([
  'join',
  'toString',
  'sort',
  'toSorted',
  'flat',
  'sum',
  'average',
  'min',
  'max',
  'unique',
  'union',
  'difference',
  'intersection',
  'toJsonString',
  'urlEncode',
  'smartJoin',
  'mergeIntoObject',
  'renameKeys',
  'compact',
  'keys',
  'values',
  'removeField',
  'removeFieldsContaining',
  'keepFieldsContaining',
])

function makeBudgetedMethod(name: string): Method {
  const method = methodOf(name)
  const whole = writesOut.has(name)
  // What a callback makes is paid for by its own steps.
  const callsBack = methodByName.get(name)?.cost === 'callback'
  const pay = (receiver: unknown): void => {
    if (typeof receiver === 'string') charge(8 + (receiver.length >> 2))
    else if (whole) measure(receiver, 0)
    else if (Array.isArray(receiver)) charge(16 + (receiver.length >> 1))
    else charge(isDateTime(receiver) || isDuration(receiver) ? 500 : 16)
  }
  if (countsArguments.has(name))
    return (receiver, ...args) => {
      pay(receiver)
      for (const arg of args) operand(arg)
      const result = method(receiver, ...args)
      return callsBack ? result : produced(result)
    }
  return (receiver, a, b, c) => {
    pay(receiver)
    operand(a)
    operand(b)
    operand(c)
    const result = method(receiver, a, b, c)
    return callsBack ? result : produced(result)
  }
}

/** Pays for the memory of what a call has made. */
function produced(value: unknown): unknown {
  if (typeof value === 'string') charge(value.length >> 3)
  else if (Array.isArray(value)) charge(4 * value.length)
  return value
}

function wrongReceiver(name: string, receiver: unknown): never {
  const kinds = methodByName.get(name)?.on ?? []
  throw new TypeError(
    `${describeValue(receiver)} has no method ${name}; it needs ${kinds.map((kind) => kindWords[kind]).join(' or ')}.`,
  )
}

const kindWords: Readonly<Record<Kind, string>> = {
  string: 'a text',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  date: 'a date',
  duration: 'a duration',
  jsdate: 'a Date',
  regex: 'a regular expression',
}

/** Steps that the planner's own functions stand for; a user cannot write them. */
const ownFunctions: Readonly<Record<string, Call>> = {
  $plain: (value) => withoutDates(value),
  $bounded: (value) => bounded(value),
}

function makeFunction(name: string): Call {
  const found = ownFunctions[name] ?? functionCalls[name] ?? dateFunctions[name]
  if (found === undefined) throw new Error(`the language has no function ${name}`)
  return found
}

function makeBudgetedFunction(name: string): Call {
  const call = functionOf(name)
  const steps =
    name.startsWith('Date') || name.startsWith('Duration') ? 500 : functionByName.get(name)?.cost === 'cheap' ? 4 : 16
  return (...args) => {
    const [first] = args
    charge(name === 'JSON.parse' && typeof first === 'string' ? steps + first.length : steps)
    for (const arg of args) operand(arg)
    return produced(call(...args))
  }
}
