import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const run = promisify(execFile)
const program = fileURLToPath(new URL('../bin/millrace.js', import.meta.url))

it.each(['file', 'http', 'standard-streams'])(
  'the first example of docs/connectors/%s.md runs and prints what it says',
  async (name) => {
    const page = await readFile(new URL(`../docs/connectors/${name}.md`, import.meta.url), 'utf8')
    const port = String(await freePort())
    const block = (language: string): string =>
      (new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? '').replaceAll('4680', port)
    const document = /Save this as `([^`]+)`/.exec(page)?.[1] ?? ''
    const folder = await mkdtemp(join(tmpdir(), 'millrace-docs-'))
    try {
      await writeFile(join(folder, document), block('yaml'))
      // `npx millrace` of a clone, and the Node that runs this test.
      await mkdir(join(folder, '.bin'))
      await symlink(process.execPath, join(folder, '.bin/node'))
      await writeFile(join(folder, '.bin/npx'), `#!/bin/sh\nshift\nexec node "${program}" "$@"\n`, { mode: 0o755 })
      const { stdout } = await run('bash', ['-e', '-c', `trap 'kill $(jobs -p) 2> .trap || :' EXIT\n${block('sh')}`], {
        cwd: folder,
        env: { ...process.env, PATH: `${join(folder, '.bin')}:${process.env.PATH}` },
        timeout: 30_000,
      })
      expect(stdout).toBe(block('text'))
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
)

/** A port that nobody listens on. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
