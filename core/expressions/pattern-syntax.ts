import type { CharSet } from './pattern-set.ts'
import { allChars, bothCases, complement, digits, lineEnds, spaceChars, union, wordChars } from './pattern-set.ts'

/** A regular expression, as far as its running time is concerned. */
export type PatternNode =
  | { readonly kind: 'chars'; readonly chars: CharSet }
  /** Something of no width: `^` (start), `$`, `\b`. */
  | { readonly kind: 'assertion'; readonly start: boolean }
  | { readonly kind: 'look'; readonly body: PatternNode }
  | { readonly kind: 'sequence'; readonly items: readonly PatternNode[] }
  | { readonly kind: 'choice'; readonly branches: readonly PatternNode[] }
  | { readonly kind: 'repeat'; readonly body: PatternNode; readonly min: number; readonly max: number }

/** A form that the language leaves out. Its message is the problem's. */
export class PatternRefused extends Error {}

/** Parses a pattern that is known to be valid JavaScript. Throws PatternRefused for forms that the language leaves out. */
export function parsePattern(source: string, flags: string): PatternNode {
  const reader = new Reader(source, flags.includes('i'), flags.includes('s'), flags.includes('u'))
  const tree = reader.choice()
  if (!reader.atEnd()) throw new PatternRefused('The regular expression could not be read')
  return tree
}

class Reader {
  private position = 0
  private readonly source: string
  private readonly ignoreCase: boolean
  private readonly dotAll: boolean
  private readonly unicode: boolean

  constructor(source: string, ignoreCase: boolean, dotAll: boolean, unicode: boolean) {
    this.source = source
    this.ignoreCase = ignoreCase
    this.dotAll = dotAll
    this.unicode = unicode
  }

  atEnd(): boolean {
    return this.position >= this.source.length
  }

  choice(): PatternNode {
    const branches = [this.sequence()]
    while (this.take('|')) branches.push(this.sequence())
    return branches.length === 1 && branches[0] !== undefined ? branches[0] : { kind: 'choice', branches }
  }

  private sequence(): PatternNode {
    const items: PatternNode[] = []
    while (!this.atEnd() && this.peek() !== '|' && this.peek() !== ')') items.push(this.repeated(this.atom()))
    return { kind: 'sequence', items }
  }

  private repeated(body: PatternNode): PatternNode {
    const bounds = this.bounds()
    if (bounds === null) return body
    this.take('?')
    return { kind: 'repeat', body, min: bounds[0], max: bounds[1] }
  }

  private bounds(): readonly [number, number] | null {
    if (this.take('*')) return [0, Number.POSITIVE_INFINITY]
    if (this.take('+')) return [1, Number.POSITIVE_INFINITY]
    if (this.take('?')) return [0, 1]
    const found = /^\{(\d+)(?:(,)(\d*))?\}/.exec(this.source.slice(this.position))
    if (found === null) return null
    this.position += found[0].length
    const min = Number(found[1])
    if (found[2] === undefined) return [min, min]
    return [min, found[3] === '' ? Number.POSITIVE_INFINITY : Number(found[3])]
  }

  private atom(): PatternNode {
    if (this.take('^')) return { kind: 'assertion', start: true }
    if (this.take('$')) return { kind: 'assertion', start: false }
    if (this.take('.')) return this.chars(this.dotAll ? allChars : complement(lineEnds))
    if (this.take('(')) return this.group()
    if (this.take('[')) return this.chars(this.set())
    if (this.take('\\')) return this.escapeAtom()
    return this.chars(single(this.character()))
  }

  private group(): PatternNode {
    const look = ['?=', '?!', '?<=', '?<!'].some((start) => this.take(start))
    if (!look && !this.take('?:') && this.take('?')) {
      if (!this.take('<')) throw new PatternRefused('The regular expression changes its flags inside')
      while (!this.atEnd() && !this.take('>')) this.position += 1
    }
    const body = this.choice()
    this.take(')')
    return look ? { kind: 'look', body } : body
  }

  private escapeAtom(): PatternNode {
    const next = this.peek()
    if (next === 'b' || next === 'B') {
      this.position += 1
      return { kind: 'assertion', start: false }
    }
    if (/[1-9]/.test(next) || (next === 'k' && this.source.includes('(?<')))
      throw new PatternRefused('The regular expression refers back to a group')
    return this.chars(this.escape())
  }

  /** What stands after a backslash, in a set or outside. */
  private escape(): CharSet {
    const name = this.character()
    switch (name) {
      case 100:
        return digits
      case 68:
        return complement(digits)
      case 119:
        return wordChars
      case 87:
        return complement(wordChars)
      case 115:
        return spaceChars
      case 83:
        return complement(spaceChars)
      case 112:
      case 80: {
        if (!this.unicode) return single(name)
        while (!this.atEnd() && !this.take('}')) this.position += 1
        return allChars
      }
      default:
        return single(this.escapedCharacter(name))
    }
  }

  private escapedCharacter(name: number): number {
    const letter = String.fromCodePoint(name)
    const control = 'tnvfr'.indexOf(letter)
    if (control >= 0) return [9, 10, 11, 12, 13][control] ?? name
    const rest = this.source.slice(this.position)
    const code =
      letter === 'x'
        ? /^([0-9a-f]{2})/i.exec(rest)
        : letter === 'u'
          ? (/^([0-9a-f]{4})/i.exec(rest) ?? /^\{([0-9a-f]+)\}/i.exec(rest))
          : null
    if (code !== null) {
      this.position += code[0].length
      return Number.parseInt(code[1] ?? '0', 16)
    }
    if (letter === 'c' && /^[a-z]/i.test(rest)) return this.character() % 32
    return letter === '0' ? 0 : name
  }

  private set(): CharSet {
    const negated = this.take('^')
    let result: CharSet = []
    while (!this.atEnd() && !this.take(']')) {
      const from = this.member()
      if (this.peek() === '-' && this.source[this.position + 1] !== ']' && this.position + 1 < this.source.length) {
        this.position += 1
        const to = this.member()
        const start = from.length === 1 && from[0]?.[0] === from[0]?.[1] ? from[0]?.[0] : undefined
        const end = to.length === 1 && to[0]?.[0] === to[0]?.[1] ? to[0]?.[0] : undefined
        // Without the flag u, `[\w-a]` is three members.
        result =
          start === undefined || end === undefined
            ? union(union(result, from), union(to, single(45)))
            : union(result, [[start, end]])
      } else result = union(result, from)
    }
    const cased = this.ignoreCase ? bothCases(result) : result
    return negated ? complement(cased) : cased
  }

  private member(): CharSet {
    if (!this.take('\\')) return single(this.character())
    if (this.take('b')) return single(8)
    return this.escape()
  }

  private chars(set: CharSet): PatternNode {
    return { kind: 'chars', chars: this.ignoreCase ? bothCases(set) : set }
  }

  /** Reads a character: a code point with the flag u, else a code unit. */
  private character(): number {
    const code = (this.unicode ? this.source.codePointAt(this.position) : this.source.charCodeAt(this.position)) ?? 0
    this.position += code > 0xffff ? 2 : 1
    return code
  }

  private peek(): string {
    return this.source.charAt(this.position)
  }

  private take(text: string): boolean {
    if (!this.source.startsWith(text, this.position)) return false
    this.position += text.length
    return true
  }
}

function single(code: number): CharSet {
  return [[code, code]]
}
