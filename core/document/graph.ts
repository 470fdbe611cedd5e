import type { Place, Problem } from '../problem.ts'
import { problem, warning } from '../problem.ts'
import type { Document } from './document.ts'
import { locate } from './parse.ts'
import type { ResolvedEdge, ResolvedNode } from './resolved.ts'

/**
 * Checks the shape of the graph and answers the nodes in the order of the data.
 * Cycles are allowed only back into a node that counts its rounds (`loop`).
 */
export function checkGraph(
  nodes: ReadonlyMap<string, ResolvedNode>,
  edges: readonly ResolvedEdge[],
  document: Document,
  problems: Problem[],
): readonly ResolvedNode[] {
  const known = new Set([...Object.keys(document.nodes), ...nodes.keys()])
  const seen = new Set<string>()
  for (const edge of edges) {
    checkEnds(edge, nodes, known, problems)
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
  const usable = edges.filter((edge) => nodes.has(edge.from) && nodes.has(edge.to))
  checkTriggers(nodes, usable, document, problems)
  return order(nodes, usable, document, problems)
}

function checkEnds(
  edge: ResolvedEdge,
  nodes: ReadonlyMap<string, ResolvedNode>,
  known: ReadonlySet<string>,
  problems: Problem[],
): void {
  for (const end of [edge.from, edge.to])
    if (!known.has(end))
      problems.push(
        problem(
          'document.unknown-edge-end',
          edge.place,
          `the edge ${edge.from} -> ${edge.to} names ${end}, which is no node`,
          'Add the node, or correct the name.',
        ),
      )
  const from = nodes.get(edge.from)
  const to = nodes.get(edge.to)
  const isTrigger = from?.definition.face.kind.endsWith('trigger') === true
  const outputs = from === undefined ? [] : isTrigger ? from.outputs : [...from.outputs, 'error']
  if (from !== undefined && !outputs.includes(edge.fromPort))
    problems.push(
      problem(
        'document.unknown-port',
        edge.place,
        `${edge.from} (${from.definition.name}) has no output port ${JSON.stringify(edge.fromPort)}`,
        outputs.length === 0 ? 'Nothing can follow it; remove the edge.' : `Use one of: ${outputs.join(', ')}.`,
      ),
    )
  if (to !== undefined && !to.definition.inputs.includes(edge.toPort))
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

function checkTriggers(
  nodes: ReadonlyMap<string, ResolvedNode>,
  edges: readonly ResolvedEdge[],
  document: Document,
  problems: Problem[],
): void {
  const place = (id: string): Place => locate(document.source, document.source.rangeOf(['nodes', id]), { node: id })
  const all = [...nodes.values()]
  if (
    !all.some((node) => node.definition.face.kind.endsWith('trigger')) &&
    nodes.size === Object.keys(document.nodes).length
  )
    problems.push(
      problem(
        'document.no-trigger',
        { field: 'nodes' },
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
    for (const port of node.definition.inputs) {
      if (fed.get(node.id)?.has(port) === true || port === node.definition.closesCycle) continue
      problems.push(
        problem(
          'document.missing-edge',
          place(node.id),
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
  const reach = (start: (node: ResolvedNode) => boolean): Set<string> => {
    const reached = new Set(all.filter(start).map((node) => node.id))
    for (const id of reached) for (const to of next.get(id) ?? []) reached.add(to)
    return reached
  }
  const byEvent = reach((node) => node.definition.face.kind === 'event-trigger')
  const byStream = reach((node) => node.definition.face.kind === 'stream-trigger')
  for (const node of all) {
    if (node.definition.stateful === true && byEvent.has(node.id) && byStream.has(node.id))
      problems.push(
        problem(
          'state.two-lifetimes',
          place(node.id),
          `${node.id} keeps state, but both a stream trigger and an event trigger lead to it: each would see a state of its own`,
          'Give each trigger a node of its own.',
        ),
      )
    if (!byEvent.has(node.id) && !byStream.has(node.id) && node.definition.inputs.length > 0 && fed.has(node.id))
      problems.push(
        warning(
          'document.unreachable',
          place(node.id),
          `no trigger leads to ${node.id}`,
          'Connect it to a trigger, or remove it.',
        ),
      )
  }
}

/** Kahn's algorithm in the order of the document; what is left over lies on a cycle, which is named. */
function order(
  nodes: ReadonlyMap<string, ResolvedNode>,
  edges: readonly ResolvedEdge[],
  document: Document,
  problems: Problem[],
): readonly ResolvedNode[] {
  const forward = edges.filter((edge) => nodes.get(edge.to)?.definition.closesCycle !== edge.toPort)
  const waiting = new Map([...nodes.keys()].map((id) => [id, 0]))
  const next = new Map<string, string[]>()
  for (const edge of forward) {
    waiting.set(edge.to, (waiting.get(edge.to) ?? 0) + 1)
    const following = next.get(edge.from)
    if (following === undefined) next.set(edge.from, [edge.to])
    else following.push(edge.to)
  }
  const ready = [...nodes.keys()].filter((id) => waiting.get(id) === 0)
  const sorted: ResolvedNode[] = []
  for (const id of ready) {
    const node = nodes.get(id)
    if (node !== undefined) sorted.push(node)
    for (const to of next.get(id) ?? []) {
      const left = (waiting.get(to) ?? 0) - 1
      waiting.set(to, left)
      if (left === 0) ready.push(to)
    }
  }
  if (sorted.length < nodes.size) {
    const cycle = findCycle(next, new Set([...nodes.keys()].filter((id) => (waiting.get(id) ?? 0) > 0)))
    problems.push(
      problem(
        'document.cycle',
        locate(document.source, document.source.rangeOf(['nodes', cycle[0] ?? '']), { node: cycle[0] }),
        `the edges form a cycle: ${[...cycle, cycle[0]].join(' -> ')}`,
        'A cycle may only lead back into the `back` port of a loop node, which bounds its rounds.',
      ),
    )
  }
  return sorted
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
