import { z } from 'zod'

/** A name that may stand between backticks as it is. */
const name = /^[^\p{Cc}`\\.]{1,200}$/u

/** `events` or `analytics.events`. */
export const tableName = z
  .string()
  .max(401)
  .refine((text) => isTable(text), 'not the name of a table: write `table` or `database.table`, without quotes')

export const columnName = z
  .string()
  .regex(/^[^\p{Cc}`\\]{1,200}$/u, 'not the name of a column: 1 to 200 characters, no backtick, no backslash')

/** A table's name as SQL. Only for names that `tableName` lets through. */
export function quotedTable(table: string): string {
  return table
    .split('.')
    .map((part) => `\`${part}\``)
    .join('.')
}

/** A column's name as SQL. Only for names that `columnName` lets through. */
export function quotedColumn(column: string): string {
  return `\`${column}\``
}

export function isTable(text: string): boolean {
  const parts = text.split('.')
  return parts.length <= 2 && parts.every((part) => name.test(part))
}
