/** What stands behind the `?` of an address. A name that comes once has a text, one that is repeated a list of them. */
export type Query = Readonly<Record<string, string | readonly string[]>>

/** Takes a query apart, in one pass whatever it holds. The name that reaches a prototype is left out. */
export function queryOf(parameters: URLSearchParams): Query {
  const found = new Map<string, string | string[]>()
  for (const [name, value] of parameters) {
    const before = found.get(name)
    if (before === undefined) found.set(name, value)
    else if (typeof before === 'string') found.set(name, [before, value])
    else before.push(value)
  }
  found.delete('__proto__')
  return Object.fromEntries(found)
}
