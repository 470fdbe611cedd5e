import { functionByName } from './functions.ts'
import type { Ir, IrEntry, IrItem, Root } from './ir.ts'
import { limits } from './limits.ts'
import { methodByName } from './methods.ts'

/** The parts of a piece of IR, in the order in which they are evaluated. */
export function childrenOf(ir: Ir): readonly Ir[] {
  switch (ir.op) {
    case 'get':
      return [ir.object]
    case 'at':
      return [ir.object, ir.key]
    case 'method':
      return [ir.object, ...ir.args.map(spreadable)]
    case 'call':
      return ir.args.map(spreadable)
    case 'unary':
    case 'chain':
      return [ir.value]
    case 'binary':
    case 'logical':
      return [ir.left, ir.right]
    case 'condition':
      return [ir.test, ir.then, ir.otherwise]
    case 'array':
      return ir.items.map(spreadable)
    case 'object':
      return ir.entries.flatMap(entryValues)
    case 'text':
    case 'template':
      return ir.parts
    case 'arrow':
      return [ir.body]
    default:
      return []
  }
}

function spreadable(item: IrItem): Ir {
  return item.op === 'spread' ? item.value : item
}

function entryValues(entry: IrEntry): readonly Ir[] {
  return 'key' in entry && typeof entry.key !== 'string' ? [entry.key, entry.value] : [entry.value]
}

/** Everything in a piece of IR, itself included. */
function* everythingIn(ir: Ir): Generator<Ir> {
  yield ir
  for (const child of childrenOf(ir)) yield* everythingIn(child)
}

/** How much IR there is; what one run of a callback costs. */
export function sizeOf(ir: Ir): number {
  return childrenOf(ir).reduce((sum, child) => sum + sizeOf(child), 1)
}

const budgeted = new WeakMap<Ir, boolean>()

/**
 * True when an evaluation must be put on a budget: it loops, makes values larger than what it reads, runs a pattern,
 * or joins text so often that it could.
 */
export function needsFuel(ir: Ir): boolean {
  const known = budgeted.get(ir)
  if (known !== undefined) return known
  let needs = growthOf(ir) > limits.uncheckedAdditionsMax
  for (const each of everythingIn(ir)) {
    if (each.op === 'arrow' || each.op === 'regex') needs = true
    else if (each.op === 'method') needs ||= methodByName.get(each.name)?.cost !== 'cheap'
    else if (each.op === 'call') needs ||= (functionByName.get(each.name)?.cost ?? 'cheap') !== 'cheap'
  }
  budgeted.set(ir, needs)
  return needs
}

/** How many texts may be joined into one, by additions and templates inside each other. */
function growthOf(ir: Ir): number {
  const parts = childrenOf(ir).map(growthOf)
  const joins =
    (ir.op === 'binary' && ir.operator === '+') || ir.op === 'text' || ir.op === 'template' || ir.op === 'method'
  return joins ? parts.reduce((sum, part) => sum + part, 0) : Math.max(1, ...parts)
}

/** A field of a field … of a root: a route, which needs no evaluation. Dates are made, so they are none. */
export function isPurePath(ir: Ir): boolean {
  if (ir.op === 'chain') return isPurePath(ir.value)
  if (ir.op === 'root') return ir.name !== 'now' && ir.name !== 'today'
  if (ir.op === 'get') return isPurePath(ir.object)
  return ir.op === 'at' && ir.key.op === 'literal' && isPurePath(ir.object)
}

/** The expression's IR with the steps that make its result fit to leave: plain data, that can be written out in bounded time. */
export function finished(ir: Ir): Ir {
  if (ir.op === 'text') return ir
  const dated = makesDates(ir) ? ownCall('$plain', ir) : ir
  return amplification(ir) > limits.amplificationMax ? ownCall('$bounded', dated) : dated
}

function ownCall(name: string, value: Ir): Ir {
  return { op: 'call', name, args: [value] }
}

const dateRoots: ReadonlySet<Root> = new Set<Root>(['now', 'today'])

function makesDates(ir: Ir): boolean {
  for (const each of everythingIn(ir)) {
    if (each.op === 'root' && dateRoots.has(each.name)) return true
    if (each.op === 'call' && /^(DateTime|Duration)\./.test(each.name)) return true
    if (each.op === 'method' && each.name === 'toDateTime') return true
  }
  return false
}

/**
 * A bound on how many times over a value may appear in the result: callbacks that use a parameter twice multiply, since
 * one's result may be the next one's input; a fold or a fill that does has no bound.
 */
function amplification(ir: Ir): number {
  let factor = 1
  for (const each of everythingIn(ir)) {
    if (each.op === 'method' && (each.name === 'fill' || /^reduce/.test(each.name))) {
      const arrow = each.args[0]
      if (each.name === 'fill' || (arrow?.op === 'arrow' && locals(arrow.body, arrow.params[0] ?? '') > 1))
        return Number.POSITIVE_INFINITY
    }
    if (each.op === 'call' && each.name === 'Array.from') return Number.POSITIVE_INFINITY
    if (each.op === 'arrow') factor *= Math.max(1, ...each.params.map((name) => locals(each.body, name)))
  }
  return factor
}

function locals(ir: Ir, name: string): number {
  let count = 0
  for (const each of everythingIn(ir)) if (each.op === 'local' && each.name === name) count += 1
  return count
}
