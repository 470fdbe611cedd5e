import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** A source file of the repository with what it imports. */
export interface SourceFile {
  /** Path from the root, with `/`. */
  readonly path: string
  readonly text: string
  /** Files of the repository that it imports, by path from the root; types too. */
  readonly imports: readonly string[]
  /** Packages and built-in modules that it imports. */
  readonly packages: readonly string[]
}

/** All files that git tracks or would track. */
export function trackedFiles(): readonly string[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  })
  return listed.split('\n').filter((path) => path !== '')
}

/** All TypeScript files, tests included. */
export function sourceFiles(): readonly SourceFile[] {
  return trackedFiles()
    .filter((path) => path.endsWith('.ts') && !path.startsWith('bench/peers/'))
    .flatMap((path) => {
      const text = readOrNull(path)
      return text === null ? [] : [{ path, text, ...importsOf(path, text) }]
    })
}

/** A file that git lists may have been deleted since. */
function readOrNull(path: string): string | null {
  try {
    return readFileSync(join(root, path), 'utf8')
  } catch {
    return null
  }
}

function importsOf(path: string, text: string): Pick<SourceFile, 'imports' | 'packages'> {
  const named = [
    ...text.matchAll(/^(?:import|export)\b[^'"`;]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
  const imports = named.filter((name) => name.startsWith('.')).map((name) => normalize(join(dirname(path), name)))
  return { imports, packages: named.filter((name) => !name.startsWith('.') && !name.startsWith('/')) }
}

export function isTest(path: string): boolean {
  return (
    /\.(test|fixture)\.ts$/.test(path) || path.startsWith('test/') || /(^|\/)(conformance|testing)[^/]*\.ts$/.test(path)
  )
}
