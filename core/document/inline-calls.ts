import { z } from 'zod'
import type { Catalogue } from '../catalogue.ts'
import type { AnyDefinition } from '../define.ts'
import { define } from '../define.ts'
import type { Place, Problem } from '../problem.ts'
import { problem } from '../problem.ts'
import type { Document, DocumentEdge, DocumentNode } from './document.ts'
import { locate } from './parse.ts'
import { plainText } from './plain-value.ts'
import type { PlanOptions, ResolvedEdge } from './resolved.ts'

export const callDepthMax = 16
const nodesMax = 20_000

/** One document of the whole: the outermost, or a sub-workflow with its ids prefixed by the call's. */
export interface InlinedPart {
  readonly prefix: string
  /** As the call names it; absent for the outermost. */
  readonly name?: string
  readonly document: Document
  /** Nodes whose definition is given, not looked up: a sub-workflow's trigger becomes a plain passage. */
  readonly stands: ReadonlyMap<string, AnyDefinition>
}

export interface Inlined {
  readonly parts: readonly InlinedPart[]
  readonly edges: readonly ResolvedEdge[]
}

const passagePorts = ['out'] as const
const passage: AnyDefinition = define({
  name: 'passage',
  version: 1,
  summary: 'Passes messages into a sub-workflow.',
  inputs: ['in'],
  outputs: passagePorts,
  config: z.object({}),
  examples: [],
  face: { kind: 'inline', build: (_config, loop) => loop.emit() },
})

/**
 * Puts every sub-workflow in the place of its call: the way in leads to its trigger, the ports that nothing inside follows lead to the
 * call node, which passes on what they give, and errors that nobody handles inside leave by the call's error port.
 */
export function inlineCalls(
  document: Document,
  catalogue: Catalogue,
  options: PlanOptions,
  problems: Problem[],
): Inlined {
  const parts: InlinedPart[] = []
  const edges: ResolvedEdge[] = []
  /** Called documents whose own problems have been told. */
  const unreadable = new Set<string>()
  let nodeCount = 0

  const add = (
    current: Document,
    prefix: string,
    stands: ReadonlyMap<string, AnyDefinition>,
    names: readonly string[],
    handlers: readonly ResolvedEdge[],
  ): void => {
    nodeCount += Object.keys(current.nodes).length
    const name = prefix === '' ? undefined : names.at(-1)
    parts.push({ prefix, name, document: current, stands })
    const own: ResolvedEdge[] = current.edges.map((edge) => ({
      ...edge,
      from: prefix + edge.from,
      to: prefix + edge.to,
      place: edgePlace(current, name, edge),
    }))
    for (const [id, node] of Object.entries(current.nodes)) {
      if (catalogue.find(node.type)?.face.kind !== 'call') continue
      const place = locate(current.source, current.source.rangeOf(['nodes', id, 'config']), {
        document: name,
        node: prefix + id,
        field: 'config.workflow',
      })
      const child = find(node.config.workflow, name ?? null, place, names)
      if (child === null) continue
      const trigger = triggerOf(child.document, catalogue, child.name, place, problems)
      if (trigger === undefined) continue
      const outer = connect(prefix + id, child.document, trigger, own, catalogue, handlers, place)
      add(
        child.document,
        `${prefix}${id}/`,
        new Map(trigger === null ? [] : [[trigger, passage]]),
        [...names, child.name],
        outer,
      )
    }
    edges.push(...own)
  }

  const find = (
    given: unknown,
    from: string | null,
    place: Place,
    names: readonly string[],
  ): { name: string; document: Document } | null => {
    // What is no plain text is told where the config is read.
    const told: Problem[] = []
    const asked = typeof given === 'string' ? plainText(given, [], () => place, told) : null
    if (asked === null || asked === '' || told.length > 0) return null
    const child = options.workflows?.(asked, from) ?? null
    if (child === null) {
      problems.push(
        problem(
          'call.unknown-workflow',
          place,
          `there is no workflow ${JSON.stringify(asked)}`,
          'Correct the name or path; paths are relative to the calling document.',
        ),
      )
      return null
    }
    const { name, document } = child
    if (names.includes(name) || names.length > callDepthMax || nodeCount > nodesMax) {
      const why = names.includes(name)
        ? `calls itself: ${[...names, name].join(' -> ')}`
        : `is nested more than ${callDepthMax} calls or ${nodesMax} nodes deep`
      problems.push(
        problem('call.recursion', place, `the workflow ${why}`, 'Use a loop node, or end the chain of calls.'),
      )
      return null
    }
    if (document.ok) return { name, document: document.value }
    if (!unreadable.has(name))
      problems.push(...document.problems.map((each) => ({ ...each, place: { ...each.place, document: name } })))
    unreadable.add(name)
    return null
  }

  add(document, '', new Map(), [document.name], [])
  return { parts, edges }
}

function edgePlace(document: Document, name: string | undefined, edge: DocumentEdge): Place {
  if (edge.item === undefined) return { document: name, field: 'edges' }
  return locate(document.source, document.source.rangeOf(['edges', edge.item]), {
    document: name,
    field: `edges.${edge.item}`,
  })
}

/** Where messages enter; null when a node of no known type may be it, undefined when there is no single way in. */
function triggerOf(
  child: Document,
  catalogue: Catalogue,
  name: string,
  place: Place,
  problems: Problem[],
): string | null | undefined {
  const triggers = Object.entries(child.nodes).filter(
    ([, node]) => catalogue.find(node.type)?.face.kind.endsWith('trigger') === true,
  )
  const only = triggers.length === 1 ? triggers[0] : undefined
  if (only !== undefined) return only[0]
  if (triggers.length === 0 && Object.values(child.nodes).some((node) => catalogue.find(node.type) === null))
    return null
  problems.push(
    problem(
      'call.trigger',
      place,
      `the workflow ${JSON.stringify(name)} has ${triggers.length} triggers; a call needs exactly one to enter by`,
      'Give it a single manual trigger.',
    ),
  )
  return undefined
}

/**
 * Leads the call's edges into the sub-workflow and out of it. Answers where errors go that the sub-workflow does not handle:
 * where the call's own error port leads, else where the errors of the workflow around it go.
 */
function connect(
  call: string,
  child: Document,
  trigger: string | null,
  own: ResolvedEdge[],
  catalogue: Catalogue,
  outer: readonly ResolvedEdge[],
  place: Place,
): readonly ResolvedEdge[] {
  const wired = own.filter((edge) => edge.from === call && edge.fromPort === 'error')
  const handlers = wired.length > 0 ? wired : outer
  for (let i = 0; i < own.length; i++) {
    const edge = own[i]
    if (edge?.to === call && trigger !== null) own[i] = { ...edge, to: `${call}/${trigger}` }
  }
  for (let i = own.length - 1; i >= 0; i--) if (own[i]?.from === call && own[i]?.fromPort === 'error') own.splice(i, 1)
  const wiredPorts = new Map<string, Set<string>>()
  for (const edge of child.edges) {
    const ports = wiredPorts.get(edge.from) ?? new Set()
    wiredPorts.set(edge.from, ports.add(edge.fromPort))
  }
  for (const [id, node] of Object.entries(child.nodes)) {
    const leaving = wiredPorts.get(id) ?? new Set()
    for (const fromPort of id === trigger ? passagePorts : outputsOf(node, catalogue, leaving))
      if (!leaving.has(fromPort)) own.push({ from: `${call}/${id}`, fromPort, to: call, toPort: 'in', place })
    if (id !== trigger && !leaving.has('error'))
      for (const handler of handlers) own.push({ ...handler, from: `${call}/${id}` })
  }
  return handlers
}

/**
 * The output ports of a node of a called workflow. One that cannot be read has a problem of its own; it counts as leading on, so that
 * nobody is told that nothing leads to what follows.
 */
function outputsOf(node: DocumentNode, catalogue: Catalogue, leaving: ReadonlySet<string>): readonly string[] {
  const definition = catalogue.find(node.type)
  if (definition !== null && typeof definition.outputs !== 'function') return definition.outputs
  const config = definition?.config.safeParse(node.config)
  if (typeof definition?.outputs === 'function' && config?.success === true) return definition.outputs(config.data)
  return leaving.size === 0 ? ['out'] : []
}
