import type {
  AnyNode,
  ArrowFunctionExpression,
  CallExpression,
  Expression,
  MemberExpression,
  ObjectExpression,
  SpreadElement,
  Super,
} from 'acorn'
import type { Problem } from '../problem.ts'
import { problem } from '../problem.ts'
import type { Complaint } from './complaints.ts'
import {
  complaints,
  forbiddenName,
  needsArrow,
  needsRegex,
  onlyJson,
  unknownField,
  unknownFunction,
  unknownMethod,
  unknownName,
  upstreamComplaint,
  wrongArguments,
} from './complaints.ts'
import type { FunctionSpec } from './functions.ts'
import { callbackFunctions, constants, functionByName, namespaces } from './functions.ts'
import type { ExpressionScope, Ir, IrEntry, IrItem, Root } from './ir.ts'
import { isBinaryOperator, isUnaryOperator } from './ir.ts'
import { limits } from './limits.ts'
import type { MethodSpec } from './methods.ts'
import { methodByName } from './methods.ts'
import { fixedFields, forbiddenNames, rootNames } from './names.ts'
import { declareParameter, writtenKey } from './parameters.ts'
import { analysePattern } from './pattern.ts'
import { refused } from './refused.ts'
import { itemReference, sourceOf } from './upstream.ts'

type Locals = ReadonlyMap<string, Ir>
type LiteralNode = Extract<Expression, { type: 'Literal' }>

const nothing: Ir = { op: 'undefined' }

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
  private paramCount = 0

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
      const told = this.problems.at(-1)?.code === complaints.tooDeep.code
      return told ? nothing : this.complain(node, complaints.tooDeep)
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
        if (!isUnaryOperator(operator)) return this.complain(node, refused(node))
        return { op: 'unary', operator, value: this.expression(node.argument) }
      }
      case 'BinaryExpression': {
        const { operator, left } = node
        if (!isBinaryOperator(operator) || left.type === 'PrivateIdentifier') return this.complain(node, refused(node))
        return { op: 'binary', operator, left: this.expression(left), right: this.expression(node.right) }
      }
      case 'LogicalExpression': {
        const { operator } = node
        return { op: 'logical', operator, left: this.expression(node.left), right: this.expression(node.right) }
      }
      case 'ConditionalExpression':
        return condition(this.expression(node.test), this.expression(node.consequent), this.expression(node.alternate))
      case 'ArrayExpression':
        return {
          op: 'array',
          items: node.elements.map((each) => (each === null ? this.complain(node, complaints.hole) : this.item(each))),
        }
      case 'ObjectExpression':
        return { op: 'object', entries: this.entries(node) }
      case 'TemplateLiteral':
        return this.template(
          node.quasis.map((each) => each.value.cooked ?? ''),
          node.expressions,
        )
      default:
        return this.complain(node, refused(node))
    }
  }

  private literal(node: LiteralNode): Ir {
    if (node.regex) return this.complain(node, complaints.strayRegex)
    const { value } = node
    if (typeof value === 'number' && !Number.isFinite(value)) return quotient(1)
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return literal(value)
    return value === null && !node.bigint ? { op: 'literal', value } : this.complain(node, complaints.bigInteger)
  }

  private template(texts: readonly string[], values: readonly Expression[]): Ir {
    const parts: Ir[] = []
    for (const [index, text] of texts.entries()) {
      if (text !== '') parts.push(literal(text))
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
    if (root === 'env') return this.complain(node, complaints.wholeEnv)
    if (root !== undefined) return this.root(root)
    return this.complain(node, unknownName(name, [...this.locals.keys()]))
  }

  private root(name: Root): Ir {
    this.roots.add(name)
    if (name === 'vars') this.varNames.add('*')
    return { op: 'root', name }
  }

  private member(node: MemberExpression): Ir {
    const reference = itemReference(node)
    if (reference !== null) {
      const complaint = reference.name === null ? null : upstreamComplaint(this.scope, reference.name)
      return complaint === null ? this.root('json') : this.complain(node, complaint)
    }
    const key = staticKey(node)
    if (node.object.type === 'Identifier' && key !== null && !this.locals.has(node.object.name)) {
      const constant = constants.get(`${node.object.name}.${key}`)
      if (constant !== undefined) return literal(constant)
      const named = this.namedField(node, node.object.name, key)
      if (named !== null) return named
    }
    const source = sourceOf(node.object)
    if (source !== null) return this.complain(node, onlyJson(source, null))
    const object = this.expression(node.object)
    if (key !== null) return this.field(node, object, key)
    if (node.property.type === 'PrivateIdentifier') return this.complain(node, refused(node))
    return { op: 'at', object, key: this.expression(node.property), optional: node.optional }
  }

  private field(node: MemberExpression, object: Ir, key: string): Ir {
    const { property, optional } = node
    if (forbiddenNames.has(key)) return this.complain(property, forbiddenName(key))
    if (node.computed && property.type === 'Literal' && typeof property.value === 'number')
      return { op: 'at', object, key: literal(property.value), optional }
    return { op: 'get', object, key, optional }
  }

  /** `$env.NAME`, `$vars.name`, `$execution.id` …: roots that are read by name. Null when the object is another name. */
  private namedField(node: MemberExpression, objectName: string, key: string): Ir | null {
    const root = rootNames.get(objectName)
    if (root === 'env' || root === 'vars') {
      this.roots.add(root)
      const names = root === 'env' ? this.envNames : this.varNames
      names.add(key)
      return this.field(node, { op: 'root', name: root }, key)
    }
    const fields = root === undefined ? undefined : fixedFields.get(root)
    if (fields === undefined || fields.includes(key)) return null
    return this.complain(node.property, unknownField(objectName, key, fields))
  }

  private call(node: CallExpression): Ir {
    const { callee } = node
    if (node.optional) return this.complain(node, complaints.optionalCall)
    if (callee.type === 'Identifier' && !this.locals.has(callee.name))
      return this.functionCall(node, callee, callee.name)
    if (callee.type !== 'MemberExpression') {
      // What is called may hold more that is wrong, and a function's own complaint says more than this one would.
      const before = this.problems.length
      this.expression(callee)
      return this.problems.length > before ? nothing : this.complain(callee, complaints.callee)
    }
    const name = staticKey(callee)
    if (name === null) {
      this.expression(callee)
      return this.complain(callee, complaints.computedMethod)
    }
    const { object } = callee
    if (object.type === 'Identifier' && !this.locals.has(object.name) && namespaces.has(object.name))
      return this.functionCall(node, callee, `${object.name}.${name}`)
    return this.methodCall(node, callee, name)
  }

  private methodCall(node: CallExpression, callee: MemberExpression, name: string): Ir {
    const source = sourceOf(callee.object)
    if (source !== null) return this.complain(callee, onlyJson(source, name))
    const spec = methodByName.get(name)
    const receiver = callee.object
    const isPattern = receiver.type === 'Literal' && Boolean(receiver.regex) && spec?.on.includes('regex') === true
    const object = isPattern ? this.regex(receiver) : this.expression(receiver)
    if (forbiddenNames.has(name)) return this.complain(callee.property, forbiddenName(name))
    if (spec === undefined) return this.complain(callee.property, unknownMethod(name))
    return { op: 'method', object, name, args: this.args(node, spec), optional: callee.optional }
  }

  private functionCall(node: CallExpression, callee: AnyNode, name: string): Ir {
    const { arguments: args } = node
    if (name === '$if' && args.length === 3) {
      const [test, yes, no] = args.map((arg) =>
        isSpread(arg) ? this.complain(arg, needsArrow(name)) : this.expression(arg),
      )
      return condition(test ?? nothing, yes ?? nothing, no ?? nothing)
    }
    if ((name === 'DateTime.now' || name === 'DateTime.local') && args.length === 0) return this.root('now')
    if (name === 'Date.now') this.roots.add('now')
    const spec = functionByName.get(aliases.get(name) ?? name)
    if (spec !== undefined) return { op: 'call', name: spec.name, args: this.args(node, spec) }
    const complaint = unknownFunction(name)
    if (complaint !== null) this.complain(callee, complaint)
    else this.name(callee, name)
    for (const arg of args) this.item(arg)
    return nothing
  }

  private args(node: CallExpression, spec: MethodSpec | FunctionSpec): readonly IrItem[] {
    const { arguments: args } = node
    const count = args.length
    if (!args.some(isSpread) && (count < spec.argsMin || count > spec.argsMax))
      this.complain(node, wrongArguments(spec, count))
    return args.map((arg, index) => {
      if (index === spec.callback) return this.callback(arg, spec)
      if (index === 0 && 'regex' in spec && spec.regex !== 'no') {
        if (arg.type === 'Literal' && arg.regex) return this.regex(arg)
        if (spec.regex === 'must') return this.complain(arg, needsRegex(spec.name))
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
    return this.complain(arg, needsArrow(spec.name))
  }

  private arrow(node: ArrowFunctionExpression): Ir {
    if (node.async) return this.complain(node, refused(node))
    if (node.body.type === 'BlockStatement') return this.complain(node.body, complaints.block)
    const outer = this.locals
    const inner = new Map(outer)
    const params = node.params.map((pattern) => {
      const param = this.freshParam(pattern.type === 'Identifier' ? pattern.name : 'item')
      declareParameter(pattern, param, inner, (at, complaint) => this.complain(at, complaint))
      return param
    })
    this.locals = inner
    const body = this.expression(node.body)
    this.locals = outer
    return { op: 'arrow', params, body }
  }

  /** A name that no other parameter of this text has, so that no inner callback can hide an outer one's. */
  private freshParam(name: string): string {
    this.paramCount += 1
    return `${name}#${this.paramCount}`
  }

  private entries(node: ObjectExpression): readonly IrEntry[] {
    return node.properties.flatMap((property): readonly IrEntry[] => {
      if (property.type === 'SpreadElement') return [{ op: 'spread', value: this.expression(property.argument) }]
      if (property.kind !== 'init' || property.method) {
        this.complain(property, complaints.objectMember)
        return []
      }
      const written = property.computed && property.key.type !== 'Literal' ? null : writtenKey(property.key)
      if (written === '__proto__') this.complain(property.key, complaints.protoField)
      return [{ key: written ?? this.expression(property.key), value: this.expression(property.value) }]
    })
  }

  private item(node: Expression | SpreadElement): IrItem {
    return isSpread(node) ? { op: 'spread', value: this.expression(node.argument) } : this.expression(node)
  }

  private regex(node: LiteralNode): Ir {
    const source = node.regex?.pattern ?? ''
    const flags = node.regex?.flags ?? ''
    const analysis = analysePattern(source, flags)
    if (analysis.ok) return { op: 'regex', source, flags }
    return this.complain(node, { code: 'expression.regex', message: `${analysis.message}.`, remedy: analysis.remedy })
  }

  /** Notes the problem; what is answered stands in for the IR that there is not. */
  private complain(node: AnyNode, { code, message, remedy }: Complaint): Ir {
    this.problems.push(problem(code, { range: { start: node.start, end: node.end } }, message, remedy))
    return nothing
  }
}

/** A name that is written down: `.name`, `['name']`, `[0]`. Null for a computed one. */
function staticKey(node: MemberExpression): string | null {
  const { property } = node
  if (!node.computed) return property.type === 'Identifier' ? property.name : null
  if (property.type === 'TemplateLiteral' && property.expressions.length === 0)
    return property.quasis[0]?.value.cooked ?? null
  return property.type === 'Literal' ? writtenKey(property) : null
}

function isSpread(node: Expression | SpreadElement): node is SpreadElement {
  return node.type === 'SpreadElement'
}

function literal(value: string | number | boolean): Ir {
  return { op: 'literal', value }
}

function condition(test: Ir, yes: Ir, no: Ir): Ir {
  return { op: 'condition', test, then: yes, otherwise: no }
}

/** NaN and Infinity as IR, which is JSON and so has no such numbers. */
function quotient(dividend: number): Ir {
  return { op: 'binary', operator: '/', left: literal(dividend), right: literal(0) }
}

const aliases: ReadonlyMap<string, string> = new Map([
  ['$max', 'Math.max'],
  ['$min', 'Math.min'],
])
