import { metaOf } from '../flow/message.ts'
import { nowAt, todayAt } from './dates.ts'
import { budgetedFunctionOf, budgetedMethodOf, functionOf, listReceiverOf, methodOf } from './dispatch.ts'
import { needsFuel, sizeOf } from './facts.ts'
import { fuel, outOfFuel } from './fuel.ts'
import type { BinaryOperator, Ir, IrEntry, IrItem, Root } from './ir.ts'
import { isBinaryOperator, isUnaryOperator } from './ir.ts'
import { limits } from './limits.ts'
import { forbiddenNames, isGuardedName } from './names.ts'
import { regexOf } from './regex.ts'
import * as runtime from './runtime.ts'

/** Where generated text finds its values. Identifiers that begin with `$` belong to the expression itself. */
export interface ExpressionWriter {
  /** Identifier of the current value. */
  readonly json: string
  /** Identifier of what has `key` and `meta`: the message, or an ExpressionInput. */
  readonly message: string
  /** Identifier of the BatchInput. */
  readonly batch: string
  /** Registers a constant or a run-time function and answers the identifier that holds it. The same value may come again. */
  env(value: unknown): string
  /** The identifier of a local that is not a parameter of the expression's own callbacks. */
  local(name: string): string
  /** Declares a variable at function level and answers its identifier. Without it, text is somewhat slower. */
  temp?(): string
}

/**
 * JavaScript text for IR: one expression, safe as an operand anywhere. It holds structure, field names, numbers and short
 * strings only; everything else enters through `writer.env`. Its result and its errors are those of `evaluate`.
 */
export function expressionText(ir: Ir, writer: ExpressionWriter): string {
  const emitter = new Emitter(writer, needsFuel(ir))
  const text = emitter.emit(ir)
  return needsFuel(ir) ? `(${writer.env(fuel)}.left = ${limits.fuelMax}, ${text})` : text
}

class Emitter {
  private readonly writer: ExpressionWriter
  private readonly budgeted: boolean
  private readonly known = new Map<unknown, string>()
  private params: ReadonlyMap<string, string> = new Map()
  private paramCount = 0
  /** Variables of the innermost callback's body, or null outside of callbacks. */
  private temps: string[] | null = null
  private tempCount = 0

  constructor(writer: ExpressionWriter, budgeted: boolean) {
    this.writer = writer
    this.budgeted = budgeted
  }

  emit(ir: Ir): string {
    switch (ir.op) {
      case 'literal':
        return this.literal(ir.value)
      case 'undefined':
        return '(void 0)'
      case 'root':
        return this.root(ir.name)
      case 'local':
        return this.params.get(ir.name) ?? this.writer.local(ir.name)
      case 'constant':
        return isShort(ir.value) ? this.literal(ir.value) : this.env(ir.value)
      case 'get':
      case 'at':
      case 'method':
        return this.link(ir, this.emit(ir.object))
      case 'call':
        return this.call(ir.name, ir.args)
      case 'unary':
        if (!isUnaryOperator(ir.operator)) throw new Error(`the operator ${ir.operator} is not allowed`)
        return `(${ir.operator} ${ir.operator === '!' || ir.operator === 'typeof' ? this.emit(ir.value) : this.operand(ir.value)})`
      case 'binary':
        return this.binary(ir.operator, ir.left, ir.right)
      case 'logical':
        return `(${this.emit(ir.left)} ${ir.operator} ${this.emit(ir.right)})`
      case 'condition':
        return `(${this.emit(ir.test)} ? ${this.emit(ir.then)} : ${this.emit(ir.otherwise)})`
      case 'array':
        return `[${ir.items.map((item) => this.item(item, runtime.itemsOf)).join(', ')}]`
      case 'object':
        return `({${ir.entries.map((entry) => this.entry(entry)).join(', ')}})`
      case 'text':
        return this.joined(
          ir.parts.map((part) =>
            isText(part) ? this.emit(part) : `${this.env(runtime.toText)}(${this.operand(part)})`,
          ),
        )
      case 'template':
        return this.joined(ir.parts.map((part) => (isText(part) ? this.emit(part) : `\`\${${this.operand(part)}}\``)))
      case 'arrow':
        return this.arrow(ir.params, ir.body)
      case 'regex':
        return this.env(regexOf(ir.source, ir.flags))
      case 'chain':
        return isPlainChain(ir.value) ? `(${this.plainChain(ir.value)})` : this.chain(ir.value, (text) => text)
    }
  }

  private literal(value: string | number | boolean | null): string {
    if (typeof value === 'string')
      return value.length > limits.inlineLiteralCharsMax ? this.env(value) : JSON.stringify(value)
    if (typeof value !== 'number') return String(value)
    if (!Number.isFinite(value)) return Number.isNaN(value) ? '(0 / 0)' : value > 0 ? '(1 / 0)' : '(-1 / 0)'
    return value < 0 || Object.is(value, -0) ? `(-${-value})` : `${value}`
  }

  private root(name: Root): string {
    const { json, message, batch } = this.writer
    switch (name) {
      case 'json':
        return json
      case 'now':
        return `${this.env(nowAt)}(${batch}.now)`
      case 'today':
        return `${this.env(todayAt)}(${batch}.now)`
      case 'key':
        return `${message}.key`
      case 'meta':
        return `${this.env(metaOf)}(${message})`
      case 'request':
        return `${this.env(runtime.requestOf)}(${message}.meta)`
      case 'vars':
      case 'env':
      case 'execution':
      case 'workflow':
        return `${batch}.${name}`
    }
  }

  /** A field, an index or a method of a value whose text is known. */
  private link(ir: Extract<Ir, { op: 'get' | 'at' | 'method' }>, object: string): string {
    if (ir.op === 'get') {
      const field = /^\d/.test(object) ? `(${object})${this.field(ir.key)}` : `${object}${this.field(ir.key)}`
      return isGuardedName(ir.key) ? `${this.env(runtime.data)}(${field})` : field
    }
    if (ir.op === 'at') {
      if (ir.key.op === 'literal' && typeof ir.key.value === 'number')
        return `${wrapped(object)}[${this.literal(ir.key.value)}]`
      return `${this.env(runtime.at)}(${object}, ${this.operand(ir.key)})`
    }
    if (isInPlace(ir)) {
      const [callback, ...initial] = ir.args.map((arg) => this.item(arg, runtime.argumentsOf))
      const args = [callback, ...initial.map((value) => `${this.env(runtime.operand)}(${value})`)]
      return `${this.env(listReceiverOf(ir.name))}(${object}).${ir.name}(${args.join(', ')})`
    }
    const method = this.env(this.budgeted ? budgetedMethodOf(ir.name) : methodOf(ir.name))
    return `${method}(${[object, ...this.args(ir.args)].join(', ')})`
  }

  private field(key: string): string {
    if (forbiddenNames.has(key)) throw new Error(`the name ${key} is not allowed`)
    if (/^[A-Za-z_$][\w$]{0,63}$/.test(key)) return `.${key}`
    return `[${this.literal(key)}]`
  }

  private call(name: string, args: readonly IrItem[]): string {
    if (name === 'Date.now') return `${this.writer.batch}.now`
    const call = this.env(this.budgeted ? budgetedFunctionOf(name) : functionOf(name))
    return `${call}(${this.args(args).join(', ')})`
  }

  private args(args: readonly IrItem[]): readonly string[] {
    return args.map((arg) => this.item(arg, runtime.argumentsOf))
  }

  private item(item: IrItem, open: (value: unknown) => readonly unknown[]): string {
    if (item.op !== 'spread') return this.emit(item)
    const value = this.emit(item.value)
    return `...${this.env(open)}(${this.budgeted ? `${this.env(runtime.opened)}(${value})` : value})`
  }

  private entry(entry: IrEntry): string {
    if (!('key' in entry)) {
      const value = this.emit(entry.value)
      return `...${this.budgeted ? `${this.env(runtime.opened)}(${value})` : value}`
    }
    if (typeof entry.key === 'string') {
      // A quoted __proto__ would set the prototype. Checked IR never holds one.
      if (entry.key === '__proto__') throw new Error('a field cannot be named __proto__')
      const key = this.literal(entry.key)
      return `${entry.key.length > limits.inlineLiteralCharsMax ? `[${key}]` : key}: ${this.emit(entry.value)}`
    }
    return `[${this.env(runtime.entryKey)}(${this.operand(entry.key)})]: ${this.emit(entry.value)}`
  }

  private binary(operator: BinaryOperator, left: Ir, right: Ir): string {
    if (!isBinaryOperator(operator)) throw new Error(`the operator ${operator} is not allowed`)
    if (operator === 'in') return `${this.env(runtime.has)}(${this.operand(left)}, ${this.emit(right)})`
    if (operator === '+' && this.budgeted && !(isNumeric(left) && isNumeric(right)))
      return `${this.env(runtime.add)}(${this.operand(left)}, ${this.operand(right)})`
    return `(${this.operand(left)} ${operator} ${this.operand(right)})`
  }

  /** A value that an operator may turn into text or a number, or compare: in a budgeted evaluation that is paid for. */
  private operand(ir: Ir): string {
    return this.budgeted && !isScalar(ir) ? `${this.env(runtime.operand)}(${this.emit(ir)})` : this.emit(ir)
  }

  private joined(parts: readonly string[]): string {
    const text = parts.length === 0 ? '""' : `(${parts.join(' + ')})`
    return this.budgeted ? `${this.env(runtime.limitedText)}(${text})` : text
  }

  private arrow(names: readonly string[], body: Ir): string {
    const outerParams = this.params
    const outerTemps = this.temps
    const params = names.map(() => `$p${this.paramCount++}`)
    this.params = new Map([...outerParams, ...names.map((name, index) => [name, params[index] ?? ''] as const)])
    this.temps = []
    const result = this.emit(body)
    const declared = this.temps.length === 0 ? '' : `let ${this.temps.join(', ')}; `
    this.params = outerParams
    this.temps = outerTemps
    const spent = `if ((${this.env(fuel)}.left -= ${callbackSteps(body)}) < 0) ${this.env(outOfFuel)}()`
    return `((${params.join(', ')}) => { ${declared}${spent}; return ${result} })`
  }

  /** An optional chain of fields and indexes only is one in JavaScript too. */
  private plainChain(ir: Ir): string {
    if (ir.op !== 'get' && ir.op !== 'at') return this.emit(ir)
    const object = this.plainChain(ir.object)
    const link = ir.op === 'get' ? this.field(ir.key) : `[${this.emit(ir.key)}]`
    if (!ir.optional) return `${object}${link}`
    return `${object}?.${link.replace(/^\./, '')}`
  }

  /** An optional chain: what comes after a link that met null or undefined is not evaluated at all. */
  private chain(ir: Ir, rest: (text: string) => string): string {
    if (ir.op !== 'get' && ir.op !== 'at' && ir.op !== 'method') return rest(this.emit(ir))
    return this.chain(ir.object, (object) => {
      if (!ir.optional) return rest(this.link(ir, object))
      const temp = this.temp()
      if (temp !== null) return `((${temp} = ${object}) == null ? (void 0) : ${rest(this.link(ir, temp))})`
      const param = `$p${this.paramCount++}`
      return `((${param}) => ${param} == null ? (void 0) : ${rest(this.link(ir, param))})(${object})`
    })
  }

  private temp(): string | null {
    if (this.temps === null) return this.writer.temp?.() ?? null
    const name = `$t${this.tempCount++}`
    this.temps.push(name)
    return name
  }

  private env(value: unknown): string {
    const known = this.known.get(value)
    if (known !== undefined) return known
    const identifier = this.writer.env(value)
    this.known.set(value, identifier)
    return identifier
  }
}

/** What one run of a callback costs, the same in text and interpreter. */
export function callbackSteps(body: Ir): number {
  return 12 + 4 * sizeOf(body)
}

function isPlainChain(ir: Ir): boolean {
  if (ir.op === 'root' || ir.op === 'local') return true
  if (ir.op === 'get') return !isGuardedName(ir.key) && isPlainChain(ir.object)
  return ir.op === 'at' && ir.key.op === 'literal' && typeof ir.key.value === 'number' && isPlainChain(ir.object)
}

/** Callback methods that are the same as JavaScript's own, once the receiver is a list. */
const inPlace: ReadonlySet<string> = new Set([
  'map',
  'filter',
  'find',
  'findIndex',
  'findLast',
  'findLastIndex',
  'some',
  'every',
  'reduce',
])

/** True when the receiver may be checked before the arguments are evaluated, since evaluating them can do nothing. */
function isInPlace(ir: Extract<Ir, { op: 'method' }>): boolean {
  const [callback, initial] = ir.args
  if (!inPlace.has(ir.name) || callback?.op !== 'arrow' || ir.args.length > 2) return false
  if (initial === undefined || initial.op === 'literal') return true
  return (
    (initial.op === 'array' && initial.items.length === 0) || (initial.op === 'object' && initial.entries.length === 0)
  )
}

function isShort(value: unknown): value is string | number | boolean | null {
  if (value === null || typeof value === 'boolean' || typeof value === 'number') return true
  return typeof value === 'string' && value.length <= limits.inlineLiteralCharsMax
}

function isText(ir: Ir): boolean {
  return ir.op === 'literal' && typeof ir.value === 'string'
}

/** Values that cost nothing to compare or convert: literals, and what arithmetic and comparison make. */
export function isScalar(ir: Ir): boolean {
  if (ir.op === 'literal' || ir.op === 'undefined' || ir.op === 'unary') return true
  if (ir.op === 'get') return ir.key === 'length'
  return ir.op === 'binary' && ir.operator !== '+'
}

/** Values that are numbers for sure, so that their sum is no text. */
export function isNumeric(ir: Ir): boolean {
  if (ir.op === 'literal') return typeof ir.value === 'number'
  if (ir.op === 'unary') return ir.operator === '-' || ir.operator === '+' || ir.operator === '~'
  return ir.op === 'binary' && arithmetic.has(ir.operator)
}

const arithmetic: ReadonlySet<BinaryOperator> = new Set<BinaryOperator>([
  '-',
  '*',
  '/',
  '%',
  '**',
  '&',
  '|',
  '^',
  '<<',
  '>>',
  '>>>',
])

function wrapped(object: string): string {
  return /^\d/.test(object) ? `(${object})` : object
}
