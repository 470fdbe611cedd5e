import { z } from 'zod'
import type { ExpressionIr } from './expressions/ir.ts'

/** A config field that may be text with `{{ … }}`: a constant of the inner type, or an expression that the planner parses. */
export interface Expression<T> {
  readonly $expression: 1
  /** The text that holds `{{ … }}`, or null for a constant. */
  readonly text: string | null
  readonly constant: T | null
  /** Filled in by the planner for `text`. */
  readonly ir: ExpressionIr | null
  /** `start`: may read only what is known when the pipeline starts. */
  readonly bound: 'message' | 'start'
}

/** Schema of a field that takes a value of `inner` or an expression read for each message. */
export function expression<T>(inner: z.ZodType<T>): z.ZodType<Expression<T>> {
  return expressionSchema(inner, 'message')
}

/** Schema of a field that takes a value of `inner` or an expression over `$env`, `$vars` and `$workflow`, read once at start. */
export function startExpression<T>(inner: z.ZodType<T>): z.ZodType<Expression<T>> {
  return expressionSchema(inner, 'start')
}

/** The field's content where it is a plain value: what a schema gives as its default. */
export function constant<T>(value: T): Expression<T> {
  return { $expression: 1, text: null, constant: value, ir: null, bound: 'message' }
}

/** Whether it reads more than the message: what is the batch's or the execution's. */
export function readsBatch(expression: Expression<unknown>): boolean {
  return expression.ir?.roots.some((root) => !messageRoots.has(root)) === true
}

const messageRoots: ReadonlySet<string> = new Set(['json', 'key', 'meta', 'request'])

function expressionSchema<T>(inner: z.ZodType<T>, bound: 'message' | 'start'): z.ZodType<Expression<T>> {
  return z
    .unknown()
    .transform((raw, context): Expression<T> => {
      if (typeof raw === 'string' && raw.includes('{{'))
        return { $expression: 1, text: raw, constant: null, ir: null, bound }
      const parsed = inner.safeParse(raw)
      if (parsed.success) return { $expression: 1, text: null, constant: parsed.data, ir: null, bound }
      for (const issue of parsed.error.issues)
        context.addIssue({ code: 'custom', message: issue.message, path: [...issue.path] })
      return z.NEVER
    })
    .meta({ expression: bound, inner: z.toJSONSchema(inner, { io: 'input', unrepresentable: 'any' }) })
}
