import type { CsvError, Info } from 'csv-parse'
import { Parser } from 'csv-parse'
import type { Size } from '../../core/flow/credits.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { RecordReader, Records, UnreadableRecord } from '../../core/flow/record-source.ts'

export interface CsvRecordsOptions {
  readonly where: string
  readonly node: string
  readonly recordBytesMax: number
  /** `true`: the first row names the columns. A list: these names. `false`: rows are arrays. */
  readonly header: boolean | readonly string[]
  readonly delimiter: string
}

/** Reads CSV (RFC 4180): rows as objects by the header, or as arrays. Quotes, line ends in quotes and a byte order mark are understood. */
export function csvRecords(options: CsvRecordsOptions): RecordReader {
  return new CsvRecords(options)
}

interface Row {
  readonly cells: readonly string[]
  readonly bytes: number
}

class CsvRecords implements RecordReader {
  readonly #options: CsvRecordsOptions
  #parser: Parser
  #names: readonly string[] | null
  #rows: Row[] = []
  #taken = 0
  #bytesSeen = 0
  #unreadable: UnreadableRecord[] = []
  #broken: NodeError | null = null

  constructor(options: CsvRecordsOptions) {
    this.#options = options
    this.#names = Array.isArray(options.header) ? options.header : null
    this.#parser = this.#createParser()
  }

  push(chunk: Uint8Array): void {
    this.#parser.write(chunk)
    this.#drain()
  }

  end(): void {
    this.#parser.end()
    this.#drain()
  }

  restart(): void {
    this.#parser = this.#createParser()
    this.#bytesSeen = 0
    if (this.#options.header === true) this.#names = null
  }

  take(limit: Size): Records | null {
    const unreadable = this.#unreadable
    this.#unreadable = []
    const begin = this.#taken
    let bytes = 0
    let end = begin
    for (; end < this.#rows.length && end - begin < limit.messages; end++) {
      const next = this.#rows[end]?.bytes ?? 0
      if (end > begin && bytes + next > limit.bytes) break
      bytes += next
    }
    if (end === begin && unreadable.length === 0) return null
    const rows = this.#rows.slice(begin, end)
    this.#taken = end
    if (end === this.#rows.length) {
      this.#rows = []
      this.#taken = 0
    }
    const names = this.#names
    const values = (): readonly unknown[] =>
      names === null ? rows.map((row) => [...row.cells]) : rows.map((row) => objectOf(names, row.cells))
    return { values: values(), unreadable, bytes, again: values }
  }

  #createParser(): Parser {
    const parser = new Parser({
      bom: true,
      delimiter: this.#options.delimiter,
      // The parser alone would take the first line end for that of the whole file; one that two programs wrote has both.
      record_delimiter: ['\r\n', '\n', '\r'],
      info: true,
      relax_column_count: true,
      // A quote where none may stand is text: refusing it would swallow the rows up to the next quote.
      relax_quotes: true,
      skip_empty_lines: true,
      skip_records_with_error: true,
      max_record_size: this.#options.recordBytesMax,
    })
    parser.on('skip', (error: CsvError) =>
      this.#refuse(error.message.replace(/^Invalid [^:]*: /, ''), lineOf(error.lines), null),
    )
    parser.on('error', (error) => {
      this.#broken = new NodeError('csv.broken', `${this.#options.where} cannot be read as CSV: ${error.message}`)
    })
    return parser
  }

  /** The parser works while it is written to, so its rows are there at once. */
  #drain(): void {
    if (this.#broken !== null) throw this.#broken
    for (;;) {
      const found: { readonly record: readonly string[]; readonly info: Info } | null = this.#parser.read()
      if (found === null) return
      const { record, info } = found
      const bytes = info.bytes - this.#bytesSeen
      this.#bytesSeen = info.bytes
      if (this.#options.header === true && this.#names === null) this.#names = namesOf(record, this.#options.where)
      else if (this.#names !== null && record.length !== this.#names.length)
        this.#refuse(`it has ${record.length} columns, the header ${this.#names.length}`, info.lines, record)
      else this.#rows.push({ cells: record, bytes })
    }
  }

  #refuse(why: string, line: number | undefined, value: unknown): void {
    const message = `the row at line ${line ?? '?'} of ${this.#options.where} cannot be read: ${why}`
    this.#unreadable.push({
      failure: { code: 'record.invalid', message, node: this.#options.node, retriable: false },
      value,
    })
  }
}

function namesOf(cells: readonly string[], where: string): readonly string[] {
  const repeated = cells.find((name, index) => cells.indexOf(name) !== index)
  if (repeated !== undefined)
    throw new NodeError(
      'csv.bad-header',
      `the header of ${where} names the column ${JSON.stringify(repeated)} twice; give the names as \`header: [...]\``,
    )
  if (cells.includes('__proto__'))
    throw new NodeError(
      'csv.bad-header',
      `the header of ${where} names a column "__proto__", which is not allowed; give the names as \`header: [...]\``,
    )
  return cells
}

function objectOf(names: readonly string[], cells: readonly string[]): Record<string, string> {
  const row: Record<string, string> = {}
  for (let index = 0; index < names.length; index++) row[names[index] ?? ''] = cells[index] ?? ''
  return row
}

/** The parser types what it tells of an error as unknown. */
function lineOf(told: unknown): number | undefined {
  return typeof told === 'number' ? told : undefined
}
