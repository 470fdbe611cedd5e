import { lstatSync, realpathSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { NodeError } from '../core/flow/failure.ts'
import type { Files } from '../core/host.ts'

export interface FilesOptions {
  /** Folders that workflows may read and write. An empty list allows nothing. */
  readonly allowed: readonly string[]
  /** Where relative paths begin; the first allowed folder when absent. */
  readonly base?: string
}

/** The file system as far as a workflow may see it. Symbolic links are followed before the question is asked. */
export function createFiles(options: FilesOptions): Files {
  const allowed = options.allowed.map((folder) => realPath(resolve(folder)))
  const base = resolve(options.base ?? options.allowed[0] ?? '.')
  return {
    resolve(path, access) {
      if (path.includes('\0')) throw new NodeError('file.bad-path', 'A path holds a zero byte.')
      const real = realPath(isAbsolute(path) ? path : join(base, path))
      if (allowed.some((folder) => isInside(real, folder))) return real
      const where = allowed.length === 0 ? 'none is allowed' : `allowed are ${allowed.join(', ')}`
      throw new NodeError(
        'file.not-allowed',
        `A workflow may not ${access} ${path}: it lies outside the folders of this host (${where}). ` +
          `Start with \`--allow-folder ${dirname(real)}\`, or choose another path.`,
      )
    },
  }
}

/** The path with all links resolved. What does not exist yet (a file to be written) hangs on its nearest folder that does. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch (thrown) {
    // A link whose target does not exist yet would be followed by whoever creates the file.
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
    const parent = dirname(path)
    if (code === 'ENOENT' && !isLink(path) && parent !== path) return join(realPath(parent), basename(path))
    const why = reasons[code] ?? (thrown instanceof Error ? thrown.message : String(thrown))
    throw new NodeError('file.unreachable', `The path ${path} cannot be reached: ${why}.`, { cause: thrown })
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'it leads to what is not there',
  ELOOP: 'its links lead in a circle',
  ENOTDIR: 'a part of it is not a folder',
  EACCES: 'this user may not look into a folder on its way',
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true
}

function isInside(path: string, folder: string): boolean {
  const between = relative(folder, path)
  return between === '' || (!isAbsolute(between) && between !== '..' && !between.startsWith(`..${sep}`))
}
