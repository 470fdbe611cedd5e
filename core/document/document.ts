import type { Problem, Range } from '../problem.ts'

/** A workflow as a person wrote it, checked for its form only. Node configs are still raw. */
export interface Document {
  readonly millrace: 1
  readonly name: string
  readonly description: string
  readonly settings: Settings
  readonly nodes: Readonly<Record<string, DocumentNode>>
  readonly edges: readonly DocumentEdge[]
  readonly tests: readonly DocumentTest[]
  /** What its text holds that could not be read, while the rest could; absent when all of it was. */
  readonly unread?: Unread
  /** Where each part stands in the text; empty for documents that never were text. */
  readonly source: DocumentSource
}

/** A document with this cannot be planned; it is there so that its other problems are told together with these. */
export interface Unread {
  readonly problems: readonly Problem[]
  /** Whether all edges are there; if not, nothing can be said of what leads where. */
  readonly hasAllEdges: boolean
}

export interface DocumentNode {
  /**
   * `filter@1`. Saved documents hold the number; a draft may leave it out and gets the latest.
   * Empty for a node that could not be read.
   */
  readonly type: string
  /** What people see; references may use it, but are stored by id. */
  readonly label: string | null
  readonly config: Readonly<Record<string, unknown>>
  readonly onError: OnError | null
  readonly into: Into
  /** `local` or `pool:NAME`; carried for placement. */
  readonly position: { readonly x: number; readonly y: number } | null
}

/** `from.port -> to.port`; the ports default to `out` and `in`. */
export interface DocumentEdge {
  readonly from: string
  readonly fromPort: string
  readonly to: string
  readonly toPort: string
  /** Which item of the document's `edges` says it; a chain says several. Absent for an edge that no text holds. */
  readonly item?: number
}

/** What a node that makes a new value does with the old one. */
export type Into = 'replace' | 'merge' | { readonly field: string }

/** What happens to a message that fails in a node. */
export type OnError =
  | { readonly kind: 'route' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'retry'; readonly attemptsMax: number; readonly backoffMs: number; readonly backoffMsMax: number }

export interface Settings {
  readonly telemetry: 'off' | 'metrics' | 'trace'
  readonly delivery: 'at-most-once' | 'at-least-once' | 'exactly-once'
  /** Threads that share the partitions of the stream triggers among themselves. */
  readonly lanes: number
  /** What one source may have in flight. */
  readonly inFlightMax: number
  readonly inFlightBytesMax: number
  /** Times a failed batch is sent again before its messages go to the dead-letter one by one. */
  readonly redeliveriesMax: number
  readonly onFail: 'dead-letter' | 'stop'
  readonly isolation: 'auto' | 'shared' | 'thread'
  /** A batch in flight for longer is reported as stalled. */
  readonly stallMsMax: number
  /** How long a stopping execution may drain before it is cut. */
  readonly stopMsMax: number
  /** How long an event execution may take in all; 0 is no limit. */
  readonly executionMsMax: number
}

/** A test case inside a document: what goes in at a node, what must come out at others. Runs on virtual time. */
export interface DocumentTest {
  readonly name: string
  /** Values by trigger id. */
  readonly input: Readonly<Record<string, readonly unknown[]>>
  /** Values by node id (and port: `node.port`) that must have left it, in order. */
  readonly expect: Readonly<Record<string, readonly unknown[]>>
  /** Answers in place of the outside world, by node id, in order: a value, or `{ error: text }`. */
  readonly mocks: Readonly<Record<string, readonly unknown[]>>
  readonly vars: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string>>
}

/** Looks up where a path such as `['nodes', 'a', 'config', 'where']` stands in the text. */
export interface DocumentSource {
  readonly text: string
  /** One-based line and column of an offset. */
  positionOf(offset: number): { readonly line: number; readonly column: number }
  /** The range of the value at the path, or of its nearest parent that has one. */
  rangeOf(path: readonly (string | number)[]): Range | null
  /** Offset in the text of character `index` of the string value at `path`, where the text holds it one to one. */
  offsetIn(path: readonly (string | number)[], index: number): number | null
}
