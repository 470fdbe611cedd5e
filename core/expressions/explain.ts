import { describeIr } from './describe.ts'
import { Walk } from './evaluate.ts'
import { needsFuel } from './facts.ts'
import { refuel } from './fuel.ts'
import type { ExpressionInput, Ir } from './ir.ts'
import { describeValue } from './runtime.ts'

/**
 * Says which part of an expression a TypeError came from: evaluates again, step by step, so that the fast path needs to
 * remember nothing. Null when it does not fail again, or for another reason than a missing or unsuitable value.
 */
export function explainFailure(
  ir: Ir,
  input: ExpressionInput,
  locals: ReadonlyMap<string, unknown> = new Map(),
): string | null {
  let last: { readonly ir: Ir; readonly object: unknown } | null = null
  const budgeted = needsFuel(ir)
  if (budgeted) refuel()
  try {
    new Walk(input, budgeted, (at, object) => {
      last = { ir: at, object }
    }).value(ir, locals)
    return null
  } catch (error) {
    if (
      !(error instanceof TypeError) ||
      !/^Cannot read properties| has no method |^toNumber found /.test(error.message)
    )
      return null
    return last === null ? null : sentence(last)
  }
}

function sentence(failed: { readonly ir: Ir; readonly object: unknown }): string | null {
  const { ir, object } = failed
  if (ir.op !== 'get' && ir.op !== 'at' && ir.op !== 'method') return null
  const path = describeIr(ir.object)
  if (ir.op === 'method' && ir.name === 'toNumber' && typeof object === 'string')
    return `${path} is a text that is not a number.`
  const missing = object === null || object === undefined
  const kind = describeValue(object)
  // What is written down needs no word on what it is.
  if (path === kind) return ir.op === 'method' ? `${path} has no method ${ir.name}.` : `${path} has no fields.`
  const what = `${path} is ${kind}`
  const hint = missing ? ` Write ${describeIr({ ...ir, optional: true })} if it may be missing.` : ''
  if (ir.op === 'method') return `${what}, which has no method ${ir.name}.${hint}`
  return missing ? `${what}, so ${describeIr(ir)} cannot be read.${hint}` : null
}
