import type { NodeContext } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'

/** The absolute path for one that a document or a message names. Throws a NodeError that says why there is none. */
export function resolvePath(context: NodeContext, path: unknown, access: 'read' | 'write'): string {
  const { files } = context.host
  if (files === undefined)
    throw new NodeError('file.none', `${context.node} needs files, which this host does not give to workflows`)
  if (typeof path !== 'string' || path === '')
    throw new NodeError('file.bad-path', `the path is ${JSON.stringify(path) ?? 'undefined'}, not text`)
  return files.resolve(path, access)
}

const reasons: Readonly<Record<string, { readonly code: string; readonly why: string; readonly retriable: boolean }>> =
  {
    ENOENT: { code: 'file.missing', why: 'there is no such file or folder', retriable: false },
    EACCES: { code: 'file.no-permission', why: 'this user may not', retriable: false },
    EPERM: { code: 'file.no-permission', why: 'this user may not', retriable: false },
    EISDIR: { code: 'file.is-folder', why: 'it is a folder', retriable: false },
    ENOTDIR: { code: 'file.missing', why: 'a part of the path is not a folder', retriable: false },
    ENAMETOOLONG: { code: 'file.bad-path', why: 'the name is too long', retriable: false },
    EROFS: { code: 'file.no-permission', why: 'the file system is read-only', retriable: false },
    ENOSPC: { code: 'file.no-space', why: 'the disk is full', retriable: true },
    EDQUOT: { code: 'file.no-space', why: 'the quota is used up', retriable: true },
    EMFILE: { code: 'file.too-many-open', why: 'too many files are open', retriable: true },
    ENFILE: { code: 'file.too-many-open', why: 'too many files are open', retriable: true },
  }

/** A failure of the file system in words: what was tried, with which path, and why it did not work. */
export function fileError(thrown: unknown, what: 'read' | 'write', path: string): NodeError {
  if (thrown instanceof NodeError) return thrown
  const code = codeOf(thrown)
  const known = reasons[code]
  if (known !== undefined)
    return new NodeError(known.code, `cannot ${what} ${path}: ${known.why}`, {
      retriable: known.retriable,
      cause: thrown,
    })
  const text = thrown instanceof Error ? thrown.message : String(thrown)
  return new NodeError('file.failed', `cannot ${what} ${path}: ${text}`, { retriable: true, cause: thrown })
}

/** The system's name for an error, or an empty text. */
export function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''
}
