import type { CsvError, Parser } from 'csv-parse'
import type { Size } from '../../core/flow/credits.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { RecordReader, Records, UnreadableRecord } from '../../core/flow/record-source.ts'
import type { BeginningRead, CsvBeginning } from './csv-header.ts'
import { namesOf } from './csv-header.ts'
import type { FoundRow } from './csv-parser.ts'
import { createParser, rowsOf, wholeRows } from './csv-parser.ts'

export interface CsvRecordsOptions extends CsvBeginning {
  readonly where: string
  readonly node: string
  readonly recordBytesMax: number
  readonly delimiter: string
  /** What of the beginning has been read already, where reading begins behind it. */
  readonly beginning: BeginningRead | null
  /** Whether more may come when what is there has been read. */
  readonly followed: boolean
}

/** Reads CSV (RFC 4180): rows as objects by the header, or as arrays. Quotes, line ends in quotes and a byte order mark are understood. */
export function csvRecords(options: CsvRecordsOptions): RecordReader {
  return new CsvRecords(options)
}

const none = new Uint8Array()
const lineEnd = 0x0a

interface Row {
  readonly cells: readonly string[]
  readonly bytes: number
}

class CsvRecords implements RecordReader {
  readonly #options: CsvRecordsOptions
  #parser: Parser
  #names: readonly string[] | null
  #rowsToSkip: number
  #rows: Row[] = []
  #taken = 0
  /** Where the last row of this parser ended. */
  #bytesSeen = 0
  #bytesPushed = 0
  /** Lines of the file before those of this parser, and before the end of what was pushed. */
  #linesBefore = 0
  #linesPushed = 0
  /** What lies behind the last row, while the file is followed. */
  #rest: Uint8Array = none
  #unreadable: UnreadableRecord[] = []
  #broken: NodeError | null = null

  constructor(options: CsvRecordsOptions) {
    this.#options = options
    this.#names = Array.isArray(options.header) ? options.header : (options.beginning?.names ?? null)
    this.#rowsToSkip = options.beginning?.rowsToSkip ?? options.skipRows
    this.#parser = this.#createParser(true)
  }

  push(chunk: Uint8Array): void {
    this.#parser.write(chunk)
    this.#drain()
    if (this.#options.followed) this.#readRest(chunk)
  }

  end(): void {
    this.#parser.end()
    this.#drain()
  }

  restart(): void {
    this.#begin(this.#createParser(true))
    this.#linesBefore = 0
    this.#linesPushed = 0
    this.#rowsToSkip = this.#options.skipRows
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

  #createParser(bom: boolean): Parser {
    const parser = createParser(this.#options, bom)
    parser.on('skip', (error: CsvError) =>
      this.#refuse(error.message.replace(/^Invalid [^:]*: /, ''), lineOf(error.lines, this.#linesBefore), null),
    )
    parser.on('error', (error) => {
      this.#broken = new NodeError('csv.broken', `${this.#options.where} cannot be read as CSV: ${error.message}`)
    })
    return parser
  }

  /** The parser works while it is written to, so its rows are there at once. */
  #drain(): void {
    if (this.#broken !== null) throw this.#broken
    for (const row of rowsOf(this.#parser)) {
      this.#keep(row, row.info.bytes - this.#bytesSeen, this.#linesBefore)
      this.#bytesSeen = row.info.bytes
    }
  }

  #keep({ record, info }: FoundRow, bytes: number, linesBefore: number): void {
    if (this.#rowsToSkip > 0) this.#rowsToSkip -= 1
    else if (this.#options.header === true && this.#names === null) this.#names = namesOf(record, this.#options.where)
    else if (this.#names !== null && record.length !== this.#names.length)
      this.#refuse(
        `it has ${record.length} columns, the header ${this.#names.length}`,
        linesBefore + info.lines,
        record,
      )
    else this.#rows.push({ cells: record, bytes })
  }

  /**
   * The parser looks ahead, and so keeps the last row of what is there until more comes, which in a file that is followed may be never.
   * Where the rest behind its last row ends with a line end and not within quotes, it is read by itself, and a new parser goes on behind it.
   */
  #readRest(chunk: Uint8Array): void {
    this.#bytesPushed += chunk.length
    const bytes = this.#bytesPushed - this.#bytesSeen
    const known = Buffer.concat([this.#rest, chunk])
    // What is too long to be a row is left to the parser.
    this.#rest = bytes > this.#options.recordBytesMax ? none : known.subarray(Math.max(0, known.length - bytes))
    const rest = this.#rest
    const rows = rest.length === bytes && rest.at(-1) === lineEnd ? wholeRows(rest, this.#options) : null
    this.#linesPushed += linesIn(chunk)
    if (rows === null) return
    for (const row of rows) this.#keep(row, bytes / rows.length, this.#linesPushed - linesIn(rest))
    this.#begin(this.#createParser(false))
    this.#linesBefore = this.#linesPushed
  }

  #begin(parser: Parser): void {
    this.#parser = parser
    this.#bytesSeen = 0
    this.#bytesPushed = 0
    this.#rest = none
  }

  #refuse(why: string, line: number | undefined, value: unknown): void {
    const message = `the row at line ${line ?? '?'} of ${this.#options.where} cannot be read: ${why}`
    this.#unreadable.push({
      failure: { code: 'record.invalid', message, node: this.#options.node, retriable: false },
      value,
    })
  }
}

function objectOf(names: readonly string[], cells: readonly string[]): Record<string, string> {
  const row: Record<string, string> = {}
  for (let index = 0; index < names.length; index++) row[names[index] ?? ''] = cells[index] ?? ''
  return row
}

/** The parser types what it tells of an error as unknown. */
function lineOf(told: unknown, linesBefore: number): number | undefined {
  return typeof told === 'number' ? linesBefore + told : undefined
}

function linesIn(bytes: Uint8Array): number {
  let lines = 0
  for (let at = bytes.indexOf(lineEnd); at !== -1; at = bytes.indexOf(lineEnd, at + 1)) lines++
  return lines
}
