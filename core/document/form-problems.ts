import type { z } from 'zod'
import type { Place, Problem } from '../problem.ts'
import { problem } from '../problem.ts'
import type { DocumentSource } from './document.ts'

const remedy = 'See docs/document-format.md for what is allowed here.'

/** The problem of a text that holds no document at all; null when it is an object, whose fields tell the rest. */
export function notADocument(raw: unknown): Problem | null {
  const start: Place = { range: { start: 0, end: 0 }, line: 1, column: 1 }
  const begin = 'Begin with `millrace: 1`, `name` and `nodes`; see docs/document-format.md.'
  if (raw === null || raw === undefined) return problem('document.empty', start, 'the document is empty', begin)
  if (typeof raw === 'object' && !Array.isArray(raw)) return null
  const kind = Array.isArray(raw) ? 'a list' : `the ${typeof raw} ${JSON.stringify(raw).slice(0, 80)}`
  return problem('document.invalid', start, `the document is ${kind}, not an object`, begin)
}

/** What the schema of documents says against one, in words, each with its place. */
export function formProblems(issue: z.core.$ZodIssue, raw: unknown, source: DocumentSource): readonly Problem[] {
  const path = pathOf(issue)
  if (issue.code === 'invalid_union') {
    // Of the forms that are allowed, one fits but for something inside it: that is what its author meant.
    const meant = issue.errors.find((each) => each.every((inner) => !isOther(inner)))
    if (meant !== undefined)
      return meant.flatMap((inner) => formProblems({ ...inner, path: [...issue.path, ...inner.path] }, raw, source))
  }
  const node = path[0] === 'nodes' && typeof path[1] === 'string' ? path[1] : undefined
  const field = (node === undefined ? path : path.slice(2)).join('.')
  const range = source.rangeOf(path)
  const place: Place = {
    node,
    field: field === '' ? undefined : field,
    ...(range === null ? {} : { range, ...source.positionOf(range.start) }),
  }
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) =>
      problem(
        'document.unknown-field',
        place,
        `there is no field ${JSON.stringify(key)} here`,
        'Remove it, or correct its name.',
      ),
    )
  if (issue.code === 'invalid_key') {
    const why = issue.issues.map((each) => each.message).join('; ')
    const text = `the name ${JSON.stringify(path.at(-1))} is not allowed: ${why}`
    return [problem('document.invalid', place, text, 'Choose another name, also where it is used.')]
  }
  const value = valueAt(raw, path)
  const last = path.at(-1)
  const what = typeof last === 'number' ? path.join('.') : (last ?? 'the document')
  if (value === undefined) return [problem('document.invalid', place, `${what} is missing`, `Add it. ${remedy}`)]
  const shown = JSON.stringify(value)?.slice(0, 80)
  return [problem('document.invalid', place, `${what} is ${shown}: ${issue.message}`, remedy)]
}

/** Whether the value is of another form than the one that the issue is about. */
function isOther(issue: z.core.$ZodIssue): boolean {
  return issue.path.length === 0 && issue.code !== 'unrecognized_keys' && issue.code !== 'too_big'
}

function pathOf(issue: z.core.$ZodIssue): readonly (string | number)[] {
  return issue.path.filter((part): part is string | number => typeof part !== 'symbol')
}

function valueAt(raw: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (at, part) => (typeof at === 'object' && at !== null ? Reflect.get(at, part) : undefined),
    raw,
  )
}
