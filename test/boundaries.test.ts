import { describe, expect, test } from 'vitest'
import { isTest, sourceFiles } from './source-files.ts'

const files = sourceFiles()
const shipped = files.filter((file) => !isTest(file.path))
const folderOf = (path: string): string => path.split('/')[0] ?? ''

/** Which folders a folder may import besides itself. `nodes.ts` is the catalogue at the root. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  operators: ['core'],
  connectors: ['core'],
  workers: ['core'],
  sdk: ['core'],
  'nodes.ts': ['core', 'operators', 'connectors'],
  server: ['core', 'workers', 'nodes.ts'],
  cli: ['core', 'workers', 'server', 'sdk', 'nodes.ts', 'demos', 'package.json'],
  demos: ['core', 'workers', 'server', 'sdk', 'nodes.ts'],
  bench: ['core', 'connectors', 'workers', 'server', 'sdk', 'nodes.ts', 'demos', 'test'],
  scripts: ['core', 'cli', 'nodes.ts'],
}

/** Built-in modules that core may use, and why. */
const coreBuiltins: Readonly<Record<string, string>> = {
  'node:buffer': 'isUtf8 checks bytes at the speed of memory; nothing is read or written',
  'node:crypto': 'an expression hashes a text; nothing is read or written',
  'node:module': 'luxon is loaded only when an expression reads a date',
}

describe('boundaries', () => {
  test.each(Object.keys(allowed))('%s imports only what it may', (folder) => {
    const wrong = shipped
      .filter((file) => folderOf(file.path) === folder)
      .flatMap((file) =>
        file.imports
          .filter((each) => folderOf(each) !== folder && !(allowed[folder] ?? []).includes(folderOf(each)))
          .map((each) => `${file.path} -> ${each}`),
      )
    expect(wrong).toEqual([])
  })

  test('core does no I/O', () => {
    const wrong = shipped
      .filter((file) => folderOf(file.path) === 'core')
      .flatMap((file) =>
        file.packages
          .filter((name) => name.startsWith('node:') && !(name in coreBuiltins))
          .map((name) => `${file.path} -> ${name}`),
      )
    expect(wrong).toEqual([])
  })

  test('the SDK and the protocol run in a browser', () => {
    const wrong = shipped
      .filter((file) => folderOf(file.path) === 'sdk' || file.path.startsWith('core/protocol/'))
      .flatMap((file) =>
        [
          ...file.packages,
          ...file.imports.filter((each) => folderOf(each) === 'core' && !each.startsWith('core/protocol/')),
        ].map((name) => `${file.path} -> ${name}`),
      )
    expect(wrong).toEqual([])
  })

  test('operators and connectors do not import each other', () => {
    const own = (path: string): string => path.split('/').slice(0, 2).join('/')
    const wrong = shipped
      .filter((file) => ['operators', 'connectors'].includes(folderOf(file.path)))
      .flatMap((file) =>
        file.imports
          .filter((each) => ['operators', 'connectors'].includes(folderOf(each)) && own(each) !== own(file.path))
          .map((each) => `${file.path} -> ${each}`),
      )
    expect(wrong).toEqual([])
  })

  test('operators and connectors leave flattening and dropping to core', () => {
    const raw =
      /\b(mergeMap|concatMap|switchMap|exhaustMap|mergeAll|concatAll|switchAll|debounceTime|throttleTime|auditTime|sampleTime|distinctUntilChanged|bufferTime|bufferCount|take|skip|filter)\b/
    const wrong = shipped
      .filter((file) => ['operators', 'connectors'].includes(folderOf(file.path)))
      .filter((file) =>
        [...file.text.matchAll(/^import \{([^}]*)\} from 'rxjs'/gm)].some((match) => raw.test(match[1] ?? '')),
      )
    expect(wrong.map((file) => file.path)).toEqual([])
  })

  test('no file imports itself by way of others', () => {
    expect(rings(new Map(shipped.map((file) => [file.path, file.imports])))).toEqual([])
  })
})

/** Cycles of the import graph, each named once: a depth-first walk that meets a file on its own path. */
function rings(graph: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const done = new Set<string>()
  const found: string[] = []
  const walk = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) {
      found.push([...trail.slice(at), path].join(' -> '))
      return
    }
    if (done.has(path)) return
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path])
    done.add(path)
  }
  for (const path of graph.keys()) walk(path, [])
  return found
}
