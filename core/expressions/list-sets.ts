import { isRecord } from '../protocol/frame.ts'
import { at, describeValue } from './runtime.ts'

type List = readonly unknown[]

/*
 * Lists as sets. Items are the same when they hold the same: objects are compared field by field, in any order.
 */

/** The items without repetitions; with names, the first of those that have the same values in these fields. */
export function unique(list: List, ...names: readonly unknown[]): List {
  const seen = new ItemSet()
  if (names.length === 0) return list.filter((item) => seen.add(item))
  return list.filter((item) => !isObject(item) || seen.add(names.map((name) => at(item, name))))
}

export function union(list: List, other: unknown): List {
  return unique([...list, ...listOf(other, 'union')])
}

export function difference(list: List, other: unknown): List {
  const left = new ItemSet(listOf(other, 'difference'))
  return unique(list.filter((item) => !left.has(item)))
}

export function intersection(list: List, other: unknown): List {
  const both = new ItemSet(listOf(other, 'intersection'))
  return unique(list.filter((item) => both.has(item)))
}

function listOf(value: unknown, method: string): List {
  if (Array.isArray(value)) return value
  throw new TypeError(`${method} needs a list, not ${describeValue(value)}.`)
}

class ItemSet {
  readonly #plain = new Set<unknown>()
  /** Objects by their JSON text with sorted fields. */
  readonly #objects = new Set<string>()

  constructor(items: List = []) {
    for (const item of items) this.add(item)
  }

  has(item: unknown): boolean {
    return isObject(item) ? this.#objects.has(sortedJson(item)) : this.#plain.has(item)
  }

  /** True when it was not there. */
  add(item: unknown): boolean {
    const before = this.#objects.size + this.#plain.size
    if (isObject(item)) this.#objects.add(sortedJson(item))
    else this.#plain.add(item)
    return this.#objects.size + this.#plain.size > before
  }
}

function sortedJson(value: object): string {
  return JSON.stringify(value, (_, field: unknown) =>
    isRecord(field) ? Object.fromEntries(Object.entries(field).sort(byName)) : field,
  )
}

function byName([left]: readonly [string, unknown], [right]: readonly [string, unknown]): number {
  return left < right ? -1 : 1
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
