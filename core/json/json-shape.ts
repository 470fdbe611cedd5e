/** What records of one form have in common: everything but their texts, numbers and other plain values. Punctuation stands there as it was written, blanks included. */
export type JsonShape =
  | { readonly kind: 'scalar'; readonly first: number }
  | { readonly kind: 'object'; readonly fields: readonly ShapedField[]; readonly close: readonly number[] }
  | {
      readonly kind: 'list'
      readonly open: readonly number[]
      /** What each element is like; null where the list was empty. */
      readonly element: JsonShape | null
      readonly between: readonly number[]
      readonly close: readonly number[]
    }

export interface ShapedField {
  readonly name: string
  /** The bytes before the value: bracket or comma, key and colon. */
  readonly before: readonly number[]
  readonly value: JsonShape
}

const depthMax = 12
const valuesMax = 128

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const colon = 0x3a
const openBracket = 0x5b
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/** The shape of a record that is known to be JSON; null where code for it would be too long, or where keys are such that the last one wins. */
export function shapeOf(bytes: Uint8Array): JsonShape | null {
  const walk = new Walk(bytes)
  const shape = walk.value(0)
  return shape === null || shape.kind === 'scalar' || walk.at !== bytes.length ? null : shape
}

class Walk {
  at = 0
  readonly #bytes: Uint8Array
  #values = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  value(depth: number): JsonShape | null {
    this.#values += 1
    if (depth > depthMax || this.#values > valuesMax) return null
    const first = this.#bytes[this.at] ?? 0
    if (first === openBrace) return this.#object(depth)
    if (first === openBracket) return this.#list(depth)
    this.#skipScalar()
    return { kind: 'scalar', first }
  }

  #object(depth: number): JsonShape | null {
    const fields: ShapedField[] = []
    const names = new Set<string>(['__proto__'])
    let from = this.at
    this.at += 1
    for (;;) {
      this.#skipBlanks()
      if (this.#bytes[this.at] === closeBrace) {
        this.at += 1
        return { kind: 'object', fields, close: this.#since(from) }
      }
      if (this.#bytes[this.at] === comma) {
        this.at += 1
        this.#skipBlanks()
      }
      const name = this.#key()
      if (names.has(name)) return null
      names.add(name)
      this.#skipBlanks()
      this.at += this.#bytes[this.at] === colon ? 1 : 0
      this.#skipBlanks()
      const before = this.#since(from)
      const value = this.value(depth + 1)
      if (value === null) return null
      fields.push({ name, before, value })
      from = this.at
    }
  }

  #list(depth: number): JsonShape | null {
    let from = this.at
    this.at += 1
    this.#skipBlanks()
    if (this.#bytes[this.at] === closeBracket) {
      this.at += 1
      return { kind: 'list', open: this.#since(from), element: null, between: [], close: [] }
    }
    const open = this.#since(from)
    const element = this.value(depth + 1)
    let between: readonly number[] = [comma]
    for (let count = 1; ; count += 1) {
      from = this.at
      this.#skipBlanks()
      if (this.#bytes[this.at] === closeBracket) {
        this.at += 1
        return element === null ? null : { kind: 'list', open, element, between, close: this.#since(from) }
      }
      this.at += 1
      this.#skipBlanks()
      if (count === 1) between = this.#since(from)
      // A blank before the comma could be one before the bracket.
      if (between[0] !== comma) return null
      // Further elements only move us on: those that differ from the first show when the shape is tried.
      if (this.value(depth + 1) === null) return null
    }
  }

  #key(): string {
    const from = this.at
    this.#skipScalar()
    const text: unknown = JSON.parse(Buffer.from(this.#bytes.subarray(from, this.at)).toString('utf8'))
    return String(text)
  }

  #skipScalar(): void {
    const bytes = this.#bytes
    if (bytes[this.at] !== quote) {
      while (this.at < bytes.length && !endsScalar(bytes[this.at]!)) this.at += 1
      return
    }
    this.at += 1
    while (this.at < bytes.length && bytes[this.at] !== quote) this.at += bytes[this.at] === backslash ? 2 : 1
    this.at += 1
  }

  #skipBlanks(): void {
    while (isBlank(this.#bytes[this.at] ?? 0)) this.at += 1
  }

  #since(from: number): readonly number[] {
    return [...this.#bytes.subarray(from, this.at)]
  }
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function endsScalar(byte: number): boolean {
  return byte === comma || byte === closeBrace || byte === closeBracket || isBlank(byte)
}
