import type { z } from 'zod'

/** What is left of a document when everything that its schema refuses is taken out. */
export interface ReadablePart {
  readonly raw: unknown
  /** Nodes of which more than a detail is wrong: they are there, and may be anything. */
  readonly nodes: readonly string[]
  /** Items of `edges` that are none. */
  readonly edges: ReadonlySet<number>
  /** Whether the edges that are left are all that can have been meant. */
  readonly hasAllEdges: boolean
}

/** Fields of a node whose loss changes nothing that other problems hang on. */
const details: readonly unknown[] = ['label', 'onError', 'into', 'position']

/** Takes out what the schema refused, so that the rest can be looked at too; null when too little would be left. */
export function readablePart(document: unknown, issues: readonly z.core.$ZodIssue[]): ReadablePart | null {
  const raw: unknown = structuredClone(document)
  if (!isObject(raw)) return null
  const nodes = new Set<string>()
  const edges = new Set<number>()
  let hasAllEdges = true
  for (const { path, ...issue } of issues) {
    const [part, name, field] = path
    if (part === undefined && issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) delete raw[key]
      // One of them may be meant for the edges.
      if (!('edges' in raw)) hasAllEdges = false
    } else if (part === 'nodes' && typeof name === 'string' && isObject(raw.nodes)) {
      const node = raw.nodes[name]
      if (isObject(node) && details.includes(field)) delete node[String(field)]
      else nodes.add(name)
    } else if (part === 'edges' && typeof name === 'number') edges.add(name)
    else if (part === 'settings' && typeof name === 'string' && isObject(raw.settings)) delete raw.settings[name]
    else if (part === 'settings' || part === 'tests' || part === 'description') delete raw[part]
    else if (part === 'name') raw.name = 'unnamed'
    else return null
  }
  for (const id of nodes) if (isObject(raw.nodes)) delete raw.nodes[id]
  if (Array.isArray(raw.edges)) raw.edges = raw.edges.map((edge, item) => (edges.has(item) ? '' : edge))
  return { raw, nodes: [...nodes], edges, hasAllEdges: hasAllEdges && edges.size === 0 }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
