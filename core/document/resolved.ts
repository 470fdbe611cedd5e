import type { AnyDefinition } from '../define.ts'
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
  readonly line: number | null
}

export interface ResolvedEdge {
  readonly from: string
  readonly fromPort: string
  readonly to: string
  readonly toPort: string
}

/** Who a plan is of, and where the documents that it calls are found. */
export interface PlanOptions {
  readonly id?: string
  readonly version?: string
  /** Finds the document that a `call` node names; null when there is none. */
  readonly workflows?: (name: string) => Document | null
}
