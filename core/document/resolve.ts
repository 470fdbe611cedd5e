import type { Catalogue } from '../catalogue.ts'
import type { AnyDefinition, Expression } from '../define.ts'
import { parseExpression } from '../expressions/index.ts'
import type { ExpressionScope } from '../expressions/ir.ts'
import { distanceOf } from '../nearest.ts'
import type { Place, Problem } from '../problem.ts'
import { problem, warning } from '../problem.ts'
import { checkDelivery } from './delivery.ts'
import type { Document } from './document.ts'
import { checkGraph } from './graph.ts'
import { checkHandling } from './handling.ts'
import { inlineCalls } from './inline-calls.ts'
import { locate } from './parse.ts'
import type { Path, PlaceAt } from './plain-value.ts'
import { holdsBraces, noExpression, plainText, plainValue } from './plain-value.ts'
import type { GraphNode, PlanOptions, ResolvedEdge, ResolvedNode } from './resolved.ts'

/** Nodes in the order of the data, edges between them, and everything that is wrong. */
export interface Resolved {
  readonly nodes: readonly ResolvedNode[]
  readonly edges: readonly ResolvedEdge[]
  readonly problems: readonly Problem[]
}

/** Finds node types, parses configs and expressions, puts sub-workflows in place of their calls, and checks the graph. */
export function resolve(document: Document, catalogue: Catalogue, options: PlanOptions): Resolved {
  const problems: Problem[] = []
  const inlined = inlineCalls(document, catalogue, options, problems)
  const nodes = new Map<string, ResolvedNode>()
  const shapes = new Map<string, GraphNode>()
  for (const part of inlined.parts) {
    for (const each of part.document.unread?.problems ?? [])
      problems.push(part.name === undefined ? each : { ...each, place: { ...each.place, document: part.name } })
    const all = Object.entries(part.document.nodes).map(([id, node]) => ({ id, label: node.label ?? id }))
    for (const [id, node] of Object.entries(part.document.nodes)) {
      const place: PlaceAt = (path, field) =>
        locate(part.document.source, part.document.source.rangeOf(['nodes', id, ...path]), {
          document: part.name,
          node: part.prefix + id,
          field,
        })
      const shape = { id: part.prefix + id, place: place([]) }
      const definition = part.stands.get(id) ?? catalogue.find(node.type)
      if (definition === null) {
        if (node.type !== '') problems.push(unknownType(node.type, catalogue, place(['type'], 'type')))
        shapes.set(shape.id, { ...shape, definition: null, outputs: null })
        continue
      }
      if (!node.type.includes('@') && !part.stands.has(id))
        problems.push(
          warning(
            'document.version-not-pinned',
            place(['type'], 'type'),
            `${node.type} has no version`,
            `Write ${definition.name}@${definition.version}, so that a newer version cannot change what it does.`,
          ),
        )
      if (!part.stands.has(id)) checkHandling(node, definition, (field) => place([field], field), problems)
      const upstream = [...new Set(part.document.edges.filter((edge) => edge.to === id).map((edge) => edge.from))]
      const scope: ExpressionScope = {
        nodes: all,
        upstream: upstream.map((from) => ({ id: from, label: part.document.nodes[from]?.label ?? from })),
      }
      const config = part.stands.has(id)
        ? {}
        : readConfig(definition, node.config, scope, part.document, id, place, problems)
      if (config === undefined) {
        const outputs = typeof definition.outputs === 'function' ? null : definition.outputs
        shapes.set(shape.id, { ...shape, definition, outputs })
        continue
      }
      const outputs = typeof definition.outputs === 'function' ? definition.outputs(config) : definition.outputs
      const resolved: ResolvedNode = {
        ...shape,
        label: node.label ?? id,
        definition,
        config,
        into:
          typeof node.into === 'string' ? node.into : { field: plainText(node.into.field, ['into'], place, problems) },
        onError: node.onError ?? { kind: 'route' },
        outputs,
      }
      nodes.set(shape.id, resolved)
      shapes.set(shape.id, resolved)
    }
  }
  const hasAllEdges = inlined.parts.every((part) => part.document.unread?.hasAllEdges !== false)
  const order = checkGraph(shapes, inlined.edges, hasAllEdges, document, problems)
  const graph = order.flatMap((id) => nodes.get(id) ?? [])
  checkDelivery(graph, document, problems)
  return { nodes: graph, edges: inlined.edges, problems }
}

function unknownType(type: string, catalogue: Catalogue, place: Place): Problem {
  const near = catalogue.near(type)
  return problem(
    'document.unknown-node',
    place,
    `there is no node type ${JSON.stringify(type.slice(0, 128))}`,
    near.length > 0 ? `Did you mean ${near.join(' or ')}?` : 'Run `millrace nodes` for all of them.',
  )
}

/** Parses a config by its schema, then the expressions in it. Undefined when it could not be read at all. */
function readConfig(
  definition: AnyDefinition,
  raw: Readonly<Record<string, unknown>>,
  scope: ExpressionScope,
  document: Document,
  id: string,
  place: PlaceAt,
  problems: Problem[],
): unknown {
  const parsed = definition.config.safeParse(raw)
  if (!parsed.success) {
    for (const issue of parsed.error.issues) {
      const path = issue.path.filter((part): part is string | number => typeof part !== 'symbol')
      if (issue.code === 'unrecognized_keys') {
        for (const key of issue.keys)
          problems.push(
            unknownField(key, raw, definition, place(['config', ...path, key], ['config', ...path, key].join('.'))),
          )
        continue
      }
      const value = path.reduce<unknown>(
        (at, part) => (typeof at === 'object' && at !== null ? Reflect.get(at, part) : undefined),
        raw,
      )
      // What a node says of its own about braces says more.
      if (issue.code !== 'custom' && holdsBraces(value)) {
        problems.push(noExpression(value, ['config', ...path], place))
        continue
      }
      const field = ['config', ...path].join('.')
      problems.push(
        value === undefined
          ? problem(
              'config.missing',
              place(['config', ...path], field),
              `${field} is missing`,
              `Add it; see \`millrace nodes ${definition.name}\`.`,
            )
          : problem(
              'config.invalid',
              place(['config', ...path], field),
              `${field} is ${JSON.stringify(value)?.slice(0, 80)}: ${issue.message}`,
              `Correct it; see \`millrace nodes ${definition.name}\`.`,
            ),
      )
    }
    return undefined
  }
  const before = problems.length
  const config = withExpressions(parsed.data, scope, document, id, ['config'], place, problems)
  if (problems.length === before && definition.check !== undefined)
    for (const each of definition.check(config))
      problems.push(
        problem(
          'config.invalid',
          place(['config', ...each.field.split('.')], `config.${each.field}`),
          each.message,
          each.remedy,
        ),
      )
  return config
}

function unknownField(
  key: string,
  raw: Readonly<Record<string, unknown>>,
  definition: AnyDefinition,
  place: Place,
): Problem {
  const shape: unknown = Reflect.get(definition.config, 'shape')
  const known = typeof shape === 'object' && shape !== null ? Object.keys(shape) : []
  const near = known.filter((name) => !Object.hasOwn(raw, name) && distanceOf(name, key) <= 3)
  return problem(
    'config.unknown-field',
    place,
    `${definition.name} has no field ${JSON.stringify(key)}`,
    near.length > 0 ? `Did you mean ${near[0]}?` : `Remove it; see \`millrace nodes ${definition.name}\`.`,
  )
}

function withExpressions(
  value: unknown,
  scope: ExpressionScope,
  document: Document,
  id: string,
  path: Path,
  place: PlaceAt,
  problems: Problem[],
): unknown {
  if (isExpression(value))
    return value.text === null
      ? { ...value, constant: plainValue(value.constant, path, place, problems) }
      : parseField(value, value.text, scope, document, id, path, place, problems)
  if (typeof value === 'string') return plainText(value, path, place, problems)
  if (Array.isArray(value))
    return value.map((each, index) => withExpressions(each, scope, document, id, [...path, index], place, problems))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      plainText(key, [...path, key], place, problems),
      withExpressions(each, scope, document, id, [...path, key], place, problems),
    ]),
  )
}

const upstreamCodes = ['expression.not-upstream', 'expression.several-upstream']

function parseField(
  field: Expression<unknown>,
  text: string,
  scope: ExpressionScope,
  document: Document,
  id: string,
  path: Path,
  place: PlaceAt,
  problems: Problem[],
): Expression<unknown> {
  const parsed = parseExpression(text, scope)
  if (!parsed.ok) {
    for (const each of parsed.problems) {
      // An edge that could not be read may be the one that a reference goes back along.
      if (document.unread?.hasAllEdges === false && upstreamCodes.includes(each.code)) continue
      const start =
        each.place.range === undefined ? null : document.source.offsetIn(['nodes', id, ...path], each.place.range.start)
      const at = place(path, path.join('.'))
      const exact =
        start === null || each.place.range === undefined
          ? at
          : locate(
              document.source,
              { start, end: start + each.place.range.end - each.place.range.start },
              { document: at.document, node: at.node, field: at.field },
            )
      problems.push({ ...each, place: exact })
    }
    return field
  }
  const messageRoots = parsed.value.roots.filter((root) => !['env', 'vars', 'workflow'].includes(root))
  if (field.bound === 'start' && messageRoots.length > 0)
    problems.push(
      problem(
        'expression.not-known-at-start',
        place(path, path.join('.')),
        `$${messageRoots.join(', $')} is not known when the workflow starts`,
        'Use only $env, $vars and $workflow here.',
      ),
    )
  return { ...field, ir: parsed.value }
}

function isExpression(value: unknown): value is Expression<unknown> {
  return typeof value === 'object' && value !== null && '$expression' in value && value.$expression === 1
}
