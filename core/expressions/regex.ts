import { charge, tooLarge } from './fuel.ts'
import { limits } from './limits.ts'
import { analysePattern } from './pattern.ts'

const degrees = new WeakMap<RegExp, number>()

/** A regular expression of the language, with what is known about its worst case. Throws a SyntaxError for a bad one. */
export function regexOf(source: string, flags: string): RegExp {
  const regex = new RegExp(source, flags)
  const analysis = analysePattern(source, flags)
  degrees.set(regex, analysis.ok ? analysis.degree : Number.POSITIVE_INFINITY)
  return regex
}

/** True for a pattern that this language made and checked. */
export function isRegex(value: unknown): value is RegExp {
  return value instanceof RegExp && degrees.has(value)
}

/**
 * Pays for running a pattern on a text and makes it start at the beginning, as a literal in JavaScript does each time.
 * Throws `expression.too-large` when the text is longer than the pattern's worst case allows.
 */
export function readyRegex(regex: RegExp, text: string): RegExp {
  const degree = degrees.get(regex) ?? Number.POSITIVE_INFINITY
  const charsMax = limits.regexInputCharsMax[degree] ?? 0
  if (text.length > charsMax) tooLarge('The text that the regular expression is run on', charsMax)
  charge(32 + worstSteps(text.length, degree) / 8)
  regex.lastIndex = 0
  return regex
}

/** n^d / d!, the number of ways to place d ends in a text of n characters. */
function worstSteps(chars: number, degree: number): number {
  let steps = 1
  for (let i = 1; i <= degree; i++) steps = (steps * chars) / i
  return steps
}
