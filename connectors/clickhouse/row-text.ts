import type { Expression, NodeContext } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'
import { jsonText } from '../../core/json/json-text.ts'

/** What becomes of columns: names of the value's fields, or an expression for each; without them the whole value. */
export type Columns = readonly string[] | Readonly<Record<string, Expression<unknown>>>

/** Makes what gives a message's row as a JSON object on one line. It throws a NodeError for a message that has none. */
export function rowWriter(
  columns: Columns | undefined,
  context: NodeContext,
): (message: Message, scope: Scope) => string {
  if (columns === undefined) return (message) => wholeRow(message.value)
  if (isNames(columns)) {
    const parts = columns.map((name) => ({ name, head: headOf(name) }))
    return (message) => {
      const { value } = message
      if (!isObject(value)) throw noRow(value)
      return row(parts, (part) => Reflect.get(value, part.name))
    }
  }
  const parts = Object.entries(columns).map(([name, expression]) => ({
    name,
    head: headOf(name),
    read: context.reader(expression),
  }))
  return (message, scope) => row(parts, (part) => part.read(message, scope))
}

/** The columns that an INSERT names; null for all. */
export function namesOf(columns: Columns | undefined): readonly string[] | null {
  if (columns === undefined) return null
  return isNames(columns) ? columns : Object.keys(columns)
}

function row<P extends { readonly name: string; readonly head: string }>(
  parts: readonly P[],
  fieldOf: (part: P) => unknown,
): string {
  let text = ''
  for (const part of parts) {
    const value = jsonOf(fieldOf(part), part.name)
    // A column that is left out gets its default.
    if (value !== undefined) text += `${text === '' ? '{' : ','}${part.head}${value}`
  }
  return text === '' ? '{}' : `${text}}`
}

function wholeRow(value: unknown): string {
  if (!isObject(value)) throw noRow(value)
  return jsonOf(value, null) ?? '{}'
}

/** JSON has no whole numbers beyond 2^53; the server reads them all the same. It has no bytes either, which are base64. */
function jsonOf(value: unknown, column: string | null): string | undefined {
  if (typeof value === 'bigint') return value.toString()
  try {
    return jsonText(value)
  } catch (thrown) {
    const why = thrown instanceof Error ? (thrown.message.split('\n')[0] ?? '') : String(thrown)
    throw new NodeError('clickhouse.no-row', `${column ?? 'the value'} has no JSON form: ${why}`, { cause: thrown })
  }
}

function headOf(name: string): string {
  return `${JSON.stringify(name)}:`
}

function isNames(columns: Columns): columns is readonly string[] {
  return Array.isArray(columns)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
}

function noRow(value: unknown): NodeError {
  const what = value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`
  return new NodeError(
    'clickhouse.no-row',
    `the value is ${what}, not an object whose fields are columns; give \`columns\`, such as \`{ id: "{{ $json.id }}" }\``,
  )
}
