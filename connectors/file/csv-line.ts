import { NodeError } from '../../core/flow/failure.ts'
import { base64Of, jsonOf } from '../../core/json/json-text.ts'
import { isBytes, isRecord } from '../../core/protocol/frame.ts'

/** A row of CSV (RFC 4180) with its line end. Missing cells are empty, bytes base64, objects and arrays JSON. */
export function csvLine(cells: readonly unknown[], delimiter: string): string {
  const row = cells.map((cell) => quoted(cellText(cell), delimiter)).join(delimiter)
  // A row of one empty cell would be an empty line, which is no row to who reads it.
  return row === '' ? '""\n' : `${row}\n`
}

/** A value's cells: an object's by name, a list's by place. Throws a NodeError for a value that is no row of these columns. */
export function cellsOf(value: unknown, columns: readonly string[]): readonly unknown[] {
  if (Array.isArray(value)) {
    if (value.length === columns.length) return value
    throw noRow(`a list of ${value.length}`, columns)
  }
  if (!isRecord(value) || isBytes(value) || value instanceof Date) throw noRow(nameOf(value), columns)
  return columns.map((name) => (Object.hasOwn(value, name) ? value[name] : undefined))
}

function noRow(found: string, columns: readonly string[]): NodeError {
  return new NodeError(
    'value.no-row',
    `a row of CSV is an object with the columns as its fields, or a list of ${columns.length}, and this is ${found}; ` +
      'make one with `value`',
  )
}

function nameOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value !== 'object') return typeof value === 'string' ? 'text' : `a ${typeof value}`
  return isBytes(value) ? 'bytes' : 'a time'
}

function cellText(cell: unknown): string {
  if (cell === null || cell === undefined) return ''
  if (typeof cell === 'string') return cell
  if (cell instanceof Date) return cell.toISOString()
  if (isBytes(cell)) return base64Of(cell)
  return typeof cell === 'object' ? jsonOf(cell) : String(cell)
}

function quoted(text: string, delimiter: string): string {
  const needed = text.includes('"') || text.includes('\n') || text.includes('\r') || text.includes(delimiter)
  return needed ? `"${text.replaceAll('"', '""')}"` : text
}
