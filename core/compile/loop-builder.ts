import type { Into } from '../document/document.ts'
import type { Expression } from '../expression-field.ts'
import type { Ir } from '../expressions/ir.ts'

/**
 * What an inline node does with one message, as data. The compiler turns it into text inside the stage's loop,
 * the interpreter walks it, and `explain` prints it: all three read the same statements.
 */
export type Statement =
  | { readonly do: 'let'; readonly name: string; readonly value: Ir }
  | {
      readonly do: 'if'
      readonly test: Ir
      readonly then: readonly Statement[]
      readonly otherwise: readonly Statement[]
    }
  /** The current value becomes another one; `fresh` when nobody else holds it. */
  | { readonly do: 'become'; readonly value: Ir; readonly fresh: boolean }
  /** Fields are computed first and assigned last, on the value itself where it is owned, else on a copy. */
  | { readonly do: 'assign'; readonly fields: readonly { readonly key: string; readonly value: Ir }[] }
  /** The value without these fields. */
  | { readonly do: 'omit'; readonly keys: readonly string[] }
  | { readonly do: 'emit'; readonly port: string }
  /** The message fails here on purpose. */
  | { readonly do: 'fail'; readonly code: string; readonly text: Ir }

/** Given to an inline node's `build`: every call adds a statement. What is not emitted is dropped. */
export interface LoopBuilder {
  /** The current value, `$json`. */
  readonly value: Ir
  /** What a config field holds: its constant, or its expression. */
  read(config: Expression<unknown>): Ir
  /** Keeps a value in a local. */
  let(value: Ir): Ir
  if(test: Ir, then: () => void, otherwise?: () => void): void
  /** The current value becomes `value`, as the node's `into` says. */
  become(value: Ir): void
  /** Sets fields on the current value, whatever `into` says. */
  assign(fields: Readonly<Record<string, Ir>>): void
  omit(keys: readonly string[]): void
  /** Passes the message on through a port. */
  emit(port?: string): void
  fail(code: string, text: Ir): void
}

/** Runs a node's `build` and answers its statements. `prefix` keeps the locals of one stage's nodes apart. */
export function recordStatements(prefix: string, into: Into, build: (loop: LoopBuilder) => void): readonly Statement[] {
  const builder = new Recorder(prefix, into)
  build(builder)
  return builder.statements
}

/** The most messages that one message can become on any path; above one, the node must end its stage. */
export function emitsMax(statements: readonly Statement[]): number {
  let count = 0
  for (const each of statements) {
    if (each.do === 'emit') count += 1
    else if (each.do === 'if') count += Math.max(emitsMax(each.then), emitsMax(each.otherwise))
  }
  return count
}

class Recorder implements LoopBuilder {
  readonly value: Ir = { op: 'root', name: 'json' }
  statements: Statement[] = []
  readonly #prefix: string
  readonly #into: Into
  #locals = 0

  constructor(prefix: string, into: Into) {
    this.#prefix = prefix
    this.#into = into
  }

  read(config: Expression<unknown>): Ir {
    if (config.ir !== null) return config.ir.ir
    return literal(config.constant)
  }

  let(value: Ir): Ir {
    const name = `${this.#prefix}_${this.#locals++}`
    this.statements.push({ do: 'let', name, value })
    return { op: 'local', name }
  }

  if(test: Ir, then: () => void, otherwise?: () => void): void {
    const outer = this.statements
    const thenStatements: Statement[] = []
    this.statements = thenStatements
    then()
    const otherwiseStatements: Statement[] = []
    this.statements = otherwiseStatements
    otherwise?.()
    this.statements = outer
    outer.push({ do: 'if', test, then: thenStatements, otherwise: otherwiseStatements })
  }

  become(value: Ir): void {
    if (this.#into === 'replace') this.statements.push({ do: 'become', value, fresh: value.op === 'object' })
    else if (this.#into === 'merge') this.#merge(value)
    else this.statements.push({ do: 'assign', fields: [{ key: this.#into.field, value }] })
  }

  assign(fields: Readonly<Record<string, Ir>>): void {
    this.statements.push({ do: 'assign', fields: Object.entries(fields).map(([key, value]) => ({ key, value })) })
  }

  omit(keys: readonly string[]): void {
    this.statements.push({ do: 'omit', keys })
  }

  emit(port = 'out'): void {
    this.statements.push({ do: 'emit', port })
  }

  fail(code: string, text: Ir): void {
    this.statements.push({ do: 'fail', code, text })
  }

  /** An object literal's fields are known and are assigned one by one; anything else is spread over the value. */
  #merge(value: Ir): void {
    if (value.op !== 'object') {
      this.statements.push({
        do: 'become',
        fresh: true,
        value: {
          op: 'object',
          entries: [
            { op: 'spread', value: this.value },
            { op: 'spread', value },
          ],
        },
      })
      return
    }
    const fields: { key: string; value: Ir }[] = []
    for (const entry of value.entries) {
      if ('op' in entry || typeof entry.key !== 'string')
        throw new Error('an inline node merges plain named fields only')
      fields.push({ key: entry.key, value: entry.value })
    }
    this.statements.push({ do: 'assign', fields })
  }
}

/** A constant as IR: primitives as literals, the rest as a constant that enters a stage through its env. */
export function literal(value: unknown): Ir {
  if (value === undefined) return { op: 'undefined' }
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return { op: 'literal', value }
  return { op: 'constant', value }
}
