import { limits } from './limits.ts'
import type { CharSet } from './pattern-set.ts'
import { allChars, overlaps, union } from './pattern-set.ts'
import type { PatternNode } from './pattern-syntax.ts'
import { PatternRefused, parsePattern } from './pattern-syntax.ts'

export type PatternAnalysis =
  /** The worst case grows with the text's length to this power. */
  | { readonly ok: true; readonly degree: number }
  | { readonly ok: false; readonly message: string; readonly remedy: string }

/**
 * Says how long a backtracking matcher may take for a pattern. Refused are the forms that can take exponential time:
 * repetition inside repetition, and choices inside a repetition that can begin alike. What is left is polynomial, and
 * its degree decides how long a text it may run on. The rules are those of one-unambiguous expressions
 * (Brüggemann-Klein and Wood, 1998), applied to what a repetition may be followed by.
 */
export function analysePattern(source: string, flags: string): PatternAnalysis {
  if (source.length > limits.regexCharsMax)
    return no(`The regular expression has ${source.length} characters; at most ${limits.regexCharsMax} are allowed`)
  if (/[^dgimsuy]/.test(flags))
    return no(`The regular expression has the flags ${flags}; d, g, i, m, s, u and y are allowed`)
  try {
    const tree = parsePattern(source, flags)
    const state: State = { choices: 1 }
    const degree = cost(tree, { chars: [], ends: true }, 0, false, state)
    if (state.choices > choicesMax) return no('The regular expression has too many choices that can begin alike')
    const total = degree + (isAnchored(tree, flags) ? 0 : 1)
    if (total >= limits.regexInputCharsMax.length)
      return no('The regular expression has too many repetitions that can match the same characters')
    return { ok: true, degree: total }
  } catch (error) {
    if (error instanceof PatternRefused) return no(error.message)
    throw error
  }
}

function no(message: string): PatternAnalysis {
  return {
    ok: false,
    message,
    remedy:
      'Make each repetition end at a character that it cannot match itself, use split or indexOf, or move the work into a task of a pool node.',
  }
}

/** Ways to match the same text that a pattern without repetition may have. */
const choicesMax = 256
/** A repetition up to this count is as good as written out. */
const smallCount = 10

interface State {
  choices: number
}

/** What may come next: characters, or the end of the pattern. */
interface Follow {
  readonly chars: CharSet
  readonly ends: boolean
}

/**
 * The degree of `node` and what follows it, whose own degree is `rest`. `looping` is true inside something that repeats,
 * where nothing may be ambiguous.
 */
function cost(node: PatternNode, follow: Follow, rest: number, looping: boolean, state: State): number {
  switch (node.kind) {
    case 'chars':
    case 'assertion':
      return rest
    case 'look': {
      if (looping && hasRepeat(node.body))
        throw new PatternRefused('The regular expression looks ahead or behind inside a repetition')
      // What a look found is never tried again, so its work adds to the rest instead of multiplying it.
      return Math.max(rest, cost(node.body, { chars: allChars, ends: true }, 0, false, state))
    }
    case 'sequence': {
      let degree = rest
      let next = follow
      for (const item of node.items.toReversed()) {
        degree = cost(item, next, degree, looping, state)
        next = firstOf(item, next)
      }
      return degree
    }
    case 'choice': {
      const firsts = node.branches.map((branch) => firstOf(branch, follow).chars)
      const alike = firsts.some((first, index) => firsts.some((other, at) => at < index && overlaps(first, other)))
      if (alike && looping)
        throw new PatternRefused('The regular expression repeats a choice whose branches can begin alike')
      if (alike) state.choices *= node.branches.length
      return Math.max(...node.branches.map((branch) => cost(branch, follow, rest, looping, state)))
    }
    case 'repeat':
      return repeatCost(node, follow, rest, looping, state)
  }
}

function repeatCost(
  node: Extract<PatternNode, { kind: 'repeat' }>,
  follow: Follow,
  rest: number,
  looping: boolean,
  state: State,
): number {
  const { body, min, max } = node
  const first = firstOf(body, { chars: [], ends: false })
  const large = max > smallCount
  if (large && hasRepeat(body, smallCount))
    throw new PatternRefused('The regular expression has a repetition inside a repetition')
  // A body that can be empty takes no turn in JavaScript, but the ways to split the text between turns are many.
  const inside: Follow = max > 1 ? { chars: union(first.chars, follow.chars), ends: follow.ends } : follow
  if (max > 1 && isNullable(body))
    throw new PatternRefused('The regular expression repeats something that can be empty')
  const ambiguous = min !== max && overlaps(first.chars, follow.chars)
  if (ambiguous && looping)
    throw new PatternRefused('The regular expression repeats something that can end in several places')
  const inner = cost(body, inside, rest, looping || max > 1, state)
  if (large && min !== max) return ambiguous ? 1 + Math.max(inner, rest) : Math.max(1, inner, rest)
  if (ambiguous) state.choices *= Math.min(max, smallCount) - min + 1
  return Math.max(inner, rest, max > 100 ? 1 : 0)
}

/** The characters that a match of `node` and what follows it can begin with. */
function firstOf(node: PatternNode, follow: Follow): Follow {
  switch (node.kind) {
    case 'chars':
      return { chars: node.chars, ends: false }
    case 'assertion':
    case 'look':
      return follow
    case 'sequence':
      return node.items.reduceRight((next, item) => firstOf(item, next), follow)
    case 'choice':
      return node.branches
        .map((branch) => firstOf(branch, follow))
        .reduce((all, each) => ({ chars: union(all.chars, each.chars), ends: all.ends || each.ends }))
    case 'repeat': {
      const first = firstOf(node.body, follow)
      return node.min > 0 ? first : { chars: union(first.chars, follow.chars), ends: first.ends || follow.ends }
    }
  }
}

function isNullable(node: PatternNode): boolean {
  return firstOf(node, { chars: [], ends: true }).ends
}

function hasRepeat(node: PatternNode, above = 1): boolean {
  switch (node.kind) {
    case 'chars':
    case 'assertion':
      return false
    case 'look':
      return hasRepeat(node.body, above)
    case 'sequence':
      return node.items.some((item) => hasRepeat(item, above))
    case 'choice':
      return node.branches.some((branch) => hasRepeat(branch, above))
    case 'repeat':
      return node.max > above || hasRepeat(node.body, above)
  }
}

/** True when a match can begin at one place only. */
function isAnchored(node: PatternNode, flags: string): boolean {
  if (flags.includes('y')) return true
  if (flags.includes('m')) return false
  if (node.kind === 'sequence') return node.items[0] !== undefined && isAnchored(node.items[0], flags)
  if (node.kind === 'choice') return node.branches.every((branch) => isAnchored(branch, flags))
  return node.kind === 'assertion' && node.start
}
