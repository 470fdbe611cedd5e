import type { Readable } from 'node:stream'
import { NodeError } from '../../core/flow/failure.ts'
import { LineReader } from '../../core/flow/lines.ts'

export interface RowLimits {
  /** One row more is an error. */
  readonly rowsMax: number
  readonly rowBytesMax: number
  /** Of the whole answer. */
  readonly bytesMax: number
}

const rowsAtOnce = 1_000
const toldMax = 4_000

/** The rows of an answer as they come, some at a time. It throws as `readLines` does, and for an answer over the limits. */
export async function* readRows(answer: Readable, limits: RowLimits): AsyncGenerator<readonly unknown[]> {
  let rows = 0
  for await (const lines of readLines(answer, limits)) {
    rows += lines.length
    if (rows > limits.rowsMax)
      throw new NodeError('clickhouse.too-many-rows', `the answer has more than ${limits.rowsMax} rows (\`rowsMax\`)`)
    yield lines.map(parsedRow)
  }
}

/**
 * The rows of an answer as text, some at a time. An answer that began well may end in the text of an error, since a server has sent the
 * status by then: that is thrown, as what it says.
 */
export async function* readLines(
  answer: Readable,
  limits: { readonly rowBytesMax: number; readonly bytesMax: number },
): AsyncGenerator<readonly string[]> {
  const reader = new LineReader(limits.rowBytesMax)
  const lines = new RowLines(limits.rowBytesMax)
  let bytes = 0
  for await (const chunk of answer as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > limits.bytesMax)
      throw new NodeError('clickhouse.too-large', `the answer has more than ${limits.bytesMax} bytes (\`bytesMax\`)`)
    reader.push(chunk)
    yield* lines.take(reader)
  }
  reader.end()
  yield* lines.take(reader)
  lines.end()
}

/** The row that a line holds. */
export function parsedRow(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (thrown) {
    throw new NodeError('clickhouse.cut', 'a row of the answer is not whole', { retriable: true, cause: thrown })
  }
}

class RowLines {
  #lines: string[] = []
  /** What the server says in place of a row, as far as it has come. */
  #told: string | null = null
  readonly #rowBytesMax: number

  constructor(rowBytesMax: number) {
    this.#rowBytesMax = rowBytesMax
  }

  *take(reader: LineReader): Generator<readonly string[]> {
    while (reader.take(rowsAtOnce, Number.POSITIVE_INFINITY, this) !== null) {
      const lines = this.#lines
      this.#lines = []
      if (lines.length > 0) yield lines
    }
  }

  end(): void {
    if (this.#told !== null) throw new Error(this.#told)
  }

  line(bytes: Buffer, begin: number, end: number): void {
    const text = bytes.toString('utf8', begin, end)
    if (this.#told === null && text.startsWith('{')) this.#lines.push(text)
    else if (this.#told !== null || text !== '') this.#told = `${this.#told ?? ''}${text}\n`.slice(0, toldMax)
  }

  tooLong(number: number, bytes: number): void {
    throw new NodeError(
      'clickhouse.too-large',
      `row ${number} has ${bytes} bytes; the limit (\`rowBytesMax\`) is ${this.#rowBytesMax}`,
    )
  }
}
