import { Subject } from 'rxjs'
import type { Exit } from '../document/plan.ts'
import type { Batch } from '../flow/batch.ts'

/**
 * Where batches leave a stage. It owns the arithmetic of fan-out: the receipt gets its further holders before the first
 * target sees the batch, since a target that ends at once could otherwise close it.
 */
export class Outlet {
  readonly batches = new Subject<Batch>()
  readonly targets: number

  constructor(exit: Exit) {
    this.targets = exit.targets.length
  }

  /** Hands a batch, with the one hold that comes with it, to every target. */
  send(batch: Batch): void {
    if (this.targets > 1) batch.receipt.retain(this.targets - 1)
    this.batches.next(batch)
  }
}
