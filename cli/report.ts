import type { Outcome } from '../core/pipeline.ts'
import type { Tally } from '../server/tally.ts'
import { count } from './progress.ts'

/** What a run did, from its first message to its last. */
export interface Report {
  readonly outcome: Outcome
  /** Null where the document's telemetry is off. */
  readonly tally: Tally | null
  readonly deadLetters: number
  readonly elapsedMs: number
  /** What to exit with where it was interrupted; null where it was not. */
  readonly interruptCode: number | null
}

/** 0 done, 1 something failed, 130 interrupted, 129 the terminal was closed. */
export function exitCodeOf({ outcome, deadLetters, interruptCode }: Report): number {
  if (outcome.state === 'failed' || outcome.state === 'lost' || deadLetters > 0) return 1
  return interruptCode ?? 0
}

/** One line for a program: the outcome and all counts as JSON. */
export function reportJson({ outcome, tally, deadLetters, elapsedMs }: Report): string {
  return JSON.stringify({
    state: outcome.state,
    ...(tally === null ? {} : { in: tally.in, out: tally.out, errors: tally.errors }),
    deadLetters,
    unsettled: outcome.unsettled,
    failure: outcome.failure,
    elapsedMs: Math.round(elapsedMs),
  })
}

/** One line for a person, and the cause where it failed. */
export function reportText({ outcome, tally, deadLetters, elapsedMs }: Report): string {
  const counts =
    tally === null
      ? 'not counted, as telemetry is off'
      : `${count(tally.in)} in, ${count(tally.out)} out, ${count(tally.errors)} errors`
  const letters = deadLetters > 0 ? `, ${count(deadLetters)} dead letters` : ''
  const left = outcome.unsettled > 0 ? `, ${count(outcome.unsettled)} left unsettled` : ''
  const cause = outcome.failure === null ? '' : `\n${outcome.failure.message}`
  return `${outcome.state}: ${counts}${letters}${left} in ${(elapsedMs / 1000).toFixed(1)} s${cause}`
}
