import { NodeError } from '../../core/flow/failure.ts'

/** https://grpc.github.io/grpc/core/md_doc_statuscodes.html, by number. */
export const statusNames = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const

export type StatusName = (typeof statusNames)[number]

const detailsMax = 800
const tooLarge = /larger than max|size larger|exceeds? (the )?max|too large/i

/** A call's failure in words: a NodeError `grpc.unavailable` and so on, by its status. `retryOn`: the statuses that a retry may mend. */
export function grpcError(thrown: unknown, place: string, retryOn: readonly StatusName[]): NodeError {
  if (thrown instanceof NodeError) return thrown
  const number = thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'number' ? thrown.code : null
  const told =
    thrown instanceof Error && 'details' in thrown && typeof thrown.details === 'string'
      ? thrown.details
      : String(thrown)
  const details = told.length <= detailsMax ? told : `${told.slice(0, detailsMax)} …`
  const name = number === null ? undefined : statusNames[number]
  if (name === undefined)
    return new NodeError('grpc.failed', `${place}: ${details}`, { retriable: true, cause: thrown })
  // This side's own limits have the status of a server that is short of something.
  if (name === 'RESOURCE_EXHAUSTED' && tooLarge.test(details))
    return new NodeError('grpc.too-large', `${place}: ${details} (\`messageBytesMax\`)`, { cause: thrown })
  return new NodeError(`grpc.${name.toLowerCase().replaceAll('_', '-')}`, `${place}: ${details || name}`, {
    retriable: retryOn.includes(name),
    cause: thrown,
  })
}
