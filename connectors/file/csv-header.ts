import { NodeError } from '../../core/flow/failure.ts'
import type { CsvParserOptions } from './csv-parser.ts'
import { createParser, rowsOf } from './csv-parser.ts'

/** The names in a header. Throws a NodeError where one of them would be lost. */
export function namesOf(cells: readonly string[], where: string): readonly string[] {
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

/** The names in the first row of a file; null while it has none. */
export async function headerOf(
  bytes: AsyncIterable<unknown>,
  where: string,
  options: CsvParserOptions,
): Promise<readonly string[] | null> {
  const parser = createParser(options, true)
  for await (const chunk of bytes) {
    parser.write(chunk)
    for (const { record } of rowsOf(parser)) return namesOf(record, where)
  }
  parser.end()
  for (const { record } of rowsOf(parser)) return namesOf(record, where)
  return null
}
