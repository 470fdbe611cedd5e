import type { PlannedNode } from '../document/plan.ts'
import { explainFailure } from '../expressions/index.ts'
import type { BatchInput, Ir } from '../expressions/ir.ts'
import type { Failure } from '../flow/failure.ts'
import { failureOf } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import type { Statement } from './loop-builder.ts'

/**
 * The failure of a message in an inline node. A type error is explained by evaluating the node's expressions again, step by step:
 * it says which part of the path is missing, and the fast path had to remember nothing.
 */
export function explainError(
  node: PlannedNode,
  message: Message,
  value: unknown,
  batch: BatchInput,
  thrown: unknown,
): Failure {
  const failure = failureOf(thrown, node.id)
  if (!(thrown instanceof TypeError)) return failure
  const input = { json: value, key: message.key, meta: message.meta, at: message.at, batch }
  for (const ir of expressionsOf(node.statements)) {
    const sentence = explainFailure(ir, input)
    if (sentence !== null) return { ...failure, message: sentence }
  }
  return failure
}

function expressionsOf(statements: readonly Statement[]): readonly Ir[] {
  return statements.flatMap((each): readonly Ir[] => {
    switch (each.do) {
      case 'let':
      case 'become':
        return [each.value]
      case 'if':
        return [each.test, ...expressionsOf(each.then), ...expressionsOf(each.otherwise)]
      case 'assign':
        return each.fields.map((field) => field.value)
      case 'fail':
        return [each.text]
      default:
        return []
    }
  })
}
