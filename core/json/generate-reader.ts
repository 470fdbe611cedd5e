import { isUtf8 } from 'node:buffer'
import type { JsonShape } from './json-shape.ts'

/** What a reader answers where a record has another shape. */
export const miss: unique symbol = Symbol('miss')

/** Reads one record: its bytes, the same bytes as text in Latin-1, and where in the bytes it begins and ends. */
export type ReadShape = (bytes: Buffer, text: string, start: number, end: number) => unknown

/**
 * Makes the reader of a shape: punctuation and keys are compared byte by byte, plain values are read where they stand, and the
 * record is built at once as the literal that it is. Numbers of up to 15 digits are exact as a whole number over a power of ten;
 * others, and texts that are not ASCII, are read by the functions below.
 */
export function generateReader(shape: JsonShape): ReadShape {
  const writer = new ReaderText()
  const value = writer.value(shape)
  const text = `"use strict";
return function readShape(b, s, start, end) {
let p = start
${writer.text}return p === end ? ${value} : miss
}`
  return new Function('miss', 'tens', 'place', 'readText', 'readNumber', text)(
    miss,
    tens,
    { at: 0 },
    readText,
    readNumber,
  ) as ReadShape
}

/** V8 copies a piece of a text up to 12 signs; a longer one would keep the whole record in memory for as long as it lives itself. */
const pieceMax = 13
const tens = Array.from({ length: 16 }, (_, power) => 10 ** power)
const quote = 0x22
const backslash = 0x5c

class ReaderText {
  text = ''
  #names = 0

  /** Writes what reads a value; answers the expression that is the value. */
  value(shape: JsonShape): string {
    if (shape.kind === 'scalar') return this.#scalar(shape.first)
    const name = this.#name('o')
    this.text += `let ${name} = null\nif (b[p] === 110) {\n${expected('null')}} else {\n`
    if (shape.kind === 'list') this.#list(name, shape)
    else {
      const fields = shape.fields.map((field) => {
        this.text += expected(field.before)
        return `${JSON.stringify(field.name)}: ${this.value(field.value)}`
      })
      this.text += `${expected(shape.close)}${name} = { ${fields.join(', ')} }\n`
    }
    this.text += '}\n'
    return name
  }

  #list(name: string, shape: JsonShape & { readonly kind: 'list' }): void {
    this.text += `${expected(shape.open)}${name} = []\n`
    if (shape.element === null) return
    this.text += `if (b[p] === 93) p++\nelse for (;;) {\n`
    const element = this.value(shape.element)
    this.text += `${name}.push(${element})
if (b[p] === 44) {
${expected(shape.between)}continue
}
${expected(shape.close)}break
}
`
  }

  #scalar(first: number): string {
    const name = this.#name('v')
    const forms = first === quote ? [text(name), number(name)] : [number(name), text(name)]
    this.text += `let ${name}
{
const c = b[p]
${forms.join('else ')}else if (c === 110) {
${expected('null')}${name} = null
} else if (c === 116) {
${expected('true')}${name} = true
} else if (c === 102) {
${expected('false')}${name} = false
} else return miss
}
`
    return name
  }

  #name(kind: string): string {
    this.#names += 1
    return `${kind}${this.#names}`
  }
}

function expected(bytes: readonly number[] | string): string {
  const wanted = typeof bytes === 'string' ? [...Buffer.from(bytes)] : bytes
  if (wanted.length === 0) return ''
  const differs = wanted.map((byte, index) => `b[${index === 0 ? 'p' : `p + ${index}`}] !== ${byte}`)
  return `if (${differs.join(' || ')}) return miss\np += ${wanted.length}\n`
}

const text = (name: string): string => `if (c === 34) {
let q = p + 1
let d = b[q]
while (d >= 32 && d < 127 && d !== 34 && d !== 92) d = b[++q]
if (d === 34) {
${name} = q - p <= ${pieceMax} ? s.substring(p + 1 - start, q - start) : b.toString('latin1', p + 1, q)
p = q + 1
} else {
${name} = readText(b, p, end, place)
if (${name} === miss) return miss
p = place.at
}
} `

const number = (name: string): string => `if (c >= 48 && c <= 57 || c === 45) {
let q = c === 45 ? p + 1 : p
const from = q
let d = b[q]
let n = 0
while (d >= 48 && d <= 57) {
n = n * 10 + (d - 48)
d = b[++q]
}
let digits = q - from
if (digits > 0 && (digits === 1 || b[from] !== 48)) {
if (d === 46) {
const dot = q
d = b[++q]
while (d >= 48 && d <= 57) {
n = n * 10 + (d - 48)
d = b[++q]
}
const places = q - dot - 1
digits += places
if (places === 0 || digits > 15) digits = 99
else n /= tens[places]
}
} else digits = 99
if (digits > 15 || d === 101 || d === 69 || c === 45 && n === 0) {
${name} = readNumber(s, p - start, place)
if (${name} === miss) return miss
p = start + place.at
} else {
${name} = c === 45 ? -n : n
p = q
}
} `

interface Place {
  at: number
}

/** A text with escapes or of other signs than ASCII, from its first quote on. */
function readText(bytes: Buffer, start: number, end: number, place: Place): string | typeof miss {
  let at = start + 1
  let isEscaped = false
  for (;;) {
    const byte = bytes[at]
    if (at >= end || byte === undefined || byte < 32) return miss
    if (byte === quote) break
    if (byte === backslash) {
      isEscaped = true
      at += 1
    }
    at += 1
  }
  place.at = at + 1
  if (isEscaped) return unescaped(bytes.subarray(start, at + 1))
  const found = bytes.toString('utf8', start + 1, at)
  return found.includes('\ufffd') && !isUtf8(bytes.subarray(start + 1, at)) ? miss : found
}

function unescaped(quoted: Buffer): string | typeof miss {
  if (!isUtf8(quoted)) return miss
  try {
    const found: unknown = JSON.parse(quoted.toString('utf8'))
    return typeof found === 'string' ? found : miss
  } catch {
    return miss
  }
}

const anyNumber = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y

function readNumber(text: string, at: number, place: Place): number | typeof miss {
  anyNumber.lastIndex = at
  const found = anyNumber.exec(text)
  if (found === null) return miss
  place.at = anyNumber.lastIndex
  return Number(found[0])
}
