import type { Catalogue } from '../catalogue.ts'
import type { LetterShelf } from '../define.ts'
import type { Plan } from '../document/plan.ts'
import type { Host } from '../host.ts'
import { Engine } from '../run/engine.ts'
import { nodeContext } from './context.ts'

/** Where the triggers of a plan keep their dead letters, by node; `node` asks for one of them. Nothing of the plan runs. Close each shelf. */
export async function openLetterShelves(
  plan: Plan,
  catalogue: Catalogue,
  host: Host,
  node: string | null,
): Promise<readonly { readonly node: string; readonly shelf: LetterShelf }[]> {
  const engine = new Engine(plan, host, null)
  const opened: { readonly node: string; readonly shelf: LetterShelf }[] = []
  try {
    for (const each of plan.nodes) {
      if (node !== null && each.id !== node) continue
      const shelf = await catalogue.find(each.type)?.deadLetters?.(each.config, nodeContext(each, engine))
      if (shelf !== null && shelf !== undefined) opened.push({ node: each.id, shelf })
    }
  } catch (thrown) {
    await Promise.all(opened.map(({ shelf }) => shelf.close()))
    throw thrown
  }
  return opened
}
