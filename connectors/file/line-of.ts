import { NodeError } from '../../core/flow/failure.ts'
import { textOf } from '../../core/json/json-text.ts'

/** A value as a line with its end; text and bytes of text as they are, all else as JSON. Text that holds a line end would be two lines and is refused. */
export function lineOf(value: unknown): string {
  const text = textOf(value)
  if (text.includes('\n'))
    throw new NodeError(
      'value.line-end',
      'the text holds a line end and would be read as two lines; use `format: ndjson`',
    )
  return `${text}\n`
}
