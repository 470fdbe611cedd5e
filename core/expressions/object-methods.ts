import { isRecord } from '../protocol/frame.ts'
import { describeValue, entryKey, isLeaf, keyOf } from './runtime.ts'
import { toJsonString } from './text-codes.ts'

type ObjectMethod = (object: object, ...args: readonly unknown[]) => unknown

/** The methods of objects, by name. None changes its object. */
export const objectMethods: Readonly<Record<string, ObjectMethod>> = {
  isEmpty: (object) => Object.keys(object).length === 0,
  isNotEmpty: (object) => Object.keys(object).length > 0,
  hasOwnProperty: (object: object, name: unknown) => Object.hasOwn(object, keyOf(name)),
  hasField: (object, name) => Object.hasOwn(object, keyOf(name)),
  keys: (object) => Object.keys(object),
  values: (object) => Object.values(object),
  compact: (object) => withFields(object, (value) => value !== null && value !== undefined && value !== ''),
  removeField: (object, name) => {
    const removed = keyOf(name)
    return withFields(object, (_, field) => field !== removed)
  },
  removeFieldsContaining: (object, part) => {
    const text = partOf(part, 'removeFieldsContaining')
    return withFields(object, (value) => typeof value !== 'string' || !value.includes(text))
  },
  keepFieldsContaining: (object, part) => {
    const text = partOf(part, 'keepFieldsContaining')
    return withFields(object, (value) => typeof value === 'string' && value.includes(text))
  },
  urlEncode: (object) =>
    new URLSearchParams(Object.entries(object).map(([name, value]) => [name, String(value)])).toString(),
  toJsonString,
}

/** One object of the fields that the items of two lists of objects have; of the same name, the last one counts. */
export function mergeIntoObject(list: readonly unknown[], other: unknown): unknown {
  if (other !== undefined && !Array.isArray(other))
    throw new TypeError(`mergeIntoObject needs a list, not ${describeValue(other)}.`)
  return Object.fromEntries([...list, ...(other ?? [])].flatMap(fieldsIn))
}

/** An object that has, of each object of a list, the value of one field under the value of another as its name. */
export function smartJoin(list: readonly unknown[], nameField: unknown, valueField: unknown): unknown {
  const [name, value] = [keyOf(nameField), keyOf(valueField)]
  return Object.fromEntries(
    list.flatMap((item): [string, unknown][] => {
      const fields = new Map(fieldsIn(item))
      return fields.has(name) ? [[entryKey(fields.get(name)), fields.get(value)]] : []
    }),
  )
}

/** The list with fields of its objects renamed, pair by pair: `renameKeys(from, to, from, to)`. */
export function renameKeys(list: readonly unknown[], ...pairs: readonly unknown[]): readonly unknown[] {
  if (pairs.length % 2 === 1) throw new TypeError('renameKeys needs pairs of names, from and to.')
  const names = new Map<string, string>()
  for (let i = 0; i < pairs.length; i += 2) names.set(keyOf(pairs[i]), entryKey(pairs[i + 1]))
  return list.map((item) => {
    const fields = fieldsIn(item)
    return fields.some(([name]) => names.has(name))
      ? Object.fromEntries(fields.map(([name, value]) => [names.get(name) ?? name, value]))
      : item
  })
}

/** The fields of a plain object; none of anything else. */
function fieldsIn(value: unknown): [string, unknown][] {
  return isRecord(value) && !isLeaf(value) && !ArrayBuffer.isView(value) ? Object.entries(value) : []
}

function withFields(object: object, keep: (value: unknown, name: string) => boolean): unknown {
  return Object.fromEntries(Object.entries(object).filter(([name, value]) => keep(value, name)))
}

function partOf(value: unknown, method: string): string {
  if (typeof value === 'string' && value !== '') return value
  throw new TypeError(`${method} needs a text with at least one character.`)
}
