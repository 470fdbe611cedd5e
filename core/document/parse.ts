import type { YAMLParseError, Document as YamlDocument } from 'yaml'
import { isAlias, isNode, isPair, isScalar, LineCounter, parseDocument, visit } from 'yaml'
import type { z } from 'zod'
import type { Place, Problem, Range, Result } from '../problem.ts'
import { problem } from '../problem.ts'
import type { Document, DocumentEdge, DocumentNode, DocumentSource, OnError } from './document.ts'
import { formProblems, notADocument } from './form-problems.ts'
import type { ReadablePart } from './readable-part.ts'
import { readablePart } from './readable-part.ts'
import { documentSchema } from './schema.ts'

export const documentCharactersMax = 2_000_000
export const documentDepthMax = 64

/**
 * Reads a document from YAML or JSON (which is YAML too). Only its form is checked here; node types and configs are the planner's.
 * Answers all problems at once, each with its line, column and range. Where parts of it are of a wrong form and the rest can be read,
 * it gives that rest, with the problems under `unread`; `plan` tells them with those that it finds.
 */
export function parse(text: string): Result<Document> {
  const tooMuch = checkSize(text)
  if (tooMuch !== null) return { ok: false, problems: [tooMuch] }
  const lines = new LineCounter()
  let yaml: YamlDocument.Parsed
  try {
    yaml = parseDocument(text, { lineCounter: lines, uniqueKeys: true, merge: false, strict: true, logLevel: 'error' })
  } catch (thrown) {
    return { ok: false, problems: [thrownProblem(thrown)] }
  }
  const source = sourceOf(text, yaml, lines)
  const syntax = yaml.errors.map((error) => syntaxProblem(error, lines))
  const forbidden = forbiddenParts(yaml, lines)
  if (syntax.length + forbidden.length > 0) return { ok: false, problems: [...syntax, ...forbidden] }
  const raw: unknown = yaml.toJS({ maxAliasCount: 0 })
  const none = notADocument(raw)
  if (none !== null) return { ok: false, problems: [none] }
  const parsed = documentSchema.safeParse(raw)
  if (parsed.success) return build(parsed.data, source, lines, null, [])
  const { issues } = parsed.error
  const problems = issues.flatMap((issue) => formProblems(issue, raw, source))
  const rest = readablePart(raw, issues)
  const read = documentSchema.safeParse(rest?.raw)
  return rest !== null && read.success ? build(read.data, source, lines, rest, problems) : { ok: false, problems }
}

/** The place of a range of the document's text, with line and column. */
export function locate(
  source: DocumentSource,
  range: Range | null,
  place: Omit<Place, 'range' | 'line' | 'column'>,
): Place {
  if (range === null || source.text === '') return place
  return { ...place, range, ...source.positionOf(range.start) }
}

function checkSize(text: string): Problem | null {
  if (text.length > documentCharactersMax)
    return problem(
      'document.too-large',
      {},
      `the document has ${text.length} characters, the limit is ${documentCharactersMax}`,
      'Split it into sub-workflows that a `call` node names.',
    )
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at)
    if (character === 0x5b || character === 0x7b) depth += 1
    else if (character === 0x5d || character === 0x7d) depth -= 1
    if (depth > documentDepthMax * 2) return tooDeep({ start: at, end: at + 1 })
  }
  for (const line of text.matchAll(/^[ -]{256,}/gm))
    return tooDeep({ start: line.index, end: line.index + line[0].length })
  return null
}

function tooDeep(range: Range): Problem {
  return problem(
    'document.too-deep',
    { range },
    `the document is nested more than ${documentDepthMax} levels deep`,
    'Flatten it, or move the inner part to a file that the workflow reads.',
  )
}

function syntaxProblem(error: YAMLParseError, lines: LineCounter): Problem {
  const place = placeOfRange({ start: error.pos[0], end: error.pos[1] }, lines)
  if (error.code === 'DUPLICATE_KEY')
    return problem('document.duplicate-key', place, 'the same key stands twice', 'Keep one of the two keys.')
  if (error.code === 'MULTIPLE_DOCS')
    return problem(
      'document.several',
      place,
      'a second document follows after `---`, and a file holds one',
      'Remove the `---`, or move what follows to a file of its own.',
    )
  const text = error.message.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '')
  return problem('document.syntax', place, text ?? 'cannot be read', 'Correct the YAML or JSON at this place.')
}

function thrownProblem(thrown: unknown): Problem {
  if (thrown instanceof RangeError) return tooDeep({ start: 0, end: 0 })
  return problem(
    'document.syntax',
    {},
    `the document cannot be read: ${String(thrown).slice(0, 200)}`,
    'Correct the YAML or JSON.',
  )
}

/** Keys that lead to a prototype, aliases (a small text can grow without bound by them), custom tags and too deep nesting. */
function forbiddenParts(yaml: YamlDocument.Parsed, lines: LineCounter): readonly Problem[] {
  const found: Problem[] = []
  visit(yaml, (_key, node, path) => {
    if (path.length > documentDepthMax * 2) {
      found.push(tooDeep(isNode(node) ? rangeOfNode(node) : { start: 0, end: 0 }))
      return visit.BREAK
    }
    if (isAlias(node) || (isNode(node) && 'anchor' in node && node.anchor !== undefined))
      found.push(
        problem(
          'document.alias',
          placeOfRange(rangeOfNode(node), lines),
          'anchors and aliases (&name, *name) are not allowed',
          'Write the value out, or put it into a variable.',
        ),
      )
    if (
      isPair(node) &&
      isScalar(node.key) &&
      (node.key.value === '__proto__' || node.key.value === 'constructor' || node.key.value === 'prototype')
    )
      found.push(
        problem(
          'document.forbidden-name',
          placeOfRange(rangeOfNode(node.key), lines),
          `the name ${JSON.stringify(node.key.value)} is not allowed`,
          'Choose another field name.',
        ),
      )
    if (isPair(node) && !isScalar(node.key))
      found.push(
        problem(
          'document.syntax',
          placeOfRange(rangeOfNode(node.key), lines),
          'a key must be plain text',
          'Use a plain name as the key.',
        ),
      )
    return undefined
  })
  return found
}

function rangeOfNode(node: unknown): Range {
  if (isNode(node) && node.range) return { start: node.range[0], end: node.range[1] }
  return { start: 0, end: 0 }
}

function placeOfRange(range: Range, lines: LineCounter): Place {
  const { line, col } = lines.linePos(range.start)
  return { range, line, column: col }
}

function sourceOf(text: string, yaml: YamlDocument.Parsed, lines: LineCounter): DocumentSource {
  return {
    text,
    positionOf(offset) {
      const { line, col } = lines.linePos(offset)
      return { line, column: col }
    },
    rangeOf(path) {
      for (let length = path.length; length >= 0; length--) {
        const node = length === 0 ? yaml.contents : yaml.getIn(path.slice(0, length), true)
        if (isNode(node) && node.range) return { start: node.range[0], end: node.range[1] }
      }
      return null
    },
    offsetIn(path, index) {
      const node = yaml.getIn(path, true)
      if (!isScalar(node) || typeof node.value !== 'string' || !node.range) return null
      const written = text.slice(node.range[0], node.range[1])
      const lead = written.indexOf(node.value)
      return lead < 0 ? null : node.range[0] + lead + index
    },
  }
}

function build(
  raw: z.output<typeof documentSchema>,
  source: DocumentSource,
  lines: LineCounter,
  rest: ReadablePart | null,
  known: readonly Problem[],
): Result<Document> {
  const problems: Problem[] = [...known]
  let hasAllEdges = rest?.hasAllEdges !== false
  const edges: DocumentEdge[] = []
  raw.edges.forEach((edge, position) => {
    if (rest?.edges.has(position)) return
    const read = typeof edge === 'string' ? readEdges(edge) : [{ fromPort: 'out', toPort: 'in', ...edge }]
    if (read === null) {
      hasAllEdges = false
      const range = source.rangeOf(['edges', position])
      problems.push(
        problem(
          'document.edge-syntax',
          { field: `edges.${position}`, ...(range === null ? {} : placeOfRange(range, lines)) },
          `${JSON.stringify(edge)} is not an edge`,
          'Write `from -> to`, or `from.port -> to.port`.',
        ),
      )
    } else for (const each of read) edges.push({ ...each, item: position })
  })
  const nodes: Record<string, DocumentNode> = {}
  for (const id of rest?.nodes ?? [])
    nodes[id] = { type: '', label: null, config: {}, onError: null, into: 'replace', position: null }
  for (const [id, node] of Object.entries(raw.nodes))
    nodes[id] = {
      type: node.type,
      label: node.label ?? null,
      config: node.config,
      onError: node.onError === undefined ? null : readOnError(node.onError),
      into:
        node.into === undefined
          ? 'replace'
          : node.into === 'replace' || node.into === 'merge'
            ? node.into
            : { field: node.into },
      position: node.position ?? null,
    }
  return {
    ok: true,
    warnings: [],
    value: {
      millrace: 1,
      name: raw.name,
      description: raw.description,
      settings: raw.settings,
      nodes,
      edges,
      tests: raw.tests,
      ...(problems.length > 0 ? { unread: { problems, hasAllEdges } } : {}),
      source,
    },
  }
}

/** `a -> b`, `a.port -> b.port`, and chains `a -> b -> c`; null when it is none of them. */
function readEdges(text: string): readonly DocumentEdge[] | null {
  const ends = text.split('->').map((part) => part.trim().match(/^([A-Za-z0-9_-]+)(?:\.([A-Za-z0-9_-]+))?$/))
  if (ends.length < 2 || ends.length > 100) return null
  const edges: DocumentEdge[] = []
  for (let i = 0; i + 1 < ends.length; i++) {
    const from = ends[i]
    const to = ends[i + 1]
    if (!from?.[1] || !to?.[1]) return null
    // In the middle of a chain a port names where the message leaves; the last one names where it arrives.
    const last = i + 2 === ends.length
    edges.push({ from: from[1], fromPort: from[2] ?? 'out', to: to[1], toPort: last ? (to[2] ?? 'in') : 'in' })
  }
  return edges
}

type RawOnError = NonNullable<z.output<typeof documentSchema>['nodes'][string]['onError']>

function readOnError(raw: RawOnError): OnError {
  if (typeof raw === 'string') return { kind: raw }
  return { kind: 'retry', ...raw.retry }
}
