import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { startShell } from './cli-process.ts'

const cwd = mkdtempSync(join(tmpdir(), 'cli-streams-test-'))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

writeFileSync(
  join(cwd, 'hello.yaml'),
  `millrace: 1
name: hello
nodes:
  begin: { type: manual@1 }
  greet: { type: set@1, config: { fields: { text: "{{ 'Hello ' + $json.name.trim() }}" } } }
edges: [begin -> greet]
`,
)

describe.skipIf(!existsSync('/dev/full'))('output that cannot be written', () => {
  test.each([
    `run hello.yaml --input '{"name":"Ada"}'`,
    `run hello.yaml --quiet --input '{"name":"Ada"}'`,
    'explain hello.yaml',
    'nodes',
    'lint hello.yaml',
  ])('makes `%s` fail, and the cause is said', async (command) => {
    const { code, err } = await startShell(`millrace ${command} > /dev/full`, { cwd }).done
    expect(err).toMatch(/^millrace: standard output cannot be written: ENOSPC: no space left on device/m)
    expect(err).not.toContain('"state":"done"')
    expect(code).toBe(1)
  })
})
