import type { Plan } from '../core/document/plan.ts'
import { nearest } from '../core/nearest.ts'

/** Says of each variable that was set and that no expression of the plan reads what may be meant. */
export function unreadVariables(names: readonly string[], plan: Plan, path: string): readonly string[] {
  const read = new Set<string>()
  for (const node of plan.nodes) collect(node.config, read)
  // Names that are known only when it runs may be any.
  if (read.has('*')) return []
  const unset = [...read].filter((name) => !names.includes(name))
  return names
    .filter((name) => !read.has(name))
    .map((name) => {
      const meant = nearest(name, unset)
      return `--set ${name}: nothing in ${path} reads $vars.${name}${meant === null ? '' : `; did you mean ${meant}?`}`
    })
}

function collect(config: unknown, read: Set<string>): void {
  if (typeof config !== 'object' || config === null) return
  if ('varNames' in config && Array.isArray(config.varNames)) for (const name of config.varNames) read.add(String(name))
  else for (const each of Object.values(config)) collect(each, read)
}
