import type { Observable, Subscription } from 'rxjs'
import type { Batch } from './batch.ts'
import { failureOf } from './failure.ts'

/**
 * The one door by which stages and operators subscribe. Rx rethrows what a consumer throws as an uncaught exception;
 * here a throw becomes a failed receipt and a failed execution, and the pipeline of all others lives on.
 */
export function edge(input: Observable<Batch>, consume: (batch: Batch) => void): Subscription {
  return input.subscribe((batch) => {
    try {
      consume(batch)
    } catch (thrown) {
      const failure = failureOf(thrown, null)
      batch.receipt.fail(failure)
      batch.scope.owner?.broke(batch.scope, failure)
    }
  })
}
