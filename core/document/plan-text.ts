import type { Catalogue } from '../catalogue.ts'
import { NodeError } from '../flow/failure.ts'
import type { Result } from '../problem.ts'
import { formatProblem } from '../problem.ts'
import { parse } from './parse.ts'
import type { Plan, PlanOptions } from './plan.ts'
import { plan } from './plan.ts'

/**
 * Reads a text into a plan, for those who can do nothing about a problem but show it.
 * Throws a `NodeError` with the code `document.invalid`, whose message holds all problems, one a line.
 */
export function planText(text: string, catalogue: Catalogue, options: PlanOptions = {}): Plan {
  return must(plan(must(parse(text)), catalogue, options))
}

/** The value of a step from text to plan. Throws as `planText` does when there is none. */
export function must<T>(result: Result<T>): T {
  if (result.ok) return result.value
  throw new NodeError('document.invalid', result.problems.map(formatProblem).join('\n'))
}
