import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, expect, test } from 'vitest'

const folder = mkdtempSync(join(tmpdir(), 'millrace-guide-'))

afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('the guide’s examples run as they stand there', async () => {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const guide = readFileSync(join(root, 'docs', 'workers.md'), 'utf8')
  const [tasks, main, ...more] = [...guide.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code ?? '')
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(root, join(folder, 'node_modules', 'millrace'))
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'tasks.ts'), tasks ?? '')
  writeFileSync(join(folder, 'main.ts'), main ?? '')
  const run = promisify(execFile)
  const { stdout } = await run(process.execPath, ['main.ts'], { cwd: folder, timeout: 20_000 })
  expect(stdout.split('\n')).toEqual(['6', '2', '3', '5', '7', '11', '13', ''])
  for (const [index, code] of more.entries()) {
    writeFileSync(join(folder, `more-${index}.ts`), code)
    await run(process.execPath, [`more-${index}.ts`], { cwd: folder, timeout: 20_000 })
  }
  expect(more).toHaveLength(2)
})
