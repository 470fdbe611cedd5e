import { catalogue } from '../../nodes.ts'
import { nodeMarkdown } from '../node-docs.ts'
import { UsageError } from '../usage-error.ts'

/** `millrace nodes [TYPE]`: all node types, or the docs of one. */
export function nodes(asked: string | undefined): void {
  if (asked === undefined) {
    const width = Math.max(...catalogue.types.map((type) => type.name.length)) + 3
    for (const type of [...catalogue.types].sort((a, b) => a.name.localeCompare(b.name)))
      console.log(`${`${type.name}@${type.latest}`.padEnd(width)} ${type.versions[type.latest]?.summary ?? ''}`)
    return
  }
  const definition = catalogue.find(asked)
  const type = catalogue.types.find((each) => each.name === definition?.name)
  if (type === undefined) {
    const near = catalogue.near(asked)
    throw new UsageError(
      `there is no node type ${JSON.stringify(asked)}; ${near.length > 0 ? `did you mean ${near.join(' or ')}?` : '`millrace nodes` lists all'}`,
    )
  }
  console.log(nodeMarkdown(type))
}
