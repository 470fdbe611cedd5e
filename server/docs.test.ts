import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { createServer } from './create-server.ts'

const run = promisify(execFile)

it.each(['server.md', 'sdk.md'])('the first example of docs/%s runs and prints what it says', async (name) => {
  const text = await readFile(new URL(`../docs/${name}`, import.meta.url), 'utf8')
  const code = /```ts\n([\s\S]*?)```/.exec(text)?.[1]
  const expected = /```text\n([\s\S]*?)```/.exec(text)?.[1]
  // Inside the repository, where `millrace/server` resolves to the sources.
  const file = fileURLToPath(new URL(`./.example-${name}.ts`, import.meta.url))
  try {
    await writeFile(file, code ?? '')
    const { stdout } = await run(process.execPath, [file], { timeout: 20_000 })
    expect(stdout).toBe(expected)
  } finally {
    await rm(file, { force: true })
  }
})

it('docs/server.md names each path of the API', async () => {
  const page = await readFile(new URL('../docs/server.md', import.meta.url), 'utf8')
  const server = await createServer({ port: 0 })
  try {
    const answer = await fetch(`${server.url}/api/openapi.json`)
    const { paths } = z.object({ paths: z.record(z.string(), z.unknown()) }).parse(await answer.json())
    expect(Object.keys(paths)).toContain('/api/workflows/{id}/sources')
    expect(Object.keys(paths).filter((path) => !new RegExp(`${RegExp.escape(path)}[\`?]`).test(page))).toEqual([])
  } finally {
    await server.close()
  }
})
