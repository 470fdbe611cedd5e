/**
 * The expression language as data. IR is JSON: stored with a workflow's version, sent to workers, printed by `explain`.
 * It is checked before it exists, so every reader may trust it: only allowed methods, no way to a prototype.
 */
export const irVersion = 1

/** Where an expression's values come from. `json` is the current value; the rest is bound per batch, start or message. */
export type Root = 'json' | 'now' | 'today' | 'vars' | 'env' | 'request' | 'execution' | 'workflow' | 'key' | 'meta'

export type Ir =
  | { readonly op: 'literal'; readonly value: string | number | boolean | null }
  | { readonly op: 'undefined' }
  | { readonly op: 'root'; readonly name: Root }
  /** An arrow function's parameter (its name ends with `#` and a number, and is unique), or a local that a loop declared. */
  | { readonly op: 'local'; readonly name: string }
  /** `env[index]` of the stage: constants that do not belong into text. Only made by the planner. */
  | { readonly op: 'constant'; readonly value: unknown }
  | { readonly op: 'get'; readonly object: Ir; readonly key: string; readonly optional: boolean }
  | { readonly op: 'at'; readonly object: Ir; readonly key: Ir; readonly optional: boolean }
  | {
      readonly op: 'method'
      readonly object: Ir
      readonly name: string
      readonly args: readonly IrItem[]
      readonly optional: boolean
    }
  /** A function of the language by its full name, e.g. `Math.max`, `Number`, `JSON.stringify`. */
  | { readonly op: 'call'; readonly name: string; readonly args: readonly IrItem[] }
  | { readonly op: 'unary'; readonly operator: UnaryOperator; readonly value: Ir }
  | { readonly op: 'binary'; readonly operator: BinaryOperator; readonly left: Ir; readonly right: Ir }
  | { readonly op: 'logical'; readonly operator: '&&' | '||' | '??'; readonly left: Ir; readonly right: Ir }
  | { readonly op: 'condition'; readonly test: Ir; readonly then: Ir; readonly otherwise: Ir }
  | { readonly op: 'array'; readonly items: readonly IrItem[] }
  | { readonly op: 'object'; readonly entries: readonly IrEntry[] }
  /** Text with values in it. Null and undefined become nothing, objects become JSON. */
  | { readonly op: 'text'; readonly parts: readonly Ir[] }
  /** A JavaScript template literal: parts are joined by the language's own String(). */
  | { readonly op: 'template'; readonly parts: readonly Ir[] }
  | { readonly op: 'arrow'; readonly params: readonly string[]; readonly body: Ir }
  | { readonly op: 'regex'; readonly source: string; readonly flags: string }
  /** An optional chain: an `optional` link inside that meets null or undefined makes the whole chain undefined. */
  | { readonly op: 'chain'; readonly value: Ir }

export type IrItem = Ir | { readonly op: 'spread'; readonly value: Ir }
export type IrEntry = { readonly key: string | Ir; readonly value: Ir } | { readonly op: 'spread'; readonly value: Ir }
export const unaryOperators = ['!', '-', '+', '~', 'typeof'] as const
export const binaryOperators = [
  ...(['==', '!=', '===', '!==', '<', '<=', '>', '>=', 'in'] as const),
  ...(['+', '-', '*', '/', '%', '**', '&', '|', '^', '<<', '>>', '>>>'] as const),
] as const
export type UnaryOperator = (typeof unaryOperators)[number]
export type BinaryOperator = (typeof binaryOperators)[number]

export function isUnaryOperator(text: string): text is UnaryOperator {
  return unaryOperators.some((operator) => operator === text)
}

export function isBinaryOperator(text: string): text is BinaryOperator {
  return binaryOperators.some((operator) => operator === text)
}

/** A checked expression with what is known about it. */
export interface ExpressionIr {
  readonly version: typeof irVersion
  readonly ir: Ir
  /** The text as written, for `explain` and error messages. */
  readonly source: string
  /** Roots that it reads, sorted. Tell when it can be evaluated: env and workflow at start, vars and now per batch, else per message. */
  readonly roots: readonly Root[]
  /** Names under `$env` and `$vars` that it reads, sorted. `*` among `varNames`: names that are known only when it runs. */
  readonly envNames: readonly string[]
  readonly varNames: readonly string[]
  /** True for a plain path such as `$json.a.b[0]`: a route, no call, cannot loop. */
  readonly pure: boolean
}

/** What an expression may refer to: filled by the planner for each node. */
export interface ExpressionScope {
  /** The direct upstream nodes, by id and label; `$('…')` takes either. */
  readonly upstream: readonly { readonly id: string; readonly label: string }[]
  /** All nodes, so that a reference to one that is not upstream is told apart from one that does not exist. */
  readonly nodes: readonly { readonly id: string; readonly label: string }[]
}

/** The values behind the roots when an expression is evaluated. */
export interface ExpressionInput {
  readonly json: unknown
  readonly key: unknown
  readonly meta: Readonly<Record<string, unknown>> | null
  /** Where the message stands in what `meta` is of; see Message. */
  readonly at?: number
  readonly batch: BatchInput
}

/** What is read once per batch (or once at start), shared by all its messages. */
export interface BatchInput {
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly vars: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string>>
  readonly execution: { readonly id: string; readonly mode: string }
  readonly workflow: { readonly id: string; readonly name: string; readonly version: string }
}
