import type { PlannedNode } from '../document/plan.ts'
import { explainFailure } from '../expressions/index.ts'
import type { BatchInput, ExpressionInput, Ir } from '../expressions/ir.ts'
import type { Failure } from '../flow/failure.ts'
import { failureOf, NodeError } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import type { Statement } from './loop-builder.ts'

/**
 * The failure of a message in a node that works in memory, where another attempt gives the same. A type error is explained by
 * evaluating the node's expressions again, step by step: it says which part of the path is missing, and the fast path had to
 * remember nothing.
 */
export function explainError(
  node: PlannedNode,
  message: Message,
  value: unknown,
  batch: BatchInput,
  thrown: unknown,
): Failure {
  if (thrown instanceof NodeError) return failureOf(thrown, node.id)
  const failure = { ...failureOf(thrown, node.id), retriable: false }
  if (!(thrown instanceof TypeError)) return failure
  const input = { json: value, key: message.key, meta: message.meta, at: message.at, batch }
  for (const ir of expressionsOf(node.statements)) {
    const sentence = explainFailure(ir, input)
    if (sentence !== null) return { ...failure, message: sentence }
  }
  return failure
}

/**
 * What a single expression's reader throws in place of `thrown`: the same explanation, as an error that no retry can help,
 * since the same message gives the same value.
 */
export function expressionError(ir: Ir, input: ExpressionInput, thrown: unknown): NodeError {
  if (thrown instanceof NodeError) return thrown
  const { code, message } = failureOf(thrown, null)
  const sentence = thrown instanceof TypeError ? explainFailure(ir, input) : null
  return new NodeError(code, sentence ?? message, { cause: thrown })
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
