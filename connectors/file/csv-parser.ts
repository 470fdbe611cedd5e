import type { Info } from 'csv-parse'
import { Parser } from 'csv-parse'

export interface CsvParserOptions {
  readonly delimiter: string
  readonly recordBytesMax: number
}

export interface FoundRow {
  readonly record: readonly string[]
  readonly info: Info
}

/** A parser of RFC 4180 that lets pass what people write besides. It works while it is written to. */
export function createParser(options: CsvParserOptions, bom: boolean): Parser {
  return new Parser({
    bom,
    delimiter: options.delimiter,
    // The parser alone would take the first line end for that of the whole file; one that two programs wrote has both.
    record_delimiter: ['\r\n', '\n', '\r'],
    info: true,
    relax_column_count: true,
    // A quote where none may stand is text: refusing it would swallow the rows up to the next quote.
    relax_quotes: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    max_record_size: options.recordBytesMax,
  })
}

/** The rows that a parser has found so far. */
export function* rowsOf(parser: Parser): Generator<FoundRow> {
  for (;;) {
    const found: FoundRow | null = parser.read()
    if (found === null) return
    yield found
  }
}

/** The rows of a text that ends here, or null where it ends within one. */
export function wholeRows(text: Uint8Array, options: CsvParserOptions): readonly FoundRow[] | null {
  let cut = false
  const parser = createParser(options, false)
  const spoil = (): void => {
    cut = true
  }
  parser.on('skip', spoil).on('error', spoil)
  parser.write(text)
  const rows = [...rowsOf(parser)]
  parser.end()
  rows.push(...rowsOf(parser))
  return cut ? null : rows
}
