import type { Expression, NodeContext } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'

/** What becomes of the values of a field within a period. */
export const summaries = ['first', 'last', 'min', 'max', 'sum', 'count', 'average'] as const
export type Summary = (typeof summaries)[number]

/** One field of the result: which summary of which values; without `of`, of the whole value. */
export interface FieldSummary {
  readonly as: Summary
  readonly of?: Expression<unknown> | undefined
}

/** The running values of one key in one period: two slots per field, whatever the number of messages. */
export interface Cell {
  readonly numbers: number[]
  /** What `first` and `last` keep; `undefined` where nothing has come. */
  readonly kept: unknown[]
}

/** An expression that one or several fields sum up, read once per message. */
interface Read {
  readonly of: (message: Message, scope: Scope) => unknown
  /** The field that needs a number of it, if any does. */
  readonly numeric: string | null
}

/** Reads the fields of messages and adds them to cells, without an allocation per message. */
export class RunningValues {
  readonly #names: readonly string[]
  readonly #kinds: readonly Summary[]
  readonly #reads: readonly Read[]
  /** By field: which of `#reads` it sums up. */
  readonly #readOf: readonly number[]
  /** What the message at hand gave: all is read before the first is added, so a message counts whole or not at all. */
  readonly #values: unknown[]
  readonly #numbers: readonly number[]
  readonly #kept: readonly undefined[]

  constructor(fields: Readonly<Record<string, FieldSummary>>, context: NodeContext) {
    this.#names = Object.keys(fields)
    const all = Object.values(fields)
    this.#kinds = all.map((each) => each.as)
    const sources = all.map(({ of }) => (of === undefined ? 'the value' : (of.text ?? JSON.stringify(of.constant))))
    const distinct = [...new Set(sources)]
    this.#readOf = sources.map((source) => distinct.indexOf(source))
    this.#reads = distinct.map((source) => ({
      of: context.readerOrValue(all[sources.indexOf(source)]?.of),
      numeric: this.#names.find((_, at) => sources[at] === source && isNumeric(this.#kinds[at])) ?? null,
    }))
    this.#values = distinct.map(() => null)
    this.#kept = all.map(() => undefined)
    // Made with fractions first: V8 then keeps doubles in place in every copy, where whole numbers would change its form later.
    const numbers = [...all, ...all].map(() => 0.5)
    numbers.fill(0)
    all.forEach((each, at) => {
      if (each.as === 'min') numbers[at] = Number.POSITIVE_INFINITY
      if (each.as === 'max') numbers[at] = Number.NEGATIVE_INFINITY
    })
    this.#numbers = numbers
  }

  /** A cell that nothing has been added to. */
  open(): Cell {
    return { numbers: this.#numbers.slice(), kept: this.#kept.slice() }
  }

  /** Reads what `add` adds. Throws `summarize.not-a-number` where a field that counts with numbers has something else. */
  read(message: Message, scope: Scope): void {
    const reads = this.#reads
    for (let at = 0; at < reads.length; at++) {
      const read = reads[at]
      if (read === undefined) break
      const value = read.of(message, scope) ?? null
      if (read.numeric !== null && value !== null && !(typeof value === 'number' && Number.isFinite(value)))
        throw notANumber(read.numeric, value)
      this.#values[at] = value
    }
  }

  /** Adds what was read; a value that is null or missing takes no part. */
  add({ numbers, kept }: Cell): void {
    const kinds = this.#kinds
    for (let at = 0; at < kinds.length; at++) {
      const value = this.#values[this.#readOf[at] ?? 0]
      if (value === null) continue
      switch (kinds[at]) {
        case 'first':
          if (kept[at] === undefined) kept[at] = value
          break
        case 'last':
          kept[at] = value
          break
        case 'count':
          numbers[at] = (numbers[at] ?? 0) + 1
          break
        default:
          if (typeof value === 'number') this.#calculate(numbers, at, value)
      }
    }
  }

  /** What a cell has come to, into the fields of `into`: null where nothing took part, 0 for sums and counts. */
  write({ numbers, kept }: Cell, into: Record<string, unknown>): void {
    this.#names.forEach((name, at) => {
      into[name] = this.#result(this.#kinds[at], numbers[at] ?? 0, numbers[at + this.#names.length] ?? 0, kept[at])
    })
  }

  #calculate(numbers: number[], at: number, value: number): void {
    const before = numbers[at] ?? 0
    switch (this.#kinds[at]) {
      case 'min':
        if (value < before) numbers[at] = value
        break
      case 'max':
        if (value > before) numbers[at] = value
        break
      case 'sum':
        numbers[at] = before + value
        break
      default: {
        numbers[at] = before + value
        const count = at + this.#kinds.length
        numbers[count] = (numbers[count] ?? 0) + 1
      }
    }
  }

  #result(kind: Summary | undefined, number: number, count: number, kept: unknown): unknown {
    switch (kind) {
      case 'sum':
      case 'count':
        return number
      case 'min':
      case 'max':
        return Number.isFinite(number) ? number : null
      case 'average':
        return count === 0 ? null : number / count
      default:
        return kept ?? null
    }
  }
}

function isNumeric(kind: Summary | undefined): boolean {
  return kind === 'min' || kind === 'max' || kind === 'sum' || kind === 'average'
}

function notANumber(name: string, value: unknown): NodeError {
  const shown = typeof value === 'number' ? String(value) : (JSON.stringify(value)?.slice(0, 80) ?? typeof value)
  return new NodeError('summarize.not-a-number', `${name} sums up numbers, and this value is ${shown}`)
}
