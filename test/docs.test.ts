import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { catalogue } from '../nodes.ts'
import { withParts, writtenPages } from '../scripts/written-pages.ts'
import { cli } from './cli-process.ts'
import { root, trackedFiles } from './source-files.ts'

describe('written pages', async () => {
  const pages = await writtenPages()

  it.each(pages)('$path is what the definitions say; if not, run `npm run docs`', ({ current, text }) => {
    expect(current).toBe(text)
  })

  it('tells of each node type once', () => {
    const headings = pages.flatMap((page) => [...page.text.matchAll(/^## (\S+@\d+)$/gm)].map((match) => match[1]))
    expect(headings.sort()).toEqual(catalogue.types.map((type) => `${type.name}@${type.latest}`).sort())
  })

  it('tells of each field what it means', () => {
    const fields = pages.flatMap((page) => page.text.match(/^\| `\S+` \|.*\|$/gm) ?? [])
    expect(fields.length).toBeGreaterThan(300)
    expect(fields.filter((row) => row.endsWith('|  |'))).toEqual([])
  })

  it.each([
    ['http.request', 'method', ' | `"GET"` | '],
    ['grpc.call', 'tls', ' | `false` | '],
    ['grpc.call', 'tls.ca', 'File with the authorities'],
    ['kafka.consume', 'from.time', ' |  |  | '],
    ['summarize', 'fields.NAME.as', ' | **required** | '],
  ])('`millrace nodes %s` tells of %s, though it lies deeper or may be an expression', async (type, field, what) => {
    const { out } = await cli(['nodes', type], { cwd: root })
    expect(out.split('\n').find((row) => row.startsWith(`| \`${field}\` |`))).toContain(what)
  })

  it('complains about a table that has no place', () => {
    expect(() => withParts('# Page', { settings: '| |' })).toThrow('there is no place for the part settings')
  })
})

describe('docs/document-format.md', () => {
  it('has examples without problems, whose own tests pass', async () => {
    const page = await readFile(join(root, 'docs/document-format.md'), 'utf8')
    const examples = [...page.matchAll(/```yaml\n(# (\S+\.yaml)\n[\s\S]*?)```/g)]
    const folder = await mkdtemp(join(tmpdir(), 'millrace-docs-'))
    try {
      for (const [, text = '', file = ''] of examples) await writeFile(join(folder, file), text)
      const files = examples.map(([, , file = '']) => file)
      const linted = await cli(['lint', ...files], { cwd: folder })
      expect(linted.out.trim().split('\n')).toEqual(files.map((file) => `${file}: no problems`))
      const tested = await cli(['test', ...files], { cwd: folder })
      expect(tested.out).toMatch(/\n5 passed, 0 failed\n$/)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})

describe('links to headings', () => {
  const pages = trackedFiles().filter((path) =>
    /^(README|ARCHITECTURE|CONTRIBUTING|docs\/.+)\.md$|^docs\/.+\.md$/.test(path),
  )

  it.each(pages)('of %s lead to headings', async (page) => {
    const text = await readFile(join(root, page), 'utf8')
    const links = [...text.matchAll(/\]\(([^)#\s:]*)#([^)\s]+)\)/g)]
    const broken: string[] = []
    for (const [, file = '', anchor = ''] of links) {
      const path = file === '' ? page : normalize(join(dirname(page), file))
      const target = await readFile(join(root, path), 'utf8').catch(() => '')
      if (!anchorsOf(target).includes(anchor)) broken.push(`${file}#${anchor}`)
    }
    expect(broken).toEqual([])
  })
})

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(text: string): readonly string[] {
  return [...text.replaceAll(/```[\s\S]*?```/g, '').matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}
