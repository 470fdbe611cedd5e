import { jsonOf } from '../../core/json/json-text.ts'

/** A row of CSV (RFC 4180) with its line end. Missing cells are empty; objects and arrays are JSON. */
export function csvLine(cells: readonly unknown[], delimiter: string): string {
  return `${cells.map((cell) => quoted(textOf(cell), delimiter)).join(delimiter)}\n`
}

function textOf(cell: unknown): string {
  if (cell === null || cell === undefined) return ''
  if (typeof cell === 'string') return cell
  if (cell instanceof Date) return cell.toISOString()
  return typeof cell === 'object' ? jsonOf(cell) : String(cell)
}

function quoted(text: string, delimiter: string): string {
  const needed = text.includes('"') || text.includes('\n') || text.includes('\r') || text.includes(delimiter)
  return needed ? `"${text.replaceAll('"', '""')}"` : text
}
