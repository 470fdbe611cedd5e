import type { Ir, IrEntry, IrItem } from './ir.ts'

const charsMax = 120

/** IR as a person would write it, for messages and for `explain`; long ones are cut. Not meant to be parsed again. */
export function describeIr(ir: Ir): string {
  const text = write(ir)
  return text.length > charsMax ? `${text.slice(0, charsMax)}…` : text
}

function write(ir: Ir): string {
  switch (ir.op) {
    case 'literal':
      return JSON.stringify(ir.value)
    case 'undefined':
      return 'undefined'
    case 'root':
      return `$${ir.name}`
    case 'local':
      return ir.name.replace(/#\d+$/, '')
    case 'constant':
      return '(constant)'
    case 'get': {
      const object = receiver(ir.object)
      const plain = /^[A-Za-z_$][\w$]*$/.test(ir.key)
      if (plain) return `${object}${ir.optional ? '?.' : '.'}${ir.key}`
      return `${object}${ir.optional ? '?.' : ''}[${JSON.stringify(ir.key)}]`
    }
    case 'at':
      return `${receiver(ir.object)}${ir.optional ? '?.' : ''}[${write(ir.key)}]`
    case 'method':
      return `${receiver(ir.object)}${ir.optional ? '?.' : '.'}${ir.name}(${items(ir.args)})`
    case 'call':
      return ir.name === '$plain' || ir.name === '$bounded' ? items(ir.args) : `${ir.name}(${items(ir.args)})`
    case 'unary':
      return `${ir.operator}${ir.operator === 'typeof' ? ' ' : ''}${operand(ir.value)}`
    case 'binary':
    case 'logical':
      return `${operand(ir.left)} ${ir.operator} ${operand(ir.right)}`
    case 'condition':
      return `${operand(ir.test)} ? ${write(ir.then)} : ${write(ir.otherwise)}`
    case 'array':
      return `[${items(ir.items)}]`
    case 'object':
      return `{ ${ir.entries.map(entry).join(', ')} }`
    case 'text':
      return ir.parts.map((part) => (isText(part) ? part.value : `{{ ${write(part)} }}`)).join('')
    case 'template':
      return `\`${ir.parts.map((part) => (isText(part) ? part.value : `\${${write(part)}}`)).join('')}\``
    case 'arrow':
      return `(${ir.params.map((name) => name.replace(/#\d+$/, '')).join(', ')}) => ${write(ir.body)}`
    case 'regex':
      return `/${ir.source}/${ir.flags}`
    case 'chain':
      return write(ir.value)
  }
}

function operand(ir: Ir): string {
  const compound = ir.op === 'binary' || ir.op === 'logical' || ir.op === 'condition' || ir.op === 'arrow'
  return compound ? `(${write(ir)})` : write(ir)
}

/** What stands before a dot. */
function receiver(ir: Ir): string {
  const number = ir.op === 'literal' && typeof ir.value === 'number'
  return number || ir.op === 'unary' || ir.op === 'object' ? `(${write(ir)})` : operand(ir)
}

function items(all: readonly IrItem[]): string {
  return all.map((item) => (item.op === 'spread' ? `...${write(item.value)}` : write(item))).join(', ')
}

function entry(each: IrEntry): string {
  if (!('key' in each)) return `...${write(each.value)}`
  return `${typeof each.key === 'string' ? each.key : `[${write(each.key)}]`}: ${write(each.value)}`
}

function isText(ir: Ir): ir is { readonly op: 'literal'; readonly value: string } {
  return ir.op === 'literal' && typeof ir.value === 'string'
}
