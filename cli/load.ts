import { existsSync, readFileSync } from 'node:fs'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import type { Document } from '../core/document/document.ts'
import { parse } from '../core/document/parse.ts'
import type { Plan, PlanOptions } from '../core/document/plan.ts'
import { plan } from '../core/document/plan.ts'
import type { Problem, Result } from '../core/problem.ts'
import { formatProblem, problem } from '../core/problem.ts'
import { catalogue } from '../nodes.ts'

/** A document file as the CLI works with it. */
export interface Loaded {
  readonly path: string
  readonly document: Document
  readonly plan: Plan
  readonly warnings: readonly Problem[]
}

/** Reads, parses and plans a document file; sub-workflows are found relative to it. All problems at once. */
export function load(path: string): Result<Loaded> {
  const document = readDocument(path)
  if (!document.ok) return document
  const planned = plan(document.value, catalogue, { id: document.value.name, workflows: calledFrom(path) })
  if (!planned.ok) return planned
  return {
    ok: true,
    value: { path, document: document.value, plan: planned.value, warnings: planned.warnings },
    warnings: planned.warnings,
  }
}

/** Loads a document, or prints its problems, sets exit code 2 and answers null. Warnings are printed too. */
export function loadOrSay(path: string): Loaded | null {
  const result = load(path)
  const problems = result.ok ? result.value.warnings : result.problems
  for (const each of problems) console.error(problemLine(path, each))
  if (result.ok) return result.value
  process.exitCode = 2
  return null
}

/** `orders.yaml:3:14 error …`: a place that editors and terminals make a link of. */
export function problemLine(path: string, each: Problem): string {
  const called = each.place.document
  const file = called === undefined ? path : isAbsolute(called) ? called : join(dirname(path), called)
  return `${file}:${each.place.line === undefined ? ' ' : ''}${formatProblem(each)}`
}

/** Reads and parses a document file. */
export function readDocument(path: string): Result<Document> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : ''
    const why = code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'it is a folder' : 'it cannot be read'
    return {
      ok: false,
      problems: [
        problem(
          'document.unreadable',
          {},
          `the document cannot be read: ${why}`,
          'Give the path of a workflow document (YAML or JSON).',
        ),
      ],
    }
  }
  return parse(text)
}

/** Finds called documents by their paths, each relative to the document that calls; their names are relative to `main`, the outermost. */
export function calledFrom(main: string): PlanOptions['workflows'] {
  const folder = dirname(resolve(main))
  return (name, from) => {
    const path = resolve(dirname(from === null ? resolve(main) : join(folder, from)), name)
    return existsSync(path) ? { name: relative(folder, path), document: readDocument(path) } : null
  }
}
