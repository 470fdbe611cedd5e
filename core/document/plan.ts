import type { Catalogue } from '../catalogue.ts'
import type { Statement } from '../compile/loop-builder.ts'
import { emitsMax, recordStatements } from '../compile/loop-builder.ts'
import type { AnyDefinition } from '../define.ts'
import type { Problem, Result } from '../problem.ts'
import { resultOf } from '../problem.ts'
import { checkDepth, stageNodesMax } from './depth.ts'
import type { Document, Into, OnError, Settings } from './document.ts'
import { resolve } from './resolve.ts'
import type { PlanOptions, ResolvedEdge, ResolvedNode } from './resolved.ts'

/** A document checked and resolved: frozen plain data, printable, storable, sendable to a worker. No secret is in it. */
export interface Plan {
  readonly format: 1
  readonly workflow: WorkflowRef
  readonly settings: Settings
  readonly nodes: readonly PlannedNode[]
  readonly edges: readonly PlannedEdge[]
  readonly stages: readonly PlannedStage[]
  readonly entries: readonly Entry[]
}

export interface WorkflowRef {
  readonly id: string
  readonly name: string
  readonly version: string
}

export interface PlannedNode {
  readonly index: number
  readonly id: string
  readonly label: string
  /** With its version: `filter@1`. */
  readonly type: string
  readonly face: AnyDefinition['face']['kind']
  /** The parsed config; expressions in it carry their IR. */
  readonly config: unknown
  readonly into: Into
  readonly onError: OnError
  readonly outputs: readonly string[]
  /** Inline nodes only. */
  readonly statements: readonly Statement[]
  readonly stage: number
  /** One-based line of the document, where there is a text. */
  readonly line: number | null
}

export interface PlannedEdge {
  readonly from: number
  readonly fromPort: string
  readonly to: number
  readonly toPort: string
}

/**
 * A run of inline nodes that becomes one loop, or one node of another face.
 * A stage forks only where a node chooses between its ports, never by fan-out, so that each message takes one path through it,
 * ways may join again inside, and an error on one path cannot skip another.
 */
export interface PlannedStage {
  readonly index: number
  readonly kind: 'loop' | 'kernel' | 'async' | 'expand' | 'stream' | 'sink' | 'trigger'
  /** The first node is the one that messages enter. */
  readonly nodes: readonly number[]
  readonly exits: readonly Exit[]
  /** For each node and port of the stage, where its messages go. */
  readonly routes: readonly Route[]
  /** Links into each input port: how many, and how many of them each entry group can reach. */
  readonly inputs: readonly StageInput[]
  /** The values that enter are held by nobody else, so the first node may change them in place. */
  readonly ownsValues: boolean
}

export interface Exit {
  readonly targets: readonly { readonly stage: number; readonly port: number }[]
}

export interface Route {
  readonly node: number
  readonly port: string
  /** The next node inside the same loop, or null. */
  readonly next: number | null
  /** Index into the stage's exits, or null: then messages end here. */
  readonly exit: number | null
}

export interface StageInput {
  readonly port: string
  /** Links that end here; more than one makes the marks align. */
  readonly links: number
  /** By entry group: how many links carry that group's marks. Links that close a cycle are not counted. */
  readonly linksByGroup: readonly number[]
}

/** A trigger. All stream triggers share a group, since they share one execution; each event trigger is its own. */
export interface Entry {
  readonly node: number
  readonly lifetime: 'event' | 'stream'
  readonly group: number
}

export type { PlanOptions } from './resolved.ts'

/** Checks a document against a catalogue and lays out its stages. All problems at once. */
export function plan(document: Document, catalogue: Catalogue, options: PlanOptions = {}): Result<Plan> {
  const resolved = resolve(document, catalogue, options)
  if (resolved.problems.some((each) => each.severity === 'error')) return { ok: false, problems: resolved.problems }
  const laidOut = layOut(document, resolved.nodes, resolved.edges, options)
  return resultOf(laidOut, [...resolved.problems, ...checkDepth(laidOut.stages, resolved.nodes)])
}

/** All problems of a document; empty when it can run. */
export function validate(document: Document, catalogue: Catalogue, options: PlanOptions = {}): readonly Problem[] {
  const planned = plan(document, catalogue, options)
  return planned.ok ? planned.warnings : planned.problems
}

function layOut(
  document: Document,
  nodes: readonly ResolvedNode[],
  resolvedEdges: readonly ResolvedEdge[],
  options: PlanOptions,
): Plan {
  const index = new Map(nodes.map((node, position) => [node.id, position]))
  const at = (id: string): number => index.get(id) ?? -1
  const edges = resolvedEdges.map((edge) => ({
    from: at(edge.from),
    fromPort: edge.fromPort,
    to: at(edge.to),
    toPort: edge.toPort,
  }))
  const statements = nodes.map((node, position) => statementsOf(node, position))
  const stageOf = assignStages(nodes, edges, statements)
  const entries = entriesOf(nodes)
  const drafts = draftStages(nodes, edges, stageOf)
  const stages = withInputs(drafts, nodes, edges, entries)
  return freeze({
    format: 1,
    workflow: { id: options.id ?? document.name, name: document.name, version: options.version ?? 'draft' },
    settings: document.settings,
    nodes: nodes.map((node, position) => ({
      index: position,
      id: node.id,
      label: node.label,
      type: `${node.definition.name}@${node.definition.version}`,
      face: node.definition.face.kind,
      config: node.config,
      into: node.into,
      onError: node.onError,
      outputs: node.outputs,
      statements: statements[position] ?? [],
      stage: stageOf[position] ?? -1,
      line: node.place.line ?? null,
    })),
    edges,
    stages,
    entries,
  })
}

function statementsOf(node: ResolvedNode, position: number): readonly Statement[] {
  const face = node.definition.face
  if (face.kind === 'call') return [{ do: 'emit', port: 'out' }]
  if (face.kind !== 'inline') return []
  return recordStatements(`n${position}`, node.into, (loop) => face.build(node.config, loop))
}

/** Gives each node its stage: an inline node joins the stage before it when all ways to it come from there and it has room. */
function assignStages(
  nodes: readonly ResolvedNode[],
  edges: readonly PlannedEdge[],
  statements: readonly (readonly Statement[])[],
): readonly number[] {
  const incoming = groupBy(edges, (edge) => edge.to)
  const outgoing = groupBy(edges, (edge) => edge.from)
  const stageOf: number[] = []
  const sizes: number[] = []
  const isInline = (position: number): boolean => {
    const kind = nodes[position]?.definition.face.kind
    return kind === 'inline' || kind === 'call'
  }
  const passesOn = (edge: PlannedEdge, position: number): boolean =>
    edge.from < position &&
    isInline(edge.from) &&
    edge.fromPort !== 'error' &&
    emitsMax(statements[edge.from] ?? []) <= 1 &&
    (outgoing.get(edge.from) ?? []).filter((each) => each.fromPort === edge.fromPort).length === 1
  nodes.forEach((_node, position) => {
    const before = incoming.get(position) ?? []
    const [first] = before
    const stage = first === undefined ? undefined : stageOf[first.from]
    const joins =
      stage !== undefined &&
      isInline(position) &&
      (sizes[stage] ?? 0) < stageNodesMax &&
      before.every((edge) => passesOn(edge, position) && stageOf[edge.from] === stage)
    const own = joins ? stage : sizes.push(0) - 1
    sizes[own] = (sizes[own] ?? 0) + 1
    stageOf.push(own)
  })
  return stageOf
}

type Draft = Omit<PlannedStage, 'inputs' | 'ownsValues'>

function draftStages(
  nodes: readonly ResolvedNode[],
  edges: readonly PlannedEdge[],
  stageOf: readonly number[],
): readonly Draft[] {
  const members = groupBy(
    nodes.map((_, position) => position),
    (position) => stageOf[position] ?? -1,
  )
  const outgoing = groupBy(edges, (edge) => edge.from)
  const portIndex = (edge: PlannedEdge): number => nodes[edge.to]?.definition.inputs.indexOf(edge.toPort) ?? 0
  return [...members.keys()].map((stage) => {
    const inside = members.get(stage) ?? []
    const exits: Exit[] = []
    const exitByKey = new Map<string, number>()
    const routes: Route[] = []
    for (const node of inside) {
      const ports = [...new Set([...(nodes[node]?.outputs ?? []), 'error'])]
      for (const port of ports) {
        const leaving = (outgoing.get(node) ?? []).filter((edge) => edge.fromPort === port)
        const first = leaving[0]
        if (
          first !== undefined &&
          leaving.length === 1 &&
          stageOf[first.to] === stage &&
          first.to !== inside[0] &&
          port !== 'error'
        ) {
          routes.push({ node, port, next: first.to, exit: null })
          continue
        }
        if (first === undefined) {
          routes.push({ node, port, next: null, exit: null })
          continue
        }
        // Ports with the same targets share an exit, so that the order of messages survives a fork that joins again.
        // A stream node's ports stay apart: its observables are its own.
        const targets = leaving.map((edge) => ({ stage: stageOf[edge.to] ?? -1, port: portIndex(edge) }))
        const own = nodes[node]?.definition.face.kind === 'inline' ? '' : `${port}:`
        const key =
          own +
          targets
            .map((target) => `${target.stage}.${target.port}`)
            .sort()
            .join()
        const known = exitByKey.get(key) ?? exits.push({ targets }) - 1
        exitByKey.set(key, known)
        routes.push({ node, port, next: null, exit: known })
      }
    }
    return { index: stage, kind: stageKind(nodes[inside[0] ?? 0]), nodes: inside, exits, routes }
  })
}

function stageKind(node: ResolvedNode | undefined): PlannedStage['kind'] {
  const kind = node?.definition.face.kind ?? 'inline'
  if (kind === 'inline' || kind === 'call') return 'loop'
  if (kind === 'event-trigger' || kind === 'stream-trigger') return 'trigger'
  return kind
}

/** Counts the links into every input and which of them each entry group reaches, so that marks know how many to wait for. */
function withInputs(
  drafts: readonly Draft[],
  nodes: readonly ResolvedNode[],
  edges: readonly PlannedEdge[],
  entries: readonly Entry[],
): readonly PlannedStage[] {
  const groups = Math.max(0, ...entries.map((entry) => entry.group + 1))
  const stageOfNode = new Map(drafts.flatMap((draft) => draft.nodes.map((node) => [node, draft.index])))
  const reached = Array.from({ length: groups }, () => new Set<number>())
  for (const entry of entries) spread(stageOfNode.get(entry.node) ?? -1, drafts, reached[entry.group] ?? new Set())
  const linksTo = new Map<string, number[]>()
  for (const draft of drafts)
    for (const exit of draft.exits)
      for (const target of exit.targets) {
        const key = `${target.stage}.${target.port}`
        const known = linksTo.get(key)
        if (known === undefined) linksTo.set(key, [draft.index])
        else known.push(draft.index)
      }
  const incoming = groupBy(edges, (edge) => edge.to)
  const outgoing = groupBy(edges, (edge) => edge.from)
  return drafts.map((draft) => {
    const first = nodes[draft.nodes[0] ?? 0]
    const ports = first?.definition.inputs ?? []
    const inputs = ports.map((port, portIndex) => {
      const links = linksTo.get(`${draft.index}.${portIndex}`) ?? []
      const closesCycle = first?.definition.closesCycle === port
      const linksByGroup = reached.map((set) => (closesCycle ? 0 : links.filter((from) => set.has(from)).length))
      return { port, links: links.length, linksByGroup }
    })
    return { ...draft, inputs, ownsValues: ownsValues(draft, nodes, incoming, outgoing) }
  })
}

function spread(stage: number, drafts: readonly Draft[], into: Set<number>): void {
  const open = [stage]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (into.has(next)) continue
    into.add(next)
    for (const exit of drafts[next]?.exits ?? []) for (const target of exit.targets) open.push(target.stage)
  }
}

function ownsValues(
  draft: Draft,
  nodes: readonly ResolvedNode[],
  incoming: ReadonlyMap<number, readonly PlannedEdge[]>,
  outgoing: ReadonlyMap<number, readonly PlannedEdge[]>,
): boolean {
  const into = incoming.get(draft.nodes[0] ?? -1) ?? []
  const only = into.length === 1 ? into[0] : undefined
  if (only === undefined || draft.kind !== 'loop') return false
  const alone = (outgoing.get(only.from) ?? []).filter((edge) => edge.fromPort === only.fromPort).length === 1
  return alone && nodes[only.from]?.definition.freshValues === true
}

function entriesOf(nodes: readonly ResolvedNode[]): readonly Entry[] {
  const entries: Entry[] = []
  let group = 1
  nodes.forEach((node, position) => {
    const kind = node.definition.face.kind
    if (kind === 'stream-trigger') entries.push({ node: position, lifetime: 'stream', group: 0 })
    if (kind === 'event-trigger') entries.push({ node: position, lifetime: 'event', group: group++ })
  })
  return entries
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return groups
}

/** Freezes all the way down. */
function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const each of Object.values(value)) freeze(each)
  }
  return value
}
