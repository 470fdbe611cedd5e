import { charge, tooLarge } from './fuel.ts'
import { limits } from './limits.ts'
import { difference, intersection, union, unique } from './list-sets.ts'
import { mergeIntoObject, renameKeys, smartJoin } from './object-methods.ts'
import { at, describeValue, fieldsOf, keyOf, shownArgument } from './runtime.ts'
import { toJsonString } from './text-codes.ts'
import { isNumeric } from './text-contents.ts'

type List = readonly unknown[]
type ListMethod = (list: List, ...args: readonly unknown[]) => unknown
type Callback = (...args: readonly unknown[]) => unknown

/** The methods of lists, by name. None changes its list: `sort`, `reverse` and `fill` answer a copy. */
export const listMethods: Readonly<Record<string, ListMethod>> = {
  map: (list, each) => list.map(callbackOf(each)),
  filter: (list, test) => list.filter(callbackOf(test)),
  find: (list, test) => list.find(callbackOf(test)),
  findIndex: (list, test) => list.findIndex(callbackOf(test)),
  findLast: (list, test) => list.findLast(callbackOf(test)),
  findLastIndex: (list, test) => list.findLastIndex(callbackOf(test)),
  some: (list, test) => list.some(callbackOf(test)),
  every: (list, test) => list.every(callbackOf(test)),
  flatMap: (list, each) => opened(list.map(callbackOf(each)), 1),
  reduce,
  reduceRight: (list, fold, ...initial) => reduce(list.toReversed(), turnedIndex(callbackOf(fold), list), ...initial),
  sort,
  toSorted: sort,
  reverse: (list) => list.toReversed(),
  toReversed: (list) => list.toReversed(),
  toSpliced,
  with: (list, position, item) => list.with(Number(position), item),
  flat: (list, depth) => opened(list, depth === undefined ? 1 : Math.min(Number(depth), limits.valueDepthMax)),
  fill: (list, item, start, end) =>
    list.slice().fill(item, start === undefined ? 0 : Number(start), end === undefined ? undefined : Number(end)),
  join: (list, separator) => join(list, separator === undefined ? ',' : String(separator), 0),
  first: (list) => list[0],
  last: (list) => list[list.length - 1],
  sum: (list) => total(list, 'sum'),
  average: (list) => total(list, 'average') / list.length,
  min: (list) => list.reduce<number>((least, item) => Math.min(least, numberIn(item, 'min')), Number.POSITIVE_INFINITY),
  max: (list) => list.reduce<number>((most, item) => Math.max(most, numberIn(item, 'max')), Number.NEGATIVE_INFINITY),
  unique,
  union,
  difference,
  intersection,
  append: (list, ...items) => [...list, ...items],
  smartJoin,
  mergeIntoObject,
  renameKeys,
  toJsonString,
  compact: (list) => list.filter((item) => item !== null && item !== undefined && item !== ''),
  chunk,
  pluck: (list, name) =>
    list.flatMap((item) => {
      const value = item === null || item === undefined ? undefined : at(item, name)
      return value === undefined ? [] : [value]
    }),
  at: (list, position) => list.at(Number(position)),
  concat,
  includes: (list, item, position) => list.includes(item, Number(position ?? 0)),
  indexOf: (list, item, position) => list.indexOf(item, Number(position ?? 0)),
  lastIndexOf: (list, item, ...position) =>
    position.length === 0 ? list.lastIndexOf(item) : list.lastIndexOf(item, Number(position[0])),
  slice: (list, start, end) => list.slice(Number(start ?? 0), end === undefined ? undefined : Number(end)),
  isEmpty: (list) => list.length === 0,
  isNotEmpty: (list) => list.length > 0,
  toString: (list: List) => join(list, ',', 0),
}

/** A list of a list, a text, or whatever has a length, perhaps through a callback. */
export function listFrom(source: unknown, each: unknown): List {
  if (source === null || source === undefined)
    throw new TypeError(`Array.from needs a list, a text or { length: 3 }, not ${describeValue(source)}.`)
  const items = typeof source === 'string' || Array.isArray(source) ? [...source] : listOfLength(source)
  return each === undefined ? items : items.map((item, index) => callbackOf(each)(item, index))
}

/** The items by the group that the callback names. */
export function groupBy(list: unknown, group: unknown): Readonly<Record<string, List>> {
  if (!Array.isArray(list)) throw new TypeError(`Object.groupBy needs a list, not ${describeValue(list)}.`)
  const name = callbackOf(group)
  const groups = new Map<string, unknown[]>()
  for (const [index, item] of list.entries()) {
    const key = keyOf(name(item, index))
    const found = groups.get(key)
    if (found === undefined) groups.set(key, [item])
    else found.push(item)
  }
  return Object.fromEntries(groups)
}

function listOfLength(source: unknown): unknown[] {
  const length = Math.max(0, Math.trunc(Number(fieldsOf(source).length)) || 0)
  if (length > limits.producedItemsMax) tooLarge('The list', limits.producedItemsMax)
  charge(length)
  return Array.from({ length }, (_, index) => at(source, index))
}

function callbackOf(value: unknown): Callback {
  if (isFunction(value)) return value
  throw new TypeError(`A callback such as (item) => item.name is needed, not ${describeValue(value)}.`)
}

function isFunction(value: unknown): value is Callback {
  return typeof value === 'function'
}

function reduce(list: List, fold: unknown, ...initial: readonly unknown[]): unknown {
  const step = callbackOf(fold)
  if (initial.length === 0 && list.length === 0) throw new TypeError('Reduce of empty array with no initial value')
  let value = initial.length === 0 ? list[0] : initial[0]
  for (let i = initial.length === 0 ? 1 : 0; i < list.length; i++) value = step(value, list[i], i, list)
  return value
}

/** Gives the callback of a fold from the right the positions of the list as it was. */
function turnedIndex(step: Callback, list: List): Callback {
  return (value, item, index) => step(value, item, list.length - 1 - Number(index), list)
}

function sort(list: List, order: unknown): List {
  charge(list.length * 8)
  if (order === undefined) return list.toSorted()
  const compare = callbackOf(order)
  return list.toSorted((left, right) => Number(compare(left, right)))
}

function toSpliced(list: List, ...args: readonly unknown[]): List {
  if (args.length === 1) return list.slice(0, indexFrom(Number(args[0]), list.length))
  return list.toSpliced(Number(args[0]), Number(args[1]), ...args.slice(2))
}

function indexFrom(position: number, length: number): number {
  const whole = Math.trunc(position) || 0
  return whole < 0 ? Math.max(0, length + whole) : Math.min(whole, length)
}

function opened(list: List, depth: number): List {
  const result: unknown[] = []
  const open = (items: List, levels: number): void => {
    charge(items.length)
    for (const item of items) {
      if (levels >= 1 && Array.isArray(item)) open(item, levels - 1)
      else if (result.push(item) > limits.producedItemsMax) tooLarge('The list', limits.producedItemsMax)
    }
  }
  open(list, depth)
  return result
}

function concat(list: List, ...more: readonly unknown[]): List {
  const length = more.reduce<number>((sum, item) => sum + (Array.isArray(item) ? item.length : 1), list.length)
  if (length > limits.producedItemsMax) tooLarge('The list', limits.producedItemsMax)
  return list.concat(...more)
}

function join(list: List, separator: string, depth: number): string {
  if (depth > limits.valueDepthMax) tooLarge('The depth of the list', limits.valueDepthMax)
  let charsLeft = limits.producedCharsMax - separator.length * Math.max(0, list.length - 1)
  const parts: string[] = []
  for (const item of list) {
    const part =
      item === null || item === undefined ? '' : Array.isArray(item) ? join(item, ',', depth + 1) : String(item)
    charsLeft -= part.length
    if (charsLeft < 0) tooLarge('The joined text', limits.producedCharsMax)
    parts.push(part)
  }
  return charsLeft < 0 ? tooLarge('The joined text', limits.producedCharsMax) : parts.join(separator)
}

function total(list: List, method: string): number {
  return list.reduce<number>((sum, item) => sum + numberIn(item, method), 0)
}

/** A number, or a text that is one. */
function numberIn(item: unknown, method: string): number {
  if (typeof item === 'number') return item
  if (typeof item === 'string' && isNumeric(item)) return Number(item)
  throw new TypeError(`${method} needs a list of numbers; it holds ${describeValue(item)}.`)
}

function chunk(list: List, size: unknown): List {
  const items = Math.trunc(Number(size))
  if (!(items >= 1)) throw new RangeError(`chunk needs a size of 1 or more, not ${shownArgument(size)}.`)
  return Array.from({ length: Math.ceil(list.length / items) }, (_, index) =>
    list.slice(index * items, (index + 1) * items),
  )
}
