import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import packageJson from '../package.json' with { type: 'json' }

const run = promisify(execFile)
const root = fileURLToPath(new URL('..', import.meta.url))
const program = join(root, 'bin/millrace.js')

test('every dependency has its line in docs/dependencies.md, and every line its dependency', () => {
  const page = readFileSync(join(root, 'docs/dependencies.md'), 'utf8')
  const listed = [...page.matchAll(/^\| (`[^|]+`) \|/gm)].flatMap(([, names = '']) =>
    [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  )
  const { dependencies, optionalDependencies, devDependencies } = packageJson
  expect(listed.sort()).toEqual(Object.keys({ ...dependencies, ...optionalDependencies, ...devDependencies }).sort())
})

const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', ...pagesUnder('docs')]

test.each(pages)('links of %s lead somewhere', (page) => {
  const text = readFileSync(join(root, page), 'utf8')
  const links = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '')
  const broken = links.filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(root, dirname(page), link)))
  expect(broken).toEqual([])
})

test.each(pages)(
  '%s has TypeScript and WebSockets run by the Node that npm installs, not by an older one of the machine',
  (page) => {
    const text = readFileSync(join(root, page), 'utf8')
    expect(text).not.toMatch(/(?<!npx )\bnode [\w./-]+\.ts\b/)
    if (text.includes('new WebSocket(')) expect(text).not.toMatch(/^node /m)
  },
)

test.each([
  ['getting-started.md', ['{"text":"Hello Grace"}', 'exit code 1', 'exit code 2', '2 passed, 0 failed', '99900']],
  ['operations.md', ['"state":"running"', 'node.type-error', 'the new version runs', 'node="tens"']],
  ['delivery.md', ['"in":3,"out":2,"errors":1,"deadLetters":1', '"value":{"id":2,"total":"much"}']],
])('every block of docs/%s works, from the first to the last', async (name, wanted) => {
  const port = String(await freePort())
  const page = readFileSync(join(root, 'docs', name), 'utf8').replaceAll('4600', port)
  const folder = await mkdtemp(join(tmpdir(), 'docs-test-'))
  let all = ''
  try {
    await makeTools(join(folder, '.bin'))
    for (const [, language, code = ''] of page.matchAll(/```(sh|yaml|text)\n([\s\S]*?)```/g)) {
      const file = /^# (\S+\.yaml)\n/.exec(code)?.[1]
      if (language === 'yaml' && file !== undefined) await writeFile(join(folder, file), code)
      else if (language === 'text') expect(all).toContain(code)
      else if (language === 'sh') {
        const { stdout, stderr } = await run('bash', ['-e', '-o', 'pipefail', '-c', `${endsItsJobs}\n${code}`], {
          cwd: folder,
          env: {
            ...process.env,
            NO_COLOR: '1',
            PORT: port,
            MILLRACE_SERVER: `http://127.0.0.1:${port}`,
            PATH: `${join(folder, '.bin')}:${process.env.PATH}`,
          },
          timeout: 30_000,
        })
        expect(stderr).not.toMatch(/^\s+at /m)
        all += stdout + stderr
      }
    }
    for (const each of wanted) expect(all).toContain(each)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

/** A block that fails half way leaves no server behind. */
const endsItsJobs = `trap 'kill $(jobs -p) 2> /dev/null || :' EXIT`

/** `npx millrace` and `npm install` as in a clone that is installed already, on the Node that runs this test. */
async function makeTools(folder: string): Promise<void> {
  await mkdir(folder)
  await symlink(process.execPath, join(folder, 'node'))
  await writeFile(join(folder, 'npx'), `#!/bin/sh\nshift\nexec node "${program}" "$@"\n`, { mode: 0o755 })
  await writeFile(join(folder, 'npm'), '#!/bin/sh\n', { mode: 0o755 })
}

function pagesUnder(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`)
}

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
