import type { AnyDefinition } from '../define.ts'
import type { Place, Result } from '../problem.ts'
import type { Document, Into, OnError } from './document.ts'

/** A node as the graph sees it. What could not be read is null: it has a problem of its own, and none is added that hangs on it. */
export interface GraphNode {
  readonly id: string
  readonly definition: AnyDefinition | null
  readonly outputs: readonly string[] | null
  readonly place: Place
}

/** A node with its definition found and its config parsed. */
export interface ResolvedNode extends GraphNode {
  readonly label: string
  readonly definition: AnyDefinition
  readonly config: unknown
  readonly into: Into
  readonly onError: OnError
  readonly outputs: readonly string[]
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
  /** Finds the document that a `call` node names in the document `from`, which is null for the outermost one; null when there is none. */
  readonly workflows?: (name: string, from: string | null) => CalledDocument | null
}

/** A document that others call. */
export interface CalledDocument {
  /** The same wherever it is called from, though paths to it differ: so a ring is found, and so its problems name it. */
  readonly name: string
  /** What it says, or the problems with its form. */
  readonly document: Result<Document>
}
