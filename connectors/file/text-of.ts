import { NodeError } from '../../core/flow/failure.ts'

/** A value as JSON text. Throws a NodeError for one that has none, such as undefined. */
export function jsonOf(value: unknown): string {
  const text = JSON.stringify(value)
  if (text === undefined) throw new NodeError('value.no-json', `${typeof value} has no JSON form; give a value`)
  return text
}

/** A value as a line with its end; text as it is, all else as JSON. Text that holds a line end would be two lines and is refused. */
export function lineOf(value: unknown): string {
  const text = typeof value === 'string' ? value : jsonOf(value)
  if (text.includes('\n'))
    throw new NodeError(
      'value.line-end',
      'the text holds a line end and would be read as two lines; use `format: ndjson`',
    )
  return `${text}\n`
}
