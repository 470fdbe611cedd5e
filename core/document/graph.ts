import type { Problem } from '../problem.ts'
import { problem, warning } from '../problem.ts'
import type { Document } from './document.ts'
import { locate } from './parse.ts'
import type { GraphNode, ResolvedEdge } from './resolved.ts'

/**
 * Checks the shape of the graph and answers the ids of the nodes in the order of the data.
 * Cycles are allowed only back into a node that counts its rounds (`loop`).
 */
export function checkGraph(
  nodes: ReadonlyMap<string, GraphNode>,
  edges: readonly ResolvedEdge[],
  hasAllEdges: boolean,
  document: Document,
  problems: Problem[],
): readonly string[] {
  const seen = new Set<string>()
  const missing = new Set<string>()
  for (const edge of edges) {
    for (const end of [edge.from, edge.to]) {
      // An edge from a call's error port stands for many, and is told once.
      const told = `${edge.place.document ?? ''} ${edge.place.field ?? ''} ${end}`
      if (nodes.has(end) || missing.has(told)) continue
      missing.add(told)
      problems.push(
        problem(
          'document.unknown-edge-end',
          edge.place,
          `the edge ${edge.from} -> ${edge.to} names ${end}, which is no node`,
          'Add the node, or correct the name.',
        ),
      )
    }
    checkPorts(edge, nodes, problems)
    const key = `${edge.from}.${edge.fromPort}>${edge.to}.${edge.toPort}`
    if (seen.has(key))
      problems.push(
        problem(
          'document.duplicate-edge',
          edge.place,
          `the edge ${edge.from}.${edge.fromPort} -> ${edge.to} stands twice`,
          'Remove one of them.',
        ),
      )
    seen.add(key)
  }
  if (hasAllEdges) checkTriggers(nodes, edges, document, problems)
  const usable = edges.filter((edge) => nodes.has(edge.from) && nodes.has(edge.to))
  return order(nodes, usable, problems)
}

function checkPorts(edge: ResolvedEdge, nodes: ReadonlyMap<string, GraphNode>, problems: Problem[]): void {
  const from = nodes.get(edge.from)
  const to = nodes.get(edge.to)
  if (from?.definition && from.outputs !== null) {
    const outputs = isTrigger(from) ? from.outputs : [...from.outputs, 'error']
    if (!outputs.includes(edge.fromPort))
      problems.push(
        problem(
          'document.unknown-port',
          edge.place,
          `${edge.from} (${from.definition.name}) has no output port ${JSON.stringify(edge.fromPort)}`,
          outputs.length === 0 ? 'Nothing can follow it; remove the edge.' : `Use one of: ${outputs.join(', ')}.`,
        ),
      )
  }
  if (to?.definition && !to.definition.inputs.includes(edge.toPort))
    problems.push(
      problem(
        'document.unknown-port',
        edge.place,
        `${edge.to} (${to.definition.name}) has no input port ${JSON.stringify(edge.toPort)}`,
        to.definition.inputs.length === 0
          ? 'It is a trigger: nothing can come before it.'
          : `Use one of: ${to.definition.inputs.join(', ')}.`,
      ),
    )
}

function isTrigger(node: GraphNode): boolean {
  return node.definition?.face.kind.endsWith('trigger') === true
}

function checkTriggers(
  nodes: ReadonlyMap<string, GraphNode>,
  edges: readonly ResolvedEdge[],
  document: Document,
  problems: Problem[],
): void {
  const all = [...nodes.values()]
  // A node of no known type may be anything.
  if (!all.some((node) => node.definition === null || isTrigger(node)))
    problems.push(
      problem(
        'document.no-trigger',
        locate(document.source, document.source.rangeOf(['nodes']), { field: 'nodes' }),
        'no node is a trigger, so nothing would ever run',
        'Add one, for example manual@1.',
      ),
    )
  const fed = new Map<string, Set<string>>()
  for (const edge of edges) {
    const ports = fed.get(edge.to) ?? new Set()
    fed.set(edge.to, ports.add(edge.toPort))
  }
  for (const node of all) {
    const inputs = node.definition?.inputs ?? []
    // An edge to a port that is not there has a problem already, and was meant for one that is.
    const isMistaken = [...(fed.get(node.id) ?? [])].some((port) => !inputs.includes(port))
    for (const port of isMistaken ? [] : inputs) {
      if (fed.get(node.id)?.has(port) === true || port === node.definition?.closesCycle) continue
      problems.push(
        problem(
          'document.missing-edge',
          node.place,
          `nothing leads to ${node.id}${port === 'in' ? '' : `.${port}`}`,
          'Draw an edge to it, or remove the node.',
        ),
      )
    }
  }
  const next = new Map<string, string[]>()
  for (const edge of edges) {
    const following = next.get(edge.from)
    if (following === undefined) next.set(edge.from, [edge.to])
    else following.push(edge.to)
  }
  const reach = (start: readonly string[]): Set<string> => {
    const reached = new Set(start)
    for (const id of reached) for (const to of next.get(id) ?? []) reached.add(to)
    return reached
  }
  const ofKind = (kind: string): readonly string[] =>
    all.filter((node) => node.definition?.face.kind === kind).map((node) => node.id)
  const byEvent = reach(ofKind('event-trigger'))
  const byStream = reach(ofKind('stream-trigger'))
  const byUnknown = reach([...next.keys()].filter((id) => !nodes.get(id)?.definition))
  for (const node of all) {
    if (node.definition?.stateful === true && byEvent.has(node.id) && byStream.has(node.id))
      problems.push(
        problem(
          'state.two-lifetimes',
          node.place,
          `${node.id} keeps state, but both a stream trigger and an event trigger lead to it: each would see a state of its own`,
          'Give each trigger a node of its own.',
        ),
      )
    const isReached = byEvent.has(node.id) || byStream.has(node.id) || byUnknown.has(node.id)
    if (!isReached && node.definition !== null && !isTrigger(node) && fed.has(node.id))
      problems.push(
        warning(
          'document.unreachable',
          node.place,
          `no trigger leads to ${node.id}`,
          'Connect it to a trigger, or remove it.',
        ),
      )
  }
}

/** Kahn's algorithm in the order of the document; what is left over lies on a cycle, which is named. */
function order(
  nodes: ReadonlyMap<string, GraphNode>,
  edges: readonly ResolvedEdge[],
  problems: Problem[],
): readonly string[] {
  // A node of no known type may be a loop, misspelt.
  const forward = edges.filter(({ to, toPort }) => {
    const definition = nodes.get(to)?.definition
    return definition && definition.closesCycle !== toPort
  })
  const waiting = new Map([...nodes.keys()].map((id) => [id, 0]))
  const next = new Map<string, string[]>()
  for (const edge of forward) {
    waiting.set(edge.to, (waiting.get(edge.to) ?? 0) + 1)
    const following = next.get(edge.from)
    if (following === undefined) next.set(edge.from, [edge.to])
    else following.push(edge.to)
  }
  const ready = [...nodes.keys()].filter((id) => waiting.get(id) === 0)
  for (const id of ready) {
    for (const to of next.get(id) ?? []) {
      const left = (waiting.get(to) ?? 0) - 1
      waiting.set(to, left)
      if (left === 0) ready.push(to)
    }
  }
  if (ready.length < nodes.size) {
    const cycle = findCycle(next, new Set([...nodes.keys()].filter((id) => (waiting.get(id) ?? 0) > 0)))
    problems.push(
      problem(
        'document.cycle',
        nodes.get(cycle[0] ?? '')?.place ?? {},
        `the edges form a cycle: ${[...cycle, cycle[0]].join(' -> ')}`,
        'A cycle may only lead back into the `back` port of a loop node, which bounds its rounds.',
      ),
    )
  }
  return ready
}

function findCycle(next: ReadonlyMap<string, readonly string[]>, inside: ReadonlySet<string>): readonly string[] {
  // Every node that is left has a predecessor that is left, so walking backwards must meet itself.
  const before = new Map<string, string>()
  for (const [from, targets] of next)
    if (inside.has(from)) for (const to of targets) if (inside.has(to)) before.set(to, from)
  const path: string[] = []
  let at = [...inside][0]
  while (at !== undefined && !path.includes(at)) {
    path.push(at)
    at = before.get(at)
  }
  const cycle = at === undefined ? path : path.slice(path.indexOf(at))
  return cycle.reverse()
}
