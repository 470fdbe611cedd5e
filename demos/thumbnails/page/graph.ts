import { isRecord } from './values.ts'

/** A workflow as it is drawn, in columns from its triggers to its last nodes. */
export interface Graph {
  readonly name: string
  readonly nodes: readonly GraphNode[]
  readonly edges: readonly GraphEdge[]
}

export interface GraphNode {
  readonly id: string
  readonly label: string
  /** With its version: `filter@1`. */
  readonly type: string
  readonly column: number
}

export interface GraphEdge {
  readonly from: string
  readonly fromPort: string
  readonly to: string
}

/** What a node has counted since the workflow was deployed. */
export interface NodeCounts {
  readonly in: number
  readonly out: number
  readonly errors: number
}

/** One beat of the topic `workflows/ID/metrics`. */
export interface Beat {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly running: number
  readonly inFlight: number
  readonly inFlightMax: number
  readonly nodes: ReadonlyMap<string, NodeCounts>
}

/** Reads the answer of `GET /api/workflows/{id}`. Throws an Error when it is not of that form. */
export function readGraph(answer: unknown): Graph {
  if (!isRecord(answer) || !Array.isArray(answer.nodes) || !Array.isArray(answer.edges))
    throw new Error('The server described the workflow in a form that this page does not know. Reload the page.')
  const nodes = answer.nodes.filter(isRecord).map((node) => ({
    id: String(node.id),
    label: String(node.label),
    type: String(node.type),
    column: isRecord(node.position) ? Number(node.position.column) : 0,
  }))
  const edges = answer.edges.filter(isRecord).map((edge) => ({
    from: String(edge.from),
    fromPort: String(edge.fromPort),
    to: String(edge.to),
  }))
  return { name: String(answer.name), nodes, edges }
}

/** Reads one value of the metrics topic; null for one of another form. */
export function readBeat(value: unknown): Beat | null {
  if (!isRecord(value) || typeof value.at !== 'number') return null
  const nodes = isRecord(value.nodes) ? Object.entries(value.nodes) : []
  return {
    at: value.at,
    running: Number(value.running),
    inFlight: Number(value.inFlight),
    inFlightMax: Number(value.inFlightMax),
    nodes: new Map(nodes.flatMap(([id, each]) => (isRecord(each) ? [[id, countsOf(each)] as const] : []))),
  }
}

/**
 * Messages per second over a wire, from those of the nodes at its ends: nodes count what goes in and out of them, not
 * by port. A wire that is its target's only one carries what goes in there; of several, what its source sends.
 */
export function wireRate(graph: Graph, edge: GraphEdge, rates: ReadonlyMap<string, NodeCounts>): number {
  const source = rates.get(edge.from)
  const target = rates.get(edge.to)
  if (source === undefined || target === undefined) return 0
  if (graph.edges.filter((each) => each.to === edge.to).length === 1) return target.in
  return edge.fromPort === 'error' ? source.errors : Math.min(source.out, target.in)
}

function countsOf(each: Readonly<Record<string, unknown>>): NodeCounts {
  const read = (name: string): number => (typeof each[name] === 'number' ? each[name] : 0)
  return { in: read('in'), out: read('out'), errors: read('errors') }
}
