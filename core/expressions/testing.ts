import type { Problem } from '../problem.ts'
import { compileExpression, evaluate } from './evaluate.ts'
import type { ExpressionInput, ExpressionIr, ExpressionScope } from './ir.ts'
import { parseExpression } from './parse.ts'

/** A node `a` directly before, and a node `far` somewhere else. */
export const testScope: ExpressionScope = {
  upstream: [{ id: 'a', label: 'Node A' }],
  nodes: [
    { id: 'a', label: 'Node A' },
    { id: 'far', label: 'Far away' },
  ],
}

/** An input around a value: 2023-11-14T22:13:20Z, with a few variables. */
export function testInput(json: unknown, meta: Readonly<Record<string, unknown>> | null = null): ExpressionInput {
  return {
    json,
    key: 'key-1',
    meta,
    batch: {
      now: 1_700_000_000_000,
      vars: { rate: 2 },
      env: { REGION: 'eu' },
      execution: { id: 'x-1', mode: 'manual' },
      workflow: { id: 'w-1', name: 'Test', version: '3' },
    },
  }
}

/** The IR of a text that has no problems. Throws with all of them otherwise. */
export function parsed(text: string, scope: ExpressionScope = testScope): ExpressionIr {
  const result = parseExpression(text, scope)
  if (!result.ok) throw new Error(result.problems.map((each) => `${each.code}: ${each.message}`).join('\n'))
  return result.value
}

/** The problems of a text; none when it is fine. */
export function problemsOf(text: string, scope: ExpressionScope = testScope): readonly Problem[] {
  const result = parseExpression(text, scope)
  return result.ok ? [] : result.problems
}

/** What one way of running an expression led to. */
export type Ending = { readonly value: unknown } | { readonly error: string; readonly message: string }

export function ending(run: () => unknown): Ending {
  try {
    return { value: run() }
  } catch (error) {
    if (!(error instanceof Error)) return { error: 'not an error', message: String(error) }
    return { error: 'code' in error ? String(error.code) : error.name, message: error.message }
  }
}

/** Runs an expression compiled and interpreted. */
export function bothWays(
  expression: ExpressionIr,
  input: ExpressionInput,
): { readonly text: Ending; readonly ir: Ending } {
  return {
    text: ending(() => compileExpression(expression)(input)),
    ir: ending(() => evaluate(expression.ir, input)),
  }
}
