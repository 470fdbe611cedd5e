import type {
  AnyNode,
  ArrowFunctionExpression,
  CallExpression,
  Expression,
  MemberExpression,
  ObjectExpression,
  Pattern,
  SpreadElement,
  Super,
} from 'acorn'
import type { Problem } from '../problem.ts'
import { problem } from '../problem.ts'
import type { BinaryOperator, ExpressionScope, Ir, IrEntry, IrItem, Root, UnaryOperator } from './ir.ts'
import { limits } from './limits.ts'
import type { FunctionSpec, MethodSpec } from './methods.ts'
import { callbackFunctions, constants, functionByName, methodByName, namespaces, replacements } from './methods.ts'
import { fixedFields, forbiddenNames, foreignNames, rootNames } from './names.ts'
import { nearest } from './nearest.ts'
import { analysePattern } from './pattern.ts'
import { refused } from './refused.ts'
import { itemReference, sourceOf } from './upstream.ts'

const nothing: Ir = { op: 'undefined' }
type Locals = ReadonlyMap<string, Ir>

/**
 * Turns a syntax tree into IR and checks it on the way: there is no IR for what is not allowed. Collects every problem,
 * and what the expression reads, over all parts of one text.
 */
export class Lowering {
  readonly problems: Problem[] = []
  readonly roots = new Set<Root>()
  readonly envNames = new Set<string>()
  readonly varNames = new Set<string>()
  private readonly scope: ExpressionScope
  private locals: Locals = new Map()
  private depth = 0
  private params = 0

  constructor(scope: ExpressionScope) {
    this.scope = scope
  }

  /** The IR of one expression. When there are problems, it is a piece that must not be run. */
  lower(tree: Expression): Ir {
    this.depth = 0
    this.locals = new Map()
    return this.expression(tree)
  }

  private expression(node: Expression | Super): Ir {
    if (this.depth >= limits.depthMax) {
      if (this.problems.at(-1)?.code !== 'expression.too-deep')
        this.report(
          'expression.too-deep',
          node,
          `The expression is nested deeper than ${limits.depthMax} levels`,
          'Split it over several fields, or move the work into a Code node.',
        )
      return nothing
    }
    this.depth += 1
    const ir = this.allowed(node)
    this.depth -= 1
    return ir
  }

  private allowed(node: Expression | Super): Ir {
    switch (node.type) {
      case 'Literal':
        return this.literal(node)
      case 'Identifier':
        return this.name(node, node.name)
      case 'MemberExpression':
        return this.member(node)
      case 'CallExpression':
        return this.call(node)
      case 'ChainExpression':
        return { op: 'chain', value: this.expression(node.expression) }
      case 'ParenthesizedExpression':
        return this.expression(node.expression)
      case 'UnaryExpression': {
        const { operator } = node
        if (!isUnary(operator)) return this.refuse(node)
        return { op: 'unary', operator, value: this.expression(node.argument) }
      }
      case 'BinaryExpression': {
        const { operator, left } = node
        if (!isBinary(operator) || left.type === 'PrivateIdentifier') return this.refuse(node)
        return { op: 'binary', operator, left: this.expression(left), right: this.expression(node.right) }
      }
      case 'LogicalExpression':
        return {
          op: 'logical',
          operator: node.operator,
          left: this.expression(node.left),
          right: this.expression(node.right),
        }
      case 'ConditionalExpression':
        return {
          op: 'condition',
          test: this.expression(node.test),
          // biome-ignore lint/suspicious/noThenProperty: IR is never awaited, and its fields have the names of their meaning
          then: this.expression(node.consequent),
          otherwise: this.expression(node.alternate),
        }
      case 'ArrayExpression':
        return { op: 'array', items: node.elements.map((each) => (each === null ? this.hole(node) : this.item(each))) }
      case 'ObjectExpression':
        return this.object(node)
      case 'TemplateLiteral':
        return this.template(
          node.quasis.map((each) => each.value.cooked ?? ''),
          node.expressions,
        )
      default:
        return this.refuse(node)
    }
  }

  private literal(node: Extract<Expression, { type: 'Literal' }>): Ir {
    if (node.regex)
      return this.report(
        'expression.regex',
        node,
        'A regular expression cannot stand here',
        'Use it as the argument of match, matchAll, replace, replaceAll, search or split, or call test or exec on it.',
      )
    const { value } = node
    if (typeof value === 'number' && !Number.isFinite(value)) return quotient(1)
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null) {
      if (node.bigint === undefined || node.bigint === null) return { op: 'literal', value }
    }
    return this.report('expression.not-allowed', node, 'Big integers are not allowed', 'Write a number, or a text.')
  }

  private template(texts: readonly string[], values: readonly Expression[]): Ir {
    const parts: Ir[] = []
    for (const [index, text] of texts.entries()) {
      if (text !== '') parts.push({ op: 'literal', value: text })
      const value = values[index]
      if (value !== undefined) parts.push(this.expression(value))
    }
    return { op: 'template', parts }
  }

  private name(node: AnyNode, name: string): Ir {
    const local = this.locals.get(name)
    if (local !== undefined) return local
    if (name === 'undefined') return nothing
    if (name === 'NaN' || name === 'Infinity') return quotient(name === 'NaN' ? 0 : 1)
    const root = rootNames.get(name)
    if (root === 'env')
      return this.report('expression.not-allowed', node, '$env cannot be used as a whole', 'Name the value: $env.NAME.')
    if (root !== undefined) return this.root(root)
    if (namespaces.has(name))
      return this.report(
        'expression.not-allowed',
        node,
        `${name} cannot be used as a value`,
        `Call one of its functions, such as ${firstOf(name)}.`,
      )
    if (functionByName.has(name))
      return this.report(
        'expression.not-allowed',
        node,
        `The function ${name} cannot be used as a value`,
        `Call it: ${name}(…).`,
      )
    if (name === '$input' || name === '$' || name === '$node')
      return this.report(
        'expression.not-allowed',
        node,
        `${name} cannot be used alone`,
        "Write $json, or $('Name').item.json for the node before this one.",
      )
    const foreign = foreignNames.get(name)
    if (foreign !== undefined)
      return this.report('expression.unknown-name', node, `The name ${name} does not exist here`, foreign)
    const similar = nearest(name, [
      ...this.locals.keys(),
      ...rootNames.keys(),
      '$input',
      ...functionByName.keys(),
      ...namespaces,
    ])
    return this.report(
      'expression.unknown-name',
      node,
      `The name ${shown(name)} does not exist`,
      similar === null ? 'Use $json for the value of the message, or put text in quotes.' : `Did you mean ${similar}?`,
    )
  }

  private root(name: Root): Ir {
    this.roots.add(name)
    if (name === 'vars') this.varNames.add('*')
    return { op: 'root', name }
  }

  private member(node: MemberExpression): Ir {
    const reference = itemReference(node)
    if (reference !== null) {
      this.checkUpstream(node, reference)
      return this.root('json')
    }
    const key = staticKey(node)
    if (node.object.type === 'Identifier' && key !== null && !this.locals.has(node.object.name)) {
      const constant = constants.get(`${node.object.name}.${key}`)
      if (constant !== undefined) return { op: 'literal', value: constant }
      const named = this.namedField(node, node.object.name, key)
      if (named !== null) return named
    }
    const source = sourceOf(node.object)
    if (source !== null)
      return this.report(
        'expression.not-allowed',
        node,
        `Only the JSON value of ${source.shown} can be read`,
        `Write ${source.shown}.item.json.`,
      )
    const object = this.expression(node.object)
    if (key !== null) return this.field(node, object, key, node.optional)
    if (node.property.type === 'PrivateIdentifier') return this.refuse(node)
    return { op: 'at', object, key: this.expression(node.property), optional: node.optional }
  }

  private field(node: MemberExpression, object: Ir, key: string, optional: boolean): Ir {
    if (forbiddenNames.has(key))
      return this.report(
        'expression.forbidden-name',
        node.property,
        `The name ${key} is not allowed`,
        'Rename the field where it is made.',
      )
    const { property } = node
    if (node.computed && property.type === 'Literal' && typeof property.value === 'number')
      return { op: 'at', object, key: { op: 'literal', value: property.value }, optional }
    return { op: 'get', object, key, optional }
  }

  /** `$env.NAME`, `$vars.name`, `$execution.id` …: roots that are read by name. Null when the object is another name. */
  private namedField(node: MemberExpression, objectName: string, key: string): Ir | null {
    const root = rootNames.get(objectName)
    if (root === 'env' || root === 'vars') {
      this.roots.add(root)
      const names = root === 'env' ? this.envNames : this.varNames
      if (!forbiddenNames.has(key)) names.add(key)
      return this.field(node, { op: 'root', name: root }, key, node.optional)
    }
    const fields = root === undefined ? undefined : fixedFields.get(root)
    if (fields === undefined || fields.includes(key)) return null
    return this.report(
      'expression.unknown-name',
      node.property,
      `${objectName} has no ${shown(key)}`,
      `Use ${fields.map((field) => `${objectName}.${field}`).join(' or ')}.`,
    )
  }

  private checkUpstream(
    node: MemberExpression,
    reference: { readonly name: string | null; readonly shown: string },
  ): void {
    const { name } = reference
    if (name === null) return
    const { upstream, nodes } = this.scope
    const isNamed = (each: { readonly id: string; readonly label: string }): boolean =>
      each.id === name || each.label === name
    if (upstream.some(isNamed)) {
      if (upstream.length > 1)
        this.report(
          'expression.several-upstream',
          node,
          `A message may come from ${list(upstream.map((each) => each.id))}, not only from ${shown(name)}`,
          'Write $json, which is the value of the message wherever it came from.',
        )
    } else if (nodes.some(isNamed))
      this.report(
        'expression.not-upstream',
        node,
        `The node ${shown(name)} is not directly before this one`,
        'Carry the value along in the message, for example with into: merge, and read it from $json.',
      )
    else {
      const similar = nearest(
        name,
        nodes.flatMap((each) => [each.id, each.label]),
      )
      this.report(
        'expression.unknown-node',
        node,
        `There is no node ${shown(name)}`,
        similar === null ? 'Write $json for the value of the message.' : `Did you mean ${similar}?`,
      )
    }
  }

  private call(node: CallExpression): Ir {
    const { callee } = node
    if (node.optional)
      return this.report(
        'expression.not-allowed',
        node,
        'A call with ?.( is not allowed',
        'Put the question mark before the name: value?.method(…).',
      )
    if (callee.type === 'Identifier' && !this.locals.has(callee.name))
      return this.functionCall(node, callee, callee.name)
    if (callee.type !== 'MemberExpression') {
      this.report(
        'expression.not-allowed',
        callee,
        'Only methods and functions of the language can be called',
        'Call a method on a value, such as $json.name.trim(), or a function such as Math.round(…).',
      )
      return nothing
    }
    const name = staticKey(callee)
    if (name === null) {
      this.report(
        'expression.not-allowed',
        callee,
        'A method cannot be chosen by a computed name',
        'Write the name of the method after a dot.',
      )
      return nothing
    }
    const { object } = callee
    if (object.type === 'Identifier' && !this.locals.has(object.name) && namespaces.has(object.name))
      return this.functionCall(node, callee, `${object.name}.${name}`)
    return this.methodCall(node, callee, name)
  }

  private methodCall(node: CallExpression, callee: MemberExpression, name: string): Ir {
    const source = sourceOf(callee.object)
    if (source !== null)
      return this.report(
        'expression.not-allowed',
        callee,
        `${source.shown}.${name}(…) is not available`,
        replacements.get(name) ?? `Write ${source.shown}.item.json.`,
      )
    const spec = methodByName.get(name)
    const receiver = callee.object
    const pattern =
      receiver.type === 'Literal' &&
      receiver.regex !== undefined &&
      receiver.regex !== null &&
      spec?.on.includes('regex')
    const object = pattern ? this.regex(receiver) : this.expression(receiver)
    if (forbiddenNames.has(name))
      return this.report(
        'expression.forbidden-name',
        callee.property,
        `The name ${name} is not allowed`,
        'Leave it out.',
      )
    if (spec === undefined) {
      const similar = nearest(name, [...methodByName.keys()])
      return this.report(
        'expression.unknown-method',
        callee.property,
        `There is no method ${shown(name)}`,
        replacements.get(name) ??
          (similar === null ? 'See the list of methods in the docs of expressions.' : `Did you mean ${similar}?`),
      )
    }
    return { op: 'method', object, name, args: this.args(node, spec), optional: callee.optional }
  }

  private functionCall(node: CallExpression, callee: AnyNode, name: string): Ir {
    const [first, second, third] = node.arguments
    if (name === '$if' && first && second && third && node.arguments.length === 3 && !node.arguments.some(isSpread))
      return {
        op: 'condition',
        test: this.item(first, false),
        // biome-ignore lint/suspicious/noThenProperty: IR is never awaited, and its fields have the names of their meaning
        then: this.item(second, false),
        otherwise: this.item(third, false),
      }
    if (name === 'DateTime.now' || name === 'DateTime.local') {
      if (node.arguments.length === 0) return this.root('now')
    }
    if (name === 'Date.now') this.roots.add('now')
    const spec = functionByName.get(aliases.get(name) ?? name)
    if (spec !== undefined) return { op: 'call', name: spec.name, args: this.args(node, spec) }
    for (const arg of node.arguments) this.item(arg)
    const replacement = functionReplacements.get(name) ?? foreignNames.get(name)
    if (name.includes('.') || replacement !== undefined || name === '$if') {
      const similar = nearest(name, [...functionByName.keys()])
      return this.report(
        'expression.unknown-function',
        callee,
        `There is no function ${shown(name)}`,
        replacement ??
          (similar === null ? 'See the list of functions in the docs of expressions.' : `Did you mean ${similar}?`),
      )
    }
    return this.name(callee, name)
  }

  private args(node: CallExpression, spec: MethodSpec | FunctionSpec): readonly IrItem[] {
    const { arguments: args } = node
    const count = args.length
    if (!args.some(isSpread) && (count < spec.argsMin || count > spec.argsMax)) {
      const wanted = spec.argsMin === spec.argsMax ? `${spec.argsMin}` : `${spec.argsMin} to ${spec.argsMax}`
      this.report(
        'expression.arguments',
        node,
        `${spec.name} takes ${wanted} arguments, not ${count}`,
        `Give it ${wanted}.`,
      )
    }
    return args.map((arg, index) => {
      if (index === spec.callback) return this.callback(arg, spec)
      if (index === 0 && 'regex' in spec && spec.regex !== 'no') {
        if (arg.type === 'Literal' && arg.regex) return this.regex(arg)
        if (spec.regex === 'must')
          return this.report(
            'expression.regex',
            arg,
            `${spec.name} needs a regular expression literal`,
            `Write ${spec.name}(/…/), or use includes or indexOf for plain text.`,
          )
      }
      return this.item(arg)
    })
  }

  private callback(arg: Expression | SpreadElement, spec: MethodSpec | FunctionSpec): Ir {
    if (arg.type === 'ArrowFunctionExpression') return this.arrow(arg)
    if (arg.type === 'Identifier' && callbackFunctions.has(arg.name) && !this.locals.has(arg.name)) {
      const param = this.freshParam(arg.name)
      return {
        op: 'arrow',
        params: [param],
        body: { op: 'call', name: arg.name, args: [{ op: 'local', name: param }] },
      }
    }
    return this.report(
      'expression.not-allowed',
      arg,
      `${spec.name} needs an arrow function here`,
      'Write it in place, such as (item) => item.name.',
    )
  }

  private arrow(node: ArrowFunctionExpression): Ir {
    if (node.async) return this.refuse(node)
    if (node.body.type === 'BlockStatement')
      return this.report(
        'expression.not-allowed',
        node.body,
        'A callback with a block is not allowed',
        'Write one expression after the arrow, or use a Code node.',
      )
    const outer = this.locals
    const inner = new Map(outer)
    const params = node.params.map((param) => this.param(param, inner))
    this.locals = inner
    const body = this.expression(node.body)
    this.locals = outer
    return { op: 'arrow', params, body }
  }

  /** Declares what a parameter names. `[a, b]` and `{ a, b }` become reads of one parameter. */
  private param(pattern: Pattern, locals: Map<string, Ir>): string {
    const name = this.freshParam(pattern.type === 'Identifier' ? pattern.name : 'item')
    const local: Ir = { op: 'local', name }
    if (pattern.type === 'Identifier') locals.set(pattern.name, local)
    else if (pattern.type === 'ArrayPattern') {
      for (const [index, element] of pattern.elements.entries()) {
        if (element === null) continue
        if (element.type !== 'Identifier') this.refusePattern(element)
        else
          locals.set(element.name, { op: 'at', object: local, key: { op: 'literal', value: index }, optional: false })
      }
    } else if (pattern.type === 'ObjectPattern') {
      for (const property of pattern.properties) {
        if (property.type !== 'Property' || property.computed || property.value.type !== 'Identifier')
          this.refusePattern(property)
        else {
          const key =
            property.key.type === 'Identifier'
              ? property.key.name
              : property.key.type === 'Literal'
                ? String(property.key.value)
                : ''
          if (forbiddenNames.has(key))
            this.report(
              'expression.forbidden-name',
              property.key,
              `The name ${key} is not allowed`,
              'Rename the field where it is made.',
            )
          locals.set(property.value.name, { op: 'get', object: local, key, optional: false })
        }
      }
    } else this.refusePattern(pattern)
    return name
  }

  private refusePattern(pattern: AnyNode): void {
    this.report(
      'expression.not-allowed',
      pattern,
      'This parameter is not allowed',
      'Use plain names, [a, b] or { a, b }, without defaults, rest or nesting.',
    )
  }

  /** A name that no other parameter of this text has, so that no inner callback can hide an outer one's. */
  private freshParam(name: string): string {
    this.params += 1
    return `${name}#${this.params}`
  }

  private object(node: ObjectExpression): Ir {
    const entries: IrEntry[] = []
    for (const property of node.properties) {
      if (property.type === 'SpreadElement') {
        entries.push({ op: 'spread', value: this.expression(property.argument) })
        continue
      }
      if (property.kind !== 'init' || property.method) {
        this.report(
          'expression.not-allowed',
          property,
          'An object may hold values only, no methods, getters or setters',
          'Write name: value.',
        )
        continue
      }
      const { key } = property
      if (property.computed && key.type !== 'Literal') {
        entries.push({ key: this.expression(key), value: this.expression(property.value) })
        continue
      }
      const name = key.type === 'Identifier' ? key.name : key.type === 'Literal' ? String(key.value) : ''
      if (name === '__proto__')
        this.report(
          'expression.forbidden-name',
          key,
          'A field cannot be named __proto__',
          'Give the field another name.',
        )
      entries.push({ key: name, value: this.expression(property.value) })
    }
    return { op: 'object', entries }
  }

  private item(node: Expression | SpreadElement): IrItem
  private item(node: Expression | SpreadElement, spread: false): Ir
  private item(node: Expression | SpreadElement): IrItem {
    return node.type === 'SpreadElement'
      ? { op: 'spread', value: this.expression(node.argument) }
      : this.expression(node)
  }

  private hole(node: AnyNode): Ir {
    return this.report(
      'expression.not-allowed',
      node,
      'A list with an empty place is not allowed',
      'Write undefined or null in it.',
    )
  }

  private regex(node: Extract<Expression, { type: 'Literal' }>): Ir {
    const source = node.regex?.pattern ?? ''
    const flags = node.regex?.flags ?? ''
    const analysis = analysePattern(source, flags)
    if (!analysis.ok) return this.report('expression.regex', node, analysis.message, analysis.remedy)
    return { op: 'regex', source, flags }
  }

  private refuse(node: AnyNode): Ir {
    const { what, remedy } = refused(node)
    return this.report('expression.not-allowed', node, `${what} not allowed in an expression`, remedy)
  }

  private report(code: string, node: AnyNode, message: string, remedy: string): Ir {
    this.problems.push(problem(code, { range: { start: node.start, end: node.end } }, `${message}.`, remedy))
    return nothing
  }
}

/** A name that is written down: `.name`, `['name']`, `[0]`. Null for a computed one. */
function staticKey(node: MemberExpression): string | null {
  const { property } = node
  if (property.type === 'PrivateIdentifier') return null
  if (!node.computed) return property.type === 'Identifier' ? property.name : null
  if (property.type === 'Literal' && (typeof property.value === 'string' || typeof property.value === 'number'))
    return String(property.value)
  return property.type === 'TemplateLiteral' && property.expressions.length === 0
    ? (property.quasis[0]?.value.cooked ?? null)
    : null
}

const unaryOperators: ReadonlySet<string> = new Set<UnaryOperator>(['!', '-', '+', '~', 'typeof'])
const binaryOperators: ReadonlySet<string> = new Set<BinaryOperator>([
  '+',
  '-',
  '*',
  '/',
  '%',
  '**',
  '==',
  '!=',
  '===',
  '!==',
  '<',
  '<=',
  '>',
  '>=',
  '&',
  '|',
  '^',
  '<<',
  '>>',
  '>>>',
  'in',
])

function isUnary(operator: string): operator is UnaryOperator {
  return unaryOperators.has(operator)
}

function isBinary(operator: string): operator is BinaryOperator {
  return binaryOperators.has(operator)
}

function isSpread(node: Expression | SpreadElement): node is SpreadElement {
  return node.type === 'SpreadElement'
}

/** NaN and Infinity as IR, which is JSON and so has no such numbers. */
function quotient(dividend: number): Ir {
  return { op: 'binary', operator: '/', left: { op: 'literal', value: dividend }, right: { op: 'literal', value: 0 } }
}

const aliases: ReadonlyMap<string, string> = new Map([
  ['$max', 'Math.max'],
  ['$min', 'Math.min'],
])

const functionReplacements: ReadonlyMap<string, string> = new Map([
  ['Math.random', 'Make random values in a node; an expression gives the same result for the same message.'],
  ['DateTime.local', 'Use $now, or DateTime.fromObject({ … }).'],
  ['DateTime.utc', 'Use $now.toUTC(), or DateTime.fromObject({ … }, { zone: "utc" }).'],
  ['Object.defineProperty', 'Write a new object: { ...object, name: value }.'],
  ['$if', 'Give it a condition and two values, or write condition ? a : b.'],
])

function firstOf(namespace: string): string {
  return [...functionByName.keys()].find((name) => name.startsWith(`${namespace}.`)) ?? namespace
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 60))
}

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`
}
