import type { CallExpression, Expression, MemberExpression, Super } from 'acorn'

/** A node that an expression names: `$input` (name null), `$('Name')` or `$node['Name']`. */
export interface NodeReference {
  readonly name: string | null
  /** As the user wrote it, for messages. */
  readonly shown: string
}

/** `$input.item.json`, `$('Name').first().json`, `$node["Name"].json` …: the value of the message. Null for all else. */
export function itemReference(node: MemberExpression): NodeReference | null {
  if (keyOf(node) !== 'json') return null
  const legacy = legacyReference(node.object)
  if (legacy !== null) return legacy
  const item = node.object
  if (item.type === 'MemberExpression' && keyOf(item) === 'item') return sourceOf(item.object)
  if (item.type !== 'CallExpression' || item.arguments.length > 0 || item.callee.type !== 'MemberExpression')
    return null
  const method = keyOf(item.callee)
  return method === 'first' || method === 'last' ? sourceOf(item.callee.object) : null
}

/** `$input` or `$('Name')`, or one of their items, which are no values themselves. */
export function sourceOf(node: Expression | Super): NodeReference | null {
  if (node.type === 'Identifier' && node.name === '$input') return { name: null, shown: '$input' }
  if (node.type === 'CallExpression') return calledReference(node)
  if (node.type === 'MemberExpression' && keyOf(node) === 'item') return sourceOf(node.object)
  return null
}

function calledReference(node: CallExpression): NodeReference | null {
  if (node.callee.type === 'MemberExpression') {
    const method = keyOf(node.callee)
    return method === 'first' || method === 'last' ? sourceOfPlain(node.callee.object) : null
  }
  const [name] = node.arguments
  if (node.callee.type !== 'Identifier' || node.callee.name !== '$' || node.arguments.length !== 1) return null
  if (name?.type !== 'Literal' || typeof name.value !== 'string') return null
  return { name: name.value, shown: `$(${JSON.stringify(name.value)})` }
}

function sourceOfPlain(node: Expression | Super): NodeReference | null {
  return node.type === 'Identifier' || node.type === 'CallExpression' ? sourceOf(node) : null
}

function legacyReference(node: Expression | Super): NodeReference | null {
  if (node.type !== 'MemberExpression' || node.object.type !== 'Identifier' || node.object.name !== '$node') return null
  const name = keyOf(node)
  return name === null ? null : { name, shown: `$(${JSON.stringify(name)})` }
}

function keyOf(node: MemberExpression): string | null {
  const { property } = node
  if (!node.computed) return property.type === 'Identifier' ? property.name : null
  return property.type === 'Literal' && typeof property.value === 'string' ? property.value : null
}
