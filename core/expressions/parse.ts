import type { Expression } from 'acorn'
import { parseExpressionAt } from 'acorn'
import type { Problem, Range, Result } from '../problem.ts'
import { problem, resultOf } from '../problem.ts'
import { finished, isPurePath } from './facts.ts'
import type { ExpressionIr, ExpressionScope, Ir } from './ir.ts'
import { irVersion } from './ir.ts'
import { limits } from './limits.ts'
import { Lowering } from './lower.ts'

/** True when a config string holds an expression and so is not plain text. */
export function containsExpression(text: string): boolean {
  return text.includes('{{')
}

/**
 * Parses a config string that holds `{{ … }}`, checks it and answers its IR. A `{{ }}` alone (but for white space around
 * it) keeps the type of its value; mixed text joins to a string. All problems come at once, each with its range in `text`.
 */
export function parseExpression(text: string, scope: ExpressionScope): Result<ExpressionIr> {
  if (text.length > limits.textCharsMax)
    return resultOf(empty(text), [
      tooLong(
        { start: 0, end: text.length },
        `The text has ${text.length} characters; at most ${limits.textCharsMax} are allowed.`,
      ),
    ])
  const lowering = new Lowering(scope)
  const parts: Ir[] = []
  let expressions = 0
  let onlySpace = true
  let position = 0
  for (;;) {
    const open = text.indexOf('{{', position)
    const plain = text.slice(position, open < 0 ? text.length : open)
    if (plain !== '') parts.push({ op: 'literal', value: plain })
    if (plain.trim() !== '') onlySpace = false
    if (open < 0) break
    expressions += 1
    if (expressions > limits.partsMax) {
      const message = `The text holds more than ${limits.partsMax} expressions.`
      lowering.problems.push(tooLong({ start: open, end: text.length }, message))
      break
    }
    const part = parsePart(text, open, lowering)
    parts.push(part.ir)
    position = part.end
  }
  const alone =
    expressions === 1 && onlySpace ? parts.find((part) => part.op !== 'literal' || !isSpace(part.value)) : undefined
  const ir = finished(alone ?? { op: 'text', parts })
  return resultOf(
    {
      version: irVersion,
      ir,
      source: text,
      roots: [...lowering.roots].sort(),
      envNames: [...lowering.envNames].sort(),
      varNames: [...lowering.varNames].sort(),
      pure: isPurePath(ir),
    },
    lowering.problems,
  )
}

/** Parses one `{{ … }}` that opens at `open`; the parser itself finds its end, so `}}` in a text literal does not. */
function parsePart(text: string, open: number, lowering: Lowering): { readonly ir: Ir; readonly end: number } {
  const start = open + 2
  const end = text.indexOf('}}', start)
  const failed = (each: Problem): { readonly ir: Ir; readonly end: number } => {
    lowering.problems.push(each)
    return { ir: { op: 'undefined' }, end: end < 0 ? text.length : end + 2 }
  }
  if (end < 0)
    return failed(syntax({ start: open, end: text.length }, 'The expression is not closed.', 'Close it with }}.'))
  if (text.slice(start, end).trim() === '')
    return failed(
      syntax(
        { start: open, end: end + 2 },
        'The expression is empty.',
        'Write a value such as $json.name between {{ and }}.',
      ),
    )
  // Cut off what cannot belong to it, so that neither a hostile text nor a long document makes the parser work for long.
  const source = text.slice(0, start + limits.expressionCharsMax + 3)
  let tree: Expression
  // Parentheses around the whole belong to no node of the tree, so its end is not that of what was read.
  let readUntil = start
  try {
    tree = parseExpressionAt(source, start, {
      ecmaVersion: 2025,
      sourceType: 'script',
      allowReserved: false,
      onToken: (token) => {
        readUntil = token.end
      },
    })
  } catch (error) {
    return failed(parserProblem(error, { start, end }, text.length > source.length && end >= source.length))
  }
  const close = skipSpace(text, readUntil)
  if (close - start > limits.expressionCharsMax)
    return failed(
      tooLong(
        { start, end: close },
        `The expression has ${close - start} characters; at most ${limits.expressionCharsMax} are allowed.`,
      ),
    )
  if (!text.startsWith('}}', close))
    return failed(
      syntax(
        { start: close, end: Math.max(close + 1, Math.min(text.length, end)) },
        `Unexpected ${JSON.stringify(text.slice(close, close + 1))} after the expression.`,
        'Write one JavaScript expression between {{ and }}, without a semicolon.',
      ),
    )
  return { ir: lowering.lower(tree), end: close + 2 }
}

function parserProblem(error: unknown, range: Range, cut: boolean): Problem {
  // The parser says so itself when it runs out of stack.
  if (error instanceof RangeError || (error instanceof Error && error.message.startsWith('Not enough stack')))
    return problem(
      'expression.too-deep',
      { range },
      `The expression is nested deeper than ${limits.depthMax} levels.`,
      'Split it over several fields, or move the work into a task of a pool node.',
    )
  if (cut) return tooLong(range, `The expression has more than ${limits.expressionCharsMax} characters.`)
  const at = error instanceof SyntaxError && 'pos' in error && typeof error.pos === 'number' ? error.pos : range.start
  const said = error instanceof Error ? error.message.replace(/\s*\(\d+:\d+\)$/, '') : 'Not an expression'
  const pattern = /regular expression/i.test(said)
  return problem(
    pattern ? 'expression.regex' : 'expression.syntax',
    { range: { start: at, end: Math.max(at + 1, range.end) } },
    `${said}.`,
    pattern
      ? 'Correct the regular expression.'
      : 'Write one JavaScript expression, such as $json.name or $json.total * 2.',
  )
}

function syntax(range: Range, message: string, remedy: string): Problem {
  return problem('expression.syntax', { range }, message, remedy)
}

function tooLong(range: Range, message: string): Problem {
  return problem(
    'expression.too-long',
    { range },
    message,
    'Split it over several fields, or move the work into a task of a pool node.',
  )
}

/** The next position that is neither white space nor a comment. */
function skipSpace(text: string, from: number): number {
  let position = from
  for (;;) {
    while (position < text.length && /\s/.test(text.charAt(position))) position += 1
    const close = text.startsWith('/*', position) ? text.indexOf('*/', position) : -1
    if (close < 0) return position
    position = close + 2
  }
}

function isSpace(value: string | number | boolean | null): boolean {
  return typeof value === 'string' && value.trim() === ''
}

function empty(text: string): ExpressionIr {
  const ir: Ir = { op: 'undefined' }
  return { version: irVersion, ir, source: text, roots: [], envNames: [], varNames: [], pure: false }
}
