import { NodeError } from '../../core/flow/failure.ts'
import type { CsvParserOptions } from './csv-parser.ts'
import { createParser, rowsOf } from './csv-parser.ts'

/** The names in a header. Throws a NodeError where one of them would be lost. */
export function namesOf(cells: readonly string[], where: string): readonly string[] {
  const repeated = cells.find((name, index) => cells.indexOf(name) !== index)
  if (repeated !== undefined)
    throw new NodeError(
      'csv.bad-header',
      `the header of ${where} names the column ${JSON.stringify(repeated)} twice; give the names as \`header: [...]\`, and pass over this row with \`skipRows\``,
    )
  if (cells.includes('__proto__'))
    throw new NodeError(
      'csv.bad-header',
      `the header of ${where} names a column "__proto__", which is not allowed; give the names as \`header: [...]\`, and pass over this row with \`skipRows\``,
    )
  return cells
}

export interface CsvBeginning {
  /** Rows at the beginning of a file that are no data. */
  readonly skipRows: number
  /** `true`: the row behind them names the columns. A list: these names. `false`: rows are arrays. */
  readonly header: boolean | readonly string[]
}

/** How far reading has come in the beginning of a file. */
export interface BeginningRead {
  /** Rows that are still to be passed over. */
  readonly rowsToSkip: number
  /** The names that the header gave; null while it has not been read. */
  readonly names: readonly string[] | null
}

/** Reads the beginning of a file, for who goes on elsewhere in it. */
export async function readBeginning(
  bytes: AsyncIterable<unknown>,
  where: string,
  { skipRows, header }: CsvBeginning,
  options: CsvParserOptions,
): Promise<BeginningRead> {
  const rowsMax = skipRows + (header === true ? 1 : 0)
  const rows: (readonly string[])[] = []
  const parser = createParser(options, true)
  const look = (): boolean => {
    for (const { record } of rowsOf(parser)) rows.push(record)
    return rows.length >= rowsMax
  }
  let isRead = false
  for await (const chunk of bytes) {
    parser.write(chunk)
    isRead = look()
    if (isRead) break
  }
  if (!isRead) {
    parser.end()
    look()
  }
  const names = rows[skipRows]
  return {
    rowsToSkip: Math.max(0, skipRows - rows.length),
    names: header === true && names !== undefined ? namesOf(names, where) : null,
  }
}
