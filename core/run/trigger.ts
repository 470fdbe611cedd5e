import type { Face, NodeContext, Source } from '../define.ts'
import type { PlannedNode } from '../document/plan.ts'
import type { Batch } from '../flow/batch.ts'
import type { CreditGate } from '../flow/credits.ts'

/** A trigger of a pipeline: its gate, the ways out of its ports, and its source while it is open. */
export interface Trigger {
  readonly node: PlannedNode
  readonly lifetime: 'event' | 'stream'
  /** The entry group: 0 for all stream triggers, one of its own for each event trigger. */
  readonly group: number
  readonly face: Extract<Face<unknown>, { kind: 'event-trigger' | 'stream-trigger' }>
  readonly context: NodeContext
  /** Its own, or that of a source that another version has opened. */
  gate: CreditGate
  /** By output port: takes a batch with one hold. */
  readonly ports: readonly ((batch: Batch) => void)[]
  source: Source | null
}
