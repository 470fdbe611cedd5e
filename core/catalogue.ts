import type { AnyDefinition, NodeType } from './define.ts'
import { distanceOf } from './nearest.ts'

/** The node types that a host offers, by name and version. */
export interface Catalogue {
  /** The definition for `filter@1`, or for `filter` at its latest version; null when there is none. */
  find(type: string): AnyDefinition | null
  readonly types: readonly NodeType[]
  /** Names near to one that is not known, nearest first, for "did you mean". */
  near(type: string): readonly string[]
}

/** Joins node types to a catalogue. Throws at load on two types of one name: a mistake of the code. */
export function createCatalogue(types: readonly NodeType[]): Catalogue {
  const byName = new Map<string, NodeType>()
  for (const type of types) {
    if (byName.has(type.name)) throw new Error(`two node types are called ${type.name}`)
    byName.set(type.name, type)
  }
  return {
    types: Object.freeze([...types]),
    find(type) {
      const at = type.lastIndexOf('@')
      const known = byName.get(at < 0 ? type : type.slice(0, at))
      if (known === undefined) return null
      const version = at < 0 ? known.latest : Number(type.slice(at + 1))
      return Object.hasOwn(known.versions, version) ? (known.versions[version] ?? null) : null
    },
    near(type) {
      const name = type.split('@')[0] ?? type
      const known = byName.get(name)
      if (known !== undefined) return Object.keys(known.versions).map((version) => `${name}@${version}`)
      return [...byName.keys()]
        .map((each) => ({ each, distance: distanceOf(name, each) }))
        .filter(({ each, distance }) => distance <= 3 || each.includes(name) || name.includes(each))
        .sort((a, b) => a.distance - b.distance)
        .slice(0, 3)
        .map(({ each }) => each)
    },
  }
}
