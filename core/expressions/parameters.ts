import type { AnyNode, Pattern } from 'acorn'
import type { Complaint } from './complaints.ts'
import { complaints, forbiddenName } from './complaints.ts'
import type { Ir } from './ir.ts'
import { forbiddenNames } from './names.ts'

/**
 * Declares in `locals` what a callback's parameter names, all read from the one local `name`:
 * `[a, b]` and `{ a, b: c }` become reads of its items and fields. Complains about every other pattern.
 */
export function declareParameter(
  pattern: Pattern,
  name: string,
  locals: Map<string, Ir>,
  complain: (node: AnyNode, complaint: Complaint) => void,
): void {
  const refuse = (node: AnyNode, complaint: Complaint): void => {
    complain(node, complaint)
    // Its names exist all the same, so that they are not complained about too.
    for (const each of namesIn(node)) locals.set(each, object)
  }
  const object: Ir = { op: 'local', name }
  if (pattern.type === 'Identifier') locals.set(pattern.name, object)
  else if (pattern.type === 'ArrayPattern') {
    for (const [index, element] of pattern.elements.entries()) {
      if (element === null) continue
      if (element.type !== 'Identifier') refuse(element, complaints.parameter)
      else locals.set(element.name, { op: 'at', object, key: { op: 'literal', value: index }, optional: false })
    }
  } else if (pattern.type === 'ObjectPattern') {
    for (const property of pattern.properties) {
      const key = property.type === 'Property' && !property.computed ? writtenKey(property.key) : null
      if (key !== null && forbiddenNames.has(key)) refuse(property, forbiddenName(key))
      else if (property.type !== 'Property' || key === null || property.value.type !== 'Identifier')
        refuse(property, complaints.parameter)
      else locals.set(property.value.name, { op: 'get', object, key, optional: false })
    }
  } else refuse(pattern, complaints.parameter)
}

function namesIn(node: AnyNode | null): readonly string[] {
  switch (node?.type) {
    case 'Identifier':
      return [node.name]
    case 'AssignmentPattern':
      return namesIn(node.left)
    case 'RestElement':
      return namesIn(node.argument)
    case 'ArrayPattern':
      return node.elements.flatMap(namesIn)
    case 'ObjectPattern':
      return node.properties.flatMap(namesIn)
    case 'Property':
      return namesIn(node.value)
    default:
      return []
  }
}

/** A field name that is written down in an object literal or pattern. */
export function writtenKey(node: AnyNode): string | null {
  if (node.type === 'Identifier') return node.name
  return node.type === 'Literal' && (typeof node.value === 'string' || typeof node.value === 'number')
    ? String(node.value)
    : null
}
