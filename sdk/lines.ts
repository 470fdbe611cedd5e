import { MillraceError } from './errors.ts'

/** A line of an answer that may be read; a thumbnail in base64 is some tens of kilobytes. */
const lineCharsMax = 64 * 1024 * 1024

/** Cuts text that comes in pieces into the values of NDJSON lines, or of SSE events' data. */
export class ValueCutter {
  readonly #format: 'ndjson' | 'sse'
  #rest = ''
  #data: string[] = []

  constructor(format: 'ndjson' | 'sse') {
    this.#format = format
  }

  /** Values that are complete with this piece. Throws `answer.broken`. */
  push(piece: string): readonly unknown[] {
    // Only the new piece is searched; a long line would be searched again and again otherwise.
    if (!piece.includes('\n')) {
      this.#rest += piece
      if (this.#rest.length > lineCharsMax)
        throw new MillraceError('answer.broken', 'A line of the answer is longer than 64 MB.')
      return []
    }
    const lines = (this.#rest + piece).split('\n')
    this.#rest = lines.pop() ?? ''
    return lines.flatMap((line) => this.#line(line.endsWith('\r') ? line.slice(0, -1) : line))
  }

  /** The last value, when the answer ends without a line break. */
  end(): readonly unknown[] {
    const last = this.#rest
    this.#rest = ''
    return this.#format === 'ndjson' ? this.#line(last) : []
  }

  #line(line: string): unknown[] {
    if (this.#format === 'ndjson') return line.trim() === '' ? [] : [parse(line)]
    if (line.startsWith('data:')) {
      this.#data.push(line.slice(line[5] === ' ' ? 6 : 5))
      return []
    }
    if (line !== '' || this.#data.length === 0) return []
    const text = this.#data.join('\n')
    this.#data = []
    return [parse(text)]
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new MillraceError('answer.broken', `The answer holds a line that is not JSON: ${text.slice(0, 80)}`)
  }
}
