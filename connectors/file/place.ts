import type { Expression, NodeContext } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Files } from '../../core/host.ts'

/** The absolute path for one that a message names. Throws a NodeError that says why there is none. */
export function resolvePath(context: NodeContext, path: unknown, access: 'read' | 'write'): string {
  const files = filesOf(context)
  if (isPath(path)) return files.resolve(path, access)
  throw new NodeError('file.bad-path', `the path is ${shown(path)}; look where it comes from`)
}

/** The same for a path that holds for all messages: there is no message to blame, so the error names the node. */
export function pathAtStart(context: NodeContext, path: Expression<string>, access: 'read' | 'write'): string {
  const files = filesOf(context)
  const found: unknown = context.value(path)
  if (!isPath(found))
    throw new NodeError(
      'file.bad-path',
      `path of ${context.node} is ${path.text}, which gives ${shown(found)}; set what it reads with \`--set NAME=…\`, or let it be read with \`--allow-env NAME\``,
    )
  try {
    return files.resolve(found, access)
  } catch (thrown) {
    if (!(thrown instanceof NodeError)) throw thrown
    throw new NodeError(thrown.code, `path of ${context.node}: ${thrown.message}`, { cause: thrown })
  }
}

function filesOf(context: NodeContext): Files {
  if (context.host.files !== undefined) return context.host.files
  throw new NodeError('file.none', `${context.node} needs files, which this host does not give to workflows`)
}

function isPath(path: unknown): path is string {
  return typeof path === 'string' && path !== ''
}

function shown(path: unknown): string {
  return path === '' ? 'an empty text' : `${JSON.stringify(path)?.slice(0, 80) ?? 'undefined'}, not text`
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
