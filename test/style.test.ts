import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { isTest, root, sourceFiles, trackedFiles } from './source-files.ts'

const files = sourceFiles()
// The patterns are put together here, so that this file does not hold what it looks for.
const words = (...parts: readonly string[]): RegExp => new RegExp(parts.join(''))

/** Lines of files that match, as `path:line`. */
function where(pattern: RegExp, keep: (path: string) => boolean = () => true): readonly string[] {
  return files
    .filter((file) => keep(file.path))
    .flatMap((file) =>
      file.text.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${file.path}:${index + 1}`] : [])),
    )
}

describe('style', () => {
  test('types are not switched off', () => {
    expect(where(words('as unk', 'nown as\\b'))).toEqual([])
    expect(where(words('@ts-', '(ignore|nocheck)'))).toEqual([])
  })

  test('nothing is left unfinished', () => {
    expect(where(words('\\b(TO', 'DO|FIX', 'ME|XX', 'X)\\b'))).toEqual([])
  })

  test('every test runs', () => {
    expect(where(words('\\b(it|test|describe)\\.(sk', 'ip|on', 'ly|to', 'do)\\('), isTest)).toEqual([])
  })

  test('files are one thing each', () => {
    const long = files.filter((file) => file.text.split('\n').length > (isTest(file.path) ? 700 : 500))
    expect(long.map((file) => file.path)).toEqual([])
  })

  test('names say what a thing is', () => {
    const vague = /(^|\/)(utils?|helpers?|common|misc|manager|stuff)(\/|\.|$)/i
    expect(trackedFiles().filter((path) => vague.test(path))).toEqual([])
  })

  test('type imports stand on lines of their own', () => {
    expect(where(/^import \{[^}]*\btype [A-Z]/)).toEqual([])
  })

  test('the lock file names no registry', () => {
    const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
    expect(lock).not.toContain('"resolved"')
    expect(lock).not.toMatch(/https?:\/\/[^"]*registry/)
  })

  test('no path of a machine is written down', () => {
    const machine = words('(/ho', 'me/|/ro', 'ot/|/wo', 'rk/|/Us', 'ers/)[a-z]')
    const texts = trackedFiles().filter(
      (path) => /\.(ts|js|md|yaml|json|css|html|sh)$/.test(path) && !path.endsWith('package-lock.json'),
    )
    expect(texts.filter((path) => machine.test(readFileSync(join(root, path), 'utf8')))).toEqual([])
  })
})
