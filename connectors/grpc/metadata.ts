import type { Expression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'

/** Reads metadata, and checks that each value can be sent. Values never appear in errors. */
export function metadataReader<A extends readonly unknown[]>(
  metadata: Readonly<Record<string, Expression<unknown>>>,
  readerOf: (expression: Expression<unknown>) => (...from: A) => unknown,
): (...from: A) => Readonly<Record<string, string | Uint8Array>> {
  const readers = Object.entries(metadata).map(([name, value]) => ({ name, read: readerOf(value) }))
  return (...from) => Object.fromEntries(readers.map(({ name, read }) => [name, checked(name, read(...from))]))
}

function checked(name: string, value: unknown): string | Uint8Array {
  if (name.endsWith('-bin')) {
    if (value instanceof Uint8Array) return value
    throw new NodeError('grpc.bad-metadata', `the metadata ${name} must be bytes, as all whose name ends in -bin`)
  }
  const text = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value
  if (typeof text === 'string' && /^[ -~]*$/.test(text)) return text
  throw new NodeError('grpc.bad-metadata', `the metadata ${name} is not text of printable ASCII characters`)
}
