import type { Expression, NodeContext } from '../define.ts'
import type { PlannedNode } from '../document/plan.ts'
import { readsBatch } from '../expression-field.ts'
import type { BatchInput, ExpressionInput } from '../expressions/index.ts'
import { compileExpression, evaluate } from '../expressions/index.ts'
import type { Message } from '../flow/message.ts'
import { withValue } from '../flow/message.ts'
import { Scope } from '../flow/scope.ts'
import type { Engine } from '../run/engine.ts'
import { expressionError } from './explain-error.ts'

/** Makes what a node knows of where it runs; one per node and pipeline. */
export function nodeContext(node: PlannedNode, engine: Engine): NodeContext {
  return {
    node: node.id,
    workflow: engine.plan.workflow,
    delivery: engine.plan.settings.delivery,
    host: engine.host,
    signal: engine.signal,
    into: node.into,
    reader: <T>(expression: Expression<T>) => readerOf(expression, engine),
    readerOrValue: (expression) =>
      expression === undefined ? (message: Message) => message.value : readerOf(expression, engine),
    value: <T>(expression: Expression<T>) => startValue(expression, engine),
    result: (original, value) => withValue(original, combine(original.value, value, node)),
    state: (make) => {
      const slot = engine.stateSlot()
      return (scope) => {
        scope.slots ??= []
        if (scope.slots[slot] === undefined) scope.slots[slot] = make(scope)
        // The slot is this node's alone and is only ever filled by `make`.
        return scope.slots[slot] as ReturnType<typeof make>
      }
    },
    shared: (key, make, close) => engine.shared.use(engine, key, make, close),
    onRelease: (cleanup) => engine.onRelease(cleanup),
  }
}

function readerOf<T>(expression: Expression<T>, engine: Engine): (message: Message, scope: Scope) => T {
  // What an expression gives has the type that its field asks for only as far as its author took care;
  // whoever reads a field that must not be wrong checks it there.
  if (expression.ir === null) return () => expression.constant as T
  const { ir } = expression.ir
  const read = compileExpression(expression.ir)
  if (!readsBatch(expression)) {
    // One input for all messages: it is filled, read and left, and an expression cannot call anybody who would fill it anew.
    const input: { -readonly [K in keyof ExpressionInput]: ExpressionInput[K] } = {
      json: undefined,
      key: null,
      meta: null,
      at: -1,
      batch: nothingOfTheBatch,
    }
    return (message) => {
      input.json = message.value
      input.key = message.key
      input.meta = message.meta
      input.at = message.at
      try {
        return read(input) as T
      } catch (thrown) {
        throw expressionError(ir, input, thrown)
      }
    }
  }
  return (message, scope) => {
    const { value: json, key, meta, at } = message
    const input = { json, key, meta, at, batch: engine.batchInput(scope) }
    try {
      return read(input) as T
    } catch (thrown) {
      throw expressionError(ir, input, thrown)
    }
  }
}

const nothingOfTheBatch: BatchInput = {
  now: 0,
  vars: {},
  env: {},
  execution: { id: '', mode: '' },
  workflow: { id: '', name: '', version: '' },
}

function startValue<T>(expression: Expression<T>, engine: Engine): T {
  if (expression.ir === null) return expression.constant as T
  const { ir } = expression.ir
  const input = { json: undefined, key: null, meta: null, batch: engine.batchInput(new Scope(0, 0, null)) }
  try {
    return evaluate(ir, input) as T
  } catch (thrown) {
    throw expressionError(ir, input, thrown)
  }
}

function combine(before: unknown, value: unknown, node: PlannedNode): unknown {
  if (node.into === 'replace') return value
  const base = isFields(before) ? before : {}
  if (node.into === 'merge') return { ...base, ...(isFields(value) ? value : {}) }
  return { ...base, [node.into.field]: value }
}

function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
