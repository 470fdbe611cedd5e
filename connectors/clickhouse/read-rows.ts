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

/**
 * The rows of an answer as they come, some at a time. An answer that began well may end in the text of an error, since a server has sent the
 * status by then: that is thrown, as what it says. So is an answer that is cut.
 */
export async function* readRows(answer: Readable, limits: RowLimits): AsyncGenerator<readonly unknown[]> {
  const lines = new LineReader(limits.rowBytesMax, true)
  const reader = new Rows(limits)
  let bytes = 0
  for await (const chunk of answer as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > limits.bytesMax)
      throw new NodeError('clickhouse.too-large', `the answer has more than ${limits.bytesMax} bytes (\`bytesMax\`)`)
    lines.push(chunk)
    yield* reader.take(lines)
  }
  lines.end()
  yield* reader.take(lines)
  reader.end()
}

class Rows {
  #rows: unknown[] = []
  #count = 0
  /** What the server says in place of a row, as far as it has come. */
  #told: string | null = null
  readonly #limits: RowLimits

  constructor(limits: RowLimits) {
    this.#limits = limits
  }

  *take(lines: LineReader): Generator<readonly unknown[]> {
    while (lines.take(rowsAtOnce, Number.POSITIVE_INFINITY, this) !== null) {
      const rows = this.#rows
      this.#rows = []
      if (rows.length > 0) yield rows
    }
  }

  end(): void {
    if (this.#told !== null) throw new Error(this.#told)
  }

  line(text: string): void {
    if (this.#told !== null) this.#tell(text)
    else if (text.startsWith('{')) this.#row(text)
    else if (text !== '') this.#tell(text)
  }

  tooLong(number: number, bytes: number): void {
    const { rowBytesMax } = this.#limits
    throw new NodeError(
      'clickhouse.too-large',
      `row ${number} has ${bytes} bytes; the limit (\`rowBytesMax\`) is ${rowBytesMax}`,
    )
  }

  #row(text: string): void {
    const { rowsMax } = this.#limits
    if (++this.#count > rowsMax)
      throw new NodeError('clickhouse.too-many-rows', `the answer has more than ${rowsMax} rows (\`rowsMax\`)`)
    try {
      this.#rows.push(JSON.parse(text))
    } catch {
      throw new NodeError('clickhouse.cut', `row ${this.#count} of the answer is not whole`, { retriable: true })
    }
  }

  #tell(text: string): void {
    this.#told = `${this.#told ?? ''}${text}\n`.slice(0, toldMax)
  }
}
