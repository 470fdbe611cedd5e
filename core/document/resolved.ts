import type { AnyDefinition } from '../define.ts'
import type { Place } from '../problem.ts'
import type { Document, Into, OnError } from './document.ts'

/** A node with its definition found and its config parsed. */
export interface ResolvedNode {
  readonly id: string
  readonly label: string
  readonly definition: AnyDefinition
  readonly config: unknown
  readonly into: Into
  readonly onError: OnError
  readonly outputs: readonly string[]
  readonly place: Place
}

export interface ResolvedEdge {
  readonly from: string
  readonly fromPort: string
  readonly to: string
  readonly toPort: string
  /** Of the text that says it: an edge that a call brings lies where the called document has it. */
  readonly place: Place
}

/** Who a plan is of, and where the documents that it calls are found. */
export interface PlanOptions {
  readonly id?: string
  readonly version?: string
  /** Finds the document that a `call` node names; null when there is none. */
  readonly workflows?: (name: string) => Document | null
}
