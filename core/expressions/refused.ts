import type { AnyNode } from 'acorn'
import type { Complaint } from './complaints.ts'

/** The complaint about syntax that is not part of the language. */
export function refused(node: AnyNode): Complaint {
  const { what, remedy } = words(node)
  return { code: 'expression.not-allowed', message: `${what} not allowed in an expression.`, remedy }
}

function words(node: AnyNode): { readonly what: string; readonly remedy: string } {
  switch (node.type) {
    case 'ArrowFunctionExpression':
      return node.async
        ? { what: 'An async function is', remedy: 'Wait for other systems in a node of their own.' }
        : {
            what: 'A function outside a method such as map or filter is',
            remedy: 'Write the value itself, or use a task of a pool node.',
          }
    case 'FunctionExpression':
      return { what: 'A function is', remedy: 'Write an arrow in a method such as map, or use a task of a pool node.' }
    case 'NewExpression':
      return { what: '"new" is', remedy: 'Use $now, DateTime.fromISO(text) or Date.parse(text) for dates.' }
    case 'ThisExpression':
      return { what: '"this" is', remedy: 'Use $json for the value of the message.' }
    case 'AssignmentExpression':
      return { what: 'An assignment is', remedy: 'Compare with ===, or set fields with a set node.' }
    case 'UpdateExpression':
      return { what: `"${node.operator}" is`, remedy: 'Write value + 1.' }
    case 'SequenceExpression':
      return { what: 'Several expressions with commas are', remedy: 'Write one expression.' }
    case 'TaggedTemplateExpression':
      return { what: 'A tagged template is', remedy: 'Use a template without a tag.' }
    case 'UnaryExpression':
      return {
        what: `"${node.operator}" is`,
        remedy: node.operator === 'void' ? 'Write undefined.' : 'Write a new object without the field.',
      }
    case 'BinaryExpression':
      return { what: `"${node.operator}" is`, remedy: 'Use typeof or Array.isArray(value).' }
    case 'ClassExpression':
      return { what: 'A class is', remedy: 'Move the work into a task of a pool node.' }
    case 'AwaitExpression':
    case 'YieldExpression':
      return { what: 'Waiting is', remedy: 'Wait for other systems in a node of their own.' }
    case 'ImportExpression':
    case 'MetaProperty':
      return { what: '"import" is', remedy: 'Move the work into a task of a pool node.' }
    case 'Super':
      return { what: '"super" is', remedy: 'Use $json for the value of the message.' }
    default:
      return {
        what: `This syntax (${node.type}) is`,
        remedy: 'Write a simpler expression, or use a task of a pool node.',
      }
  }
}
