import { parseExpression } from '../expressions/index.ts'
import type { Place, Problem } from '../problem.ts'
import { problem } from '../problem.ts'

export type Path = readonly (string | number)[]
/** The place of a path inside a node. */
export type PlaceAt = (path: Path, field?: string) => Place

/**
 * What a text of a document means where no expression is taken: itself. Braces in it would be used as they stand, which nobody wants
 * who writes an expression; who does want them writes them as text in quotes, which is the same in every field.
 */
export function plainText(
  text: string,
  path: Path,
  place: PlaceAt,
  problems: Problem[],
  remedy = remedyOfField,
): string {
  if (!holdsBraces(text)) return text
  const quoted = quotedText(text)
  if (quoted === null) problems.push(noExpression(text, path, place, remedy))
  return quoted ?? text
}

/** The same for a whole value that an expression field holds as a constant: it is an expression as a whole, or not at all. */
export function plainValue(value: unknown, path: Path, place: PlaceAt, problems: Problem[]): unknown {
  if (typeof value === 'string') return plainText(value, path, place, problems, remedyOfValue)
  if (Array.isArray(value)) return value.map((each, index) => plainValue(each, [...path, index], place, problems))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => {
      const at = [...path, key]
      return [plainText(key, at, place, problems, remedyOfValue), plainValue(each, at, place, problems)]
    }),
  )
}

/** Whether a text looks as if it held an expression. */
export function holdsBraces(text: unknown): text is string {
  if (typeof text !== 'string') return false
  const open = text.indexOf('{{')
  return open >= 0 && text.indexOf('}}', open + 2) >= 0
}

/** The problem of an expression where none is taken. */
export function noExpression(text: string, path: Path, place: PlaceAt, remedy = remedyOfField): Problem {
  const field = path.join('.')
  const shown = JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
  return problem('config.no-expression', place(path, field), `${field} takes no expression, but holds ${shown}`, remedy)
}

const remedyOfField =
  "Write a fixed value; where the braces are meant as text, write {{ '…' }} with that text in quotes."
const remedyOfValue =
  "Write the whole field as one expression, such as {{ { name: $json.name } }}; where the braces are meant as text, write {{ '…' }} with that text in quotes."

/** The text with braces that `{{ '…' }}` stands for, or null: what needs no quotes is not looked for behind them. */
function quotedText(text: string): string | null {
  const parsed = parseExpression(text, { nodes: [], upstream: [] })
  if (!parsed.ok || parsed.value.ir.op !== 'literal') return null
  const { value } = parsed.value.ir
  return holdsBraces(value) ? value : null
}
