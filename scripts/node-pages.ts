import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { nodeMarkdown } from '../cli/node-docs.ts'
import type { NodeType } from '../core/define.ts'
import { catalogue } from '../nodes.ts'

const root = new URL('../', import.meta.url)

/** docs/operators.md: every node type of the folder operators/. */
export async function operatorsPage(): Promise<string> {
  const intro =
    'What happens to messages on their way. A node has these fields besides its `config`: [nodes](document-format.md#nodes).\n' +
    'Expressions between `{{` and `}}` have [a page of their own](expressions.md); what triggers and sinks do stands under [connectors](connectors.md).'
  return nodePage('Operators', intro, await typesIn('operators'))
}

/** docs/connectors.md: every node type of the folder connectors/, and the pages that tell more of some of them. */
export async function connectorsPage(): Promise<string> {
  const intro = `Where messages come from and where they go. With longer examples: ${(await longerPages()).join(', ')}.\nWhat happens in between stands under [operators](operators.md).`
  return nodePage('Connectors', intro, await typesIn('connectors'))
}

function nodePage(title: string, intro: string, types: readonly NodeType[]): string {
  const sorted = types.toSorted((a, b) => a.name.localeCompare(b.name))
  return [
    `# ${title}`,
    '<!-- Written by `npm run docs` from the definitions of the node types. Change those. -->',
    intro,
    ['| node | what it does |', '|---|---|', ...sorted.map(row)].join('\n'),
    ...sorted.map((type) => nodeMarkdown(type).trim()),
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n')
}

function row(type: NodeType): string {
  const named = `${type.name}@${type.latest}`
  // How GitHub and most others make an anchor of a heading.
  const anchor = named
    .toLowerCase()
    .replace(/[^a-z0-9 _-]/g, '')
    .replaceAll(' ', '-')
  return `| [${named}](#${anchor}) | ${type.versions[type.latest]?.summary ?? ''} |`
}

/** The node types of the catalogue that a folder's modules define. */
async function typesIn(folder: 'operators' | 'connectors'): Promise<readonly NodeType[]> {
  const entries = await readdir(new URL(`${folder}/`, root), { withFileTypes: true })
  const modules = await Promise.all(
    entries
      .map((entry) => new URL(`${folder}/${entry.name}/index.ts`, root))
      // A folder whose first node type is still to come has none.
      .filter((index) => existsSync(index))
      .map((index): Promise<object> => import(index.href)),
  )
  const exported = new Set<unknown>(modules.flatMap((module) => Object.values(module)))
  return catalogue.types.filter((type) => exported.has(type))
}

/** Links to the pages of docs/connectors/, by their titles. */
async function longerPages(): Promise<readonly string[]> {
  const names = (await readdir(new URL('docs/connectors/', root))).filter((name) => name.endsWith('.md')).sort()
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(new URL(`docs/connectors/${name}`, root), 'utf8')
      return `[${/^# (.+)$/m.exec(text)?.[1] ?? name}](connectors/${name})`
    }),
  )
}
