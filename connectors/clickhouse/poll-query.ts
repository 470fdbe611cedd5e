import { NodeError } from '../../core/flow/failure.ts'
import { quotedColumn, quotedTable } from './identifier.ts'

/** What is read, and in which order. */
export interface PolledTable {
  readonly table: string
  /** Null for all. */
  readonly columns: readonly string[] | null
  readonly column: string
  readonly tieBreak: string | null
  /** A condition in SQL. */
  readonly where: string | null
}

/** How far it has been read: the last row's values of the two columns, as text. */
export interface Cursor {
  readonly value: string
  readonly tie: string | null
  /** Whether rows with the same value are read again, because which of them have been read is known otherwise. */
  readonly again: boolean
}

export interface PollQuery {
  readonly sql: string
  readonly parameters: Readonly<Record<string, unknown>>
}

/** Types by column. */
export type ColumnTypes = ReadonlyMap<string, string>

/** The next rows behind the cursor, in order. */
export function nextRows(from: PolledTable, types: ColumnTypes, cursor: Cursor | null, rowsMax: number): PollQuery {
  const column = quotedColumn(from.column)
  const tie = from.tieBreak === null ? null : quotedColumn(from.tieBreak)
  const conditions = from.where === null ? [] : [`(${from.where}\n)`]
  const parameters: Record<string, unknown> = {}
  if (cursor !== null) {
    const value = bound('after', typeOf(types, from.column, from.table))
    parameters.after = cursor.value
    if (tie !== null && from.tieBreak !== null && cursor.tie !== null) {
      parameters.tie = cursor.tie
      const second = bound('tie', typeOf(types, from.tieBreak, from.table))
      conditions.push(`${column} >= ${value} AND (${column} > ${value} OR ${tie} > ${second})`)
    } else conditions.push(`${column} ${cursor.again ? '>=' : '>'} ${value}`)
  }
  const order = tie === null ? column : `${column}, ${tie}`
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
  return {
    sql: `SELECT ${listed(from)} FROM ${quotedTable(from.table)}${where} ORDER BY ${order} LIMIT ${rowsMax}`,
    parameters,
  }
}

/** The last row in the order of the poll: where `from: end` begins. */
export function lastRow(from: PolledTable): PollQuery {
  const order = [from.column, ...(from.tieBreak === null ? [] : [from.tieBreak])].map(
    (name) => `${quotedColumn(name)} DESC`,
  )
  const where = from.where === null ? '' : ` WHERE (${from.where}\n)`
  return {
    sql: `SELECT ${listed(from)} FROM ${quotedTable(from.table)}${where} ORDER BY ${order.join(', ')} LIMIT 1`,
    parameters: {},
  }
}

/** Rows with the cursor's value. */
export function rowsAt(from: PolledTable, types: ColumnTypes, cursor: Cursor, rowsMax: number): PollQuery {
  const where = from.where === null ? '' : ` AND (${from.where}\n)`
  const value = bound('after', typeOf(types, from.column, from.table))
  return {
    sql: `SELECT ${listed(from)} FROM ${quotedTable(from.table)} WHERE ${quotedColumn(from.column)} = ${value}${where} LIMIT ${rowsMax}`,
    parameters: { after: cursor.value },
  }
}

export function describeTable(table: string): PollQuery {
  return { sql: `DESCRIBE TABLE ${quotedTable(table)}`, parameters: {} }
}

/** The type of a column that rows can be read by: one whose order is total and whose text says its value exactly. */
export function typeOf(types: ColumnTypes, column: string, table: string): string {
  const declared = types.get(column)
  if (declared === undefined)
    throw new NodeError(
      'clickhouse.unknown-column',
      `${table} has no column ${column}; it has ${[...types.keys()].join(', ')}`,
    )
  const type = /^LowCardinality\((.*)\)$/.exec(declared)?.[1] ?? declared
  if (/^(U?Int\d+|Date(32)?|DateTime(64)?\b.*|String|UUID|Enum(8|16)\(.*|IPv[46])$/s.test(type)) return type
  throw new NodeError(
    'clickhouse.bad-column',
    `${column} of ${table} is ${declared}; a poll reads by a whole number, text, moment, UUID, address or enum that is never null`,
  )
}

/** SQL for a bound value of a type. Moments travel as ISO text, which no time zone and no change of the clock makes ambiguous. */
function bound(name: string, type: string): string {
  const precision = /^DateTime64\((\d)/.exec(type)?.[1]
  if (precision !== undefined) return `parseDateTime64BestEffort({${name}:String}, ${precision})`
  if (type.startsWith('DateTime')) return `parseDateTimeBestEffort({${name}:String})`
  return `{${name}:${type}}`
}

function listed(from: PolledTable): string {
  return from.columns === null ? '*' : from.columns.map(quotedColumn).join(', ')
}
