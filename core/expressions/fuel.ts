import { NodeError } from '../flow/failure.ts'
import { limits } from './limits.ts'

/**
 * What is left of an evaluation's budget. One counter per thread is enough: an evaluation is synchronous and never
 * starts another one. Only expressions that can loop or blow up a value set it, and generated code counts it down in place.
 */
export const fuel: { left: number } = { left: 0 }

/** Starts the budget of one evaluation. */
export function refuel(): void {
  fuel.left = limits.fuelMax
}

/** Takes `steps` from the budget. Throws `expression.out-of-fuel` when none is left. */
export function charge(steps: number): void {
  if ((fuel.left -= steps) < 0) outOfFuel()
}

/** The end of an expression that works too long. */
export function outOfFuel(): never {
  throw new NodeError(
    'expression.out-of-fuel',
    'The expression does more work than one evaluation may; use fewer or shorter lists, or move the work into a task of a pool node.',
  )
}

/** The end of an expression whose value grows too large. `what` names the thing, `limit` is its bound. */
export function tooLarge(what: string, limit: number): never {
  throw new NodeError(
    'expression.too-large',
    `${what} would be larger than the limit of ${limit.toLocaleString('en-US')}.`,
  )
}
