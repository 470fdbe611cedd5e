import { metaOf } from '../flow/message.ts'
import { nowAt, todayAt } from './dates.ts'
import { budgetedFunctionOf, budgetedMethodOf, functionOf, methodOf } from './dispatch.ts'
import { needsFuel } from './facts.ts'
import { charge, refuel } from './fuel.ts'
import type { BinaryOperator, ExpressionInput, ExpressionIr, Ir, IrEntry, IrItem, Root, UnaryOperator } from './ir.ts'
import { forbiddenNames, isGuardedName } from './names.ts'
import { regexOf } from './regex.ts'
import * as runtime from './runtime.ts'
import { callbackSteps, expressionText, isNumeric, isScalar } from './text.ts'

/**
 * Evaluates IR by walking it: the twin of the text that `expressionText` makes, with the same results and errors.
 * For previews and for expressions that are evaluated once; slower by far than the text in a loop.
 * @param locals values of locals that are not parameters of the expression's own callbacks
 */
export function evaluate(ir: Ir, input: ExpressionInput, locals: ReadonlyMap<string, unknown> = noLocals): unknown {
  const budgeted = needsFuel(ir)
  if (budgeted) refuel()
  return new Walk(input, budgeted, null).value(ir, locals)
}

const noLocals: ReadonlyMap<string, unknown> = new Map()

/**
 * Makes a function of an expression, for callers that evaluate one by one. Costs some ten microseconds, so it is made once
 * and kept by its owner; nothing is cached here.
 */
export function compileExpression(expression: ExpressionIr): (input: ExpressionInput) => unknown {
  const constants: unknown[] = []
  const temps: string[] = []
  const text = expressionText(expression.ir, {
    json: 'input.json',
    message: 'input',
    batch: 'input.batch',
    env: (value) => `c${constants.push(value) - 1}`,
    local: (name) => {
      throw new Error(`the expression has a free local ${name}`)
    },
    temp: () => `t${temps.push(`t${temps.length}`) - 1}`,
  })
  const head = constants.map((_, index) => `const c${index} = env[${index}]; `).join('')
  const variables = temps.length === 0 ? '' : `let ${temps.join(', ')}; `
  const make: unknown = new Function(
    'env',
    `"use strict"; ${head}return function expression(input) { ${variables}return ${text} }`,
  )
  if (typeof make !== 'function') throw new Error('the expression was not compiled')
  const made: unknown = make(constants)
  if (!isExpressionFunction(made)) throw new Error('the expression was not compiled')
  return made
}

function isExpressionFunction(value: unknown): value is (input: ExpressionInput) => unknown {
  return typeof value === 'function'
}

/** What a link answers when an optional link before it met null or undefined. Never leaves its chain. */
const cut = Symbol('cut')
type Locals = ReadonlyMap<string, unknown>

/** Told which field, item or method is about to be read of which value, before that can throw. */
export type Watcher = (ir: Ir, object: unknown) => void

/** One evaluation. */
export class Walk {
  private readonly input: ExpressionInput
  private readonly budgeted: boolean
  private readonly watch: Watcher | null

  constructor(input: ExpressionInput, budgeted: boolean, watch: Watcher | null) {
    this.input = input
    this.budgeted = budgeted
    this.watch = watch
  }

  value(ir: Ir, locals: Locals): unknown {
    switch (ir.op) {
      case 'literal':
      case 'constant':
        return ir.value
      case 'undefined':
        return undefined
      case 'root':
        return this.root(ir.name)
      case 'local':
        if (!locals.has(ir.name)) throw new Error(`the expression has a free local ${ir.name}`)
        return locals.get(ir.name)
      case 'get':
      case 'at':
      case 'method':
        return this.link(ir, locals)
      case 'call':
        return this.call(ir.name, ir.args, locals)
      case 'unary': {
        const free = ir.operator === '!' || ir.operator === 'typeof'
        return unary[ir.operator](free ? this.value(ir.value, locals) : this.operand(ir.value, locals))
      }
      case 'binary':
        return this.binary(ir.operator, ir.left, ir.right, locals)
      case 'logical': {
        const left = this.value(ir.left, locals)
        const decided =
          ir.operator === '&&' ? !left : ir.operator === '||' ? Boolean(left) : left !== null && left !== undefined
        return decided ? left : this.value(ir.right, locals)
      }
      case 'condition':
        return this.value(this.value(ir.test, locals) ? ir.then : ir.otherwise, locals)
      case 'array':
        return this.items(ir.items, runtime.itemsOf, locals)
      case 'object':
        return this.object(ir.entries, locals)
      case 'text':
        return this.joined(
          ir.parts.map((part) => (isText(part) ? part.value : runtime.toText(this.operand(part, locals)))),
        )
      case 'template':
        return this.joined(ir.parts.map((part) => (isText(part) ? part.value : asTemplate(this.operand(part, locals)))))
      case 'arrow':
        return this.arrow(ir.params, ir.body, locals)
      case 'regex':
        return regexOf(ir.source, ir.flags)
      case 'chain': {
        const value = this.value(ir.value, locals)
        return value === cut ? undefined : value
      }
    }
  }

  private root(name: Root): unknown {
    const { json, key, meta, batch } = this.input
    switch (name) {
      case 'json':
        return json
      case 'now':
        return nowAt(batch.now)
      case 'today':
        return todayAt(batch.now)
      case 'key':
        return key
      case 'meta':
        return metaOf(this.input)
      case 'request':
        return runtime.requestOf(meta)
      default:
        return batch[name]
    }
  }

  private link(ir: Extract<Ir, { op: 'get' | 'at' | 'method' }>, locals: Locals): unknown {
    const object = this.value(ir.object, locals)
    if (object === cut || (ir.optional && (object === null || object === undefined))) return cut
    if (ir.op === 'get') {
      this.watch?.(ir, object)
      if (forbiddenNames.has(ir.key)) throw new Error(`the name ${ir.key} is not allowed`)
      const found = runtime.fieldsOf(object)[ir.key]
      return isGuardedName(ir.key) ? runtime.data(found) : found
    }
    if (ir.op === 'at') {
      if (ir.key.op === 'literal' && typeof ir.key.value === 'number') {
        this.watch?.(ir, object)
        return runtime.fieldsOf(object)[ir.key.value]
      }
      const key = this.operand(ir.key, locals)
      this.watch?.(ir, object)
      return runtime.at(object, key)
    }
    const args = this.items(ir.args, runtime.argumentsOf, locals)
    this.watch?.(ir, object)
    return (this.budgeted ? budgetedMethodOf(ir.name) : methodOf(ir.name))(object, ...args)
  }

  private call(name: string, args: readonly IrItem[], locals: Locals): unknown {
    if (name === 'Date.now') return this.input.batch.now
    const values = this.items(args, runtime.argumentsOf, locals)
    return (this.budgeted ? budgetedFunctionOf(name) : functionOf(name))(...values)
  }

  private items(items: readonly IrItem[], open: (value: unknown) => readonly unknown[], locals: Locals): unknown[] {
    const result: unknown[] = []
    for (const item of items) {
      if (item.op !== 'spread') result.push(this.value(item, locals))
      else for (const each of open(this.opened(item.value, locals))) result.push(each)
    }
    return result
  }

  private object(entries: readonly IrEntry[], locals: Locals): unknown {
    const fields: [string, unknown][] = []
    for (const entry of entries) {
      if ('key' in entry) {
        const key = runtime.entryKey(typeof entry.key === 'string' ? entry.key : this.operand(entry.key, locals))
        fields.push([key, this.value(entry.value, locals)])
      } else for (const field of Object.entries(Object(this.opened(entry.value, locals)))) fields.push(field)
    }
    return Object.fromEntries(fields)
  }

  private opened(ir: Ir, locals: Locals): unknown {
    const value = this.value(ir, locals)
    return this.budgeted ? runtime.opened(value) : value
  }

  private binary(operator: BinaryOperator, left: Ir, right: Ir, locals: Locals): unknown {
    const first = this.operand(left, locals)
    if (operator === 'in') return runtime.has(first, this.value(right, locals))
    const second = this.operand(right, locals)
    if (operator === '+') {
      const free = !this.budgeted || (isNumeric(left) && isNumeric(right))
      return free ? runtime.plus(first, second) : runtime.add(first, second)
    }
    return binary[operator](first, second)
  }

  private operand(ir: Ir, locals: Locals): unknown {
    const value = this.value(ir, locals)
    return this.budgeted && !isScalar(ir) ? runtime.operand(value) : value
  }

  private joined(parts: readonly string[]): string {
    const text = parts.join('')
    return this.budgeted ? runtime.limitedText(text) : text
  }

  private arrow(params: readonly string[], body: Ir, locals: Locals): (...args: readonly unknown[]) => unknown {
    const steps = callbackSteps(body)
    return (...args) => {
      charge(steps)
      return this.value(body, new Map([...locals, ...params.map((name, index) => [name, args[index]] as const)]))
    }
  }
}

function isText(ir: Ir): ir is { readonly op: 'literal'; readonly value: string } {
  return ir.op === 'literal' && typeof ir.value === 'string'
}

/** A value in a template literal. Unlike String(value) it refuses symbols, as templates do. */
function asTemplate(value: unknown): string {
  return `${value as string}`
}

/** JavaScript's own conversions apply to what the types call numbers here. */
function number(value: unknown): number {
  return value as number
}

const unary: Readonly<Record<UnaryOperator, (value: unknown) => unknown>> = {
  '!': (value) => !value,
  '-': (value) => -number(value),
  '+': (value) => +number(value),
  '~': (value) => ~number(value),
  typeof: (value) => typeof value,
}

const binary: Readonly<Record<Exclude<BinaryOperator, '+' | 'in'>, (left: unknown, right: unknown) => unknown>> = {
  '-': (left, right) => number(left) - number(right),
  '*': (left, right) => number(left) * number(right),
  '/': (left, right) => number(left) / number(right),
  '%': (left, right) => number(left) % number(right),
  '**': (left, right) => number(left) ** number(right),
  // biome-ignore lint/suspicious/noDoubleEquals: this is the language's own loose comparison
  '==': (left, right) => left == right,
  // biome-ignore lint/suspicious/noDoubleEquals: this is the language's own loose comparison
  '!=': (left, right) => left != right,
  '===': (left, right) => left === right,
  '!==': (left, right) => left !== right,
  '<': (left, right) => number(left) < number(right),
  '<=': (left, right) => number(left) <= number(right),
  '>': (left, right) => number(left) > number(right),
  '>=': (left, right) => number(left) >= number(right),
  '&': (left, right) => number(left) & number(right),
  '|': (left, right) => number(left) | number(right),
  '^': (left, right) => number(left) ^ number(right),
  '<<': (left, right) => number(left) << number(right),
  '>>': (left, right) => number(left) >> number(right),
  '>>>': (left, right) => number(left) >>> number(right),
}
