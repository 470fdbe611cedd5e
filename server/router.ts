/** Finds what was registered for a method and path. `:name` matches one segment; fixed segments win over it. */
export interface Router<T> {
  /** False when the same methods and pattern are taken; nothing is added then. */
  add(methods: readonly string[], pattern: string, target: T): boolean
  remove(methods: readonly string[], pattern: string): void
  find(method: string, path: string): Match<T>
}

export type Match<T> =
  | { readonly kind: 'found'; readonly target: T; readonly params: Readonly<Record<string, string>> }
  | { readonly kind: 'other-method'; readonly allow: readonly string[] }
  | { readonly kind: 'none' }

interface Branch<T> {
  readonly fixed: Map<string, Branch<T>>
  param: Branch<T> | null
  readonly targets: Map<string, { readonly target: T; readonly names: readonly string[] }>
}

const none = { kind: 'none' } as const

/** A tree by path segments: the cost follows the path's length, not the number of routes. */
export function createRouter<T>(): Router<T> {
  const root = branch<T>()
  return {
    add(methods, pattern, target) {
      const { segments, names } = read(pattern)
      let at = root
      for (const segment of segments) at = descend(at, segment)
      if (methods.some((method) => at.targets.has(method))) return false
      for (const method of methods) at.targets.set(method, { target, names })
      return true
    },
    remove(methods, pattern) {
      const { segments } = read(pattern)
      let at: Branch<T> | null | undefined = root
      for (const segment of segments) at = segment.startsWith(':') ? at?.param : at?.fixed.get(segment)
      for (const method of methods) at?.targets.delete(method)
    },
    find(method, path) {
      const values: string[] = []
      const end = walk(root, split(path), 0, values)
      if (end === null) return none
      const found = end.targets.get(method)
      if (found === undefined) return { kind: 'other-method', allow: [...end.targets.keys()] }
      const params: Record<string, string> = {}
      found.names.forEach((name, index) => {
        params[name] = values[index] ?? ''
      })
      return { kind: 'found', target: found.target, params }
    },
  }
}

function branch<T>(): Branch<T> {
  return { fixed: new Map(), param: null, targets: new Map() }
}

function read(pattern: string): { readonly segments: readonly string[]; readonly names: readonly string[] } {
  const segments = split(pattern)
  return { segments, names: segments.filter((segment) => segment.startsWith(':')).map((segment) => segment.slice(1)) }
}

/** `/a/b/` and `/a/b` are one path. */
function split(path: string): readonly string[] {
  const trimmed = path.replace(/^\/|\/$/g, '')
  return trimmed === '' ? [] : trimmed.split('/')
}

function descend<T>(at: Branch<T>, segment: string): Branch<T> {
  if (segment.startsWith(':')) {
    at.param ??= branch<T>()
    return at.param
  }
  let next = at.fixed.get(segment)
  if (next === undefined) {
    next = branch<T>()
    at.fixed.set(segment, next)
  }
  return next
}

/** Fixed first, then the parameter; goes back where the fixed way leads nowhere. Decodes after splitting, so `%2F` stays inside. */
function walk<T>(at: Branch<T>, segments: readonly string[], depth: number, values: string[]): Branch<T> | null {
  const segment = segments[depth]
  if (segment === undefined) return at.targets.size > 0 ? at : null
  const text = decode(segment)
  if (text === null) return null
  const fixed = at.fixed.get(text)
  const through = fixed === undefined ? null : walk(fixed, segments, depth + 1, values)
  if (through !== null || at.param === null || text === '') return through
  values.push(text)
  const end = walk(at.param, segments, depth + 1, values)
  if (end === null) values.pop()
  return end
}

function decode(segment: string): string | null {
  if (!segment.includes('%')) return segment
  try {
    return decodeURIComponent(segment)
  } catch {
    return null
  }
}
