import { readFile } from 'node:fs/promises'
import { languageTables } from '../core/expressions/language-tables.ts'
import { documentTables } from './document-tables.ts'
import { connectorsPage, operatorsPage } from './node-pages.ts'

/** A page of docs/ that is written from definitions, whole or in part. */
export interface WrittenPage {
  /** Path from the root of the repository. */
  readonly path: string
  readonly url: URL
  /** What the file holds now; null when there is none. */
  readonly current: string | null
  /** What it must hold. */
  readonly text: string
}

/** All pages that are written from definitions. Throws when a page lacks the marks between which a table belongs. */
export async function writtenPages(): Promise<readonly WrittenPage[]> {
  return [
    await page('docs/operators.md', () => operatorsPage()),
    await page('docs/connectors.md', () => connectorsPage()),
    await page('docs/document-format.md', (current) => withParts(current, documentTables())),
    await page('docs/expressions.md', (current) => withParts(current, { language: languageTables() })),
  ]
}

async function page(path: string, write: (current: string) => string | Promise<string>): Promise<WrittenPage> {
  const url = new URL(`../${path}`, import.meta.url)
  const current = await readFile(url, 'utf8').catch(() => null)
  try {
    return { path, url, current, text: await write(current ?? '') }
  } catch (thrown) {
    throw new Error(`${path}: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
  }
}

/** The text with each part in its place: between `<!-- written: NAME -->` and `<!-- /written: NAME -->`. */
export function withParts(text: string, parts: Readonly<Record<string, string>>): string {
  return Object.entries(parts).reduce((whole, [name, part]) => {
    const from = `<!-- written: ${name} -->`
    const to = `<!-- /written: ${name} -->`
    const begin = whole.indexOf(from)
    const end = whole.indexOf(to, begin)
    if (begin < 0 || end < 0) throw new Error(`there is no place for the part ${name}; put ${from} and ${to} around it`)
    return `${whole.slice(0, begin + from.length)}\n\n${part}\n\n${whole.slice(end)}`
  }, text)
}
