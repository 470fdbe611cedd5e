import type { Plan, PlannedNode, PlannedStage, Route } from '../document/plan.ts'
import { expressionText } from '../expressions/index.ts'
import type { Ir } from '../expressions/ir.ts'
import { NodeError } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import { withValue } from '../flow/message.ts'
import type { Statement } from './loop-builder.ts'
import { emitsMax } from './loop-builder.ts'

/**
 * The generated source of a loop stage. The text holds structure, field names, numbers and short strings; everything else
 * enters through `env`. It begins with the workflow's id and version, so that V8 shares type feedback between executions
 * of one version and never across workflows (the same text compiled for two shapes of message is several times slower).
 */
export interface StageText {
  /** Body of a function of `env` that answers the stage function. */
  readonly text: string
  readonly env: readonly unknown[]
  /** What each counter of the stage counts: messages that left this node by this port. */
  readonly counters: readonly { readonly node: number; readonly port: string }[]
}

/** What generated code and kernels call for everything but the straight way. */
export interface StageRuntimeDoor {
  /** Takes a message that failed in a node, with its value as that node got it. */
  error(node: number, message: Message, value: unknown, thrown: unknown): void
  /** The stage's counters; null when telemetry is compiled out. */
  readonly counts: number[] | null
  /** Takes a message that leaves a tapped port. */
  tapped(tap: number, message: Message, value: unknown): void
}

export interface StageTextOptions {
  readonly counters: boolean
  /** Nothing may be changed in place: a tap or a history looks at values. */
  readonly immutable: boolean
  /** Ports that somebody looks at, as `node.port`; their position is the number given to `tapped`. */
  readonly taps: readonly string[]
}

/** Writes the source of a loop stage. */
export function stageText(plan: Plan, stage: PlannedStage, options: StageTextOptions): StageText {
  const writer = new StageWriter(plan, stage, options)
  return writer.write()
}

/** What is known of the current value at a point of the text. */
interface Path {
  /** The value is not the one that came in. */
  changed: boolean
  /** `v` is another object than the one in the envelope. */
  replaced: boolean
  /** Nobody else holds the value, so fields may be assigned on it. */
  ownsValue: boolean
  readonly ownsEnvelope: boolean
}

class StageWriter {
  readonly #plan: Plan
  readonly #stage: PlannedStage
  readonly #options: StageTextOptions
  readonly #env: unknown[] = []
  readonly #counters: { node: number; port: string }[] = []
  readonly #routes = new Map<string, Route>()
  /**
   * The exit that is written over a copy of the batch and cut to its length at the end: most messages take one way,
   * and a list that grows by pushing is copied several times. It must not be one that errors are pushed to.
   */
  readonly #filled: number | null
  /** What is known of the value where several ways meet. */
  readonly #joins = new Map<number, Path>()

  constructor(plan: Plan, stage: PlannedStage, options: StageTextOptions) {
    this.#plan = plan
    this.#stage = stage
    this.#options = options
    for (const route of stage.routes) this.#routes.set(`${route.node}.${route.port}`, route)
    const errorExits = new Set(stage.routes.filter((route) => route.port === 'error').map((route) => route.exit))
    this.#filled = stage.exits.length > 0 && !errorExits.has(0) && !splits(plan, stage) ? 0 : null
  }

  write(): StageText {
    const owns = this.#stage.ownsValues && !this.#options.immutable
    const body = this.#body({ changed: false, replaced: false, ownsValue: owns, ownsEnvelope: owns })
    const { id, version } = this.#plan.workflow
    const constants = this.#env.map((_, index) => `e${index} = env[${index}]`)
    const exits = this.#stage.exits.map((_, index) =>
      index === this.#filled ? `x${index} = exits[${index}] = messages.slice()` : `x${index} = exits[${index}]`,
    )
    const counts = this.#counters.map((_, index) => `c${index} = 0`)
    const names = this.#plan.nodes.filter((node) => node.stage === this.#stage.index).map((node) => node.id)
    const lines = [
      `// workflow ${JSON.stringify(id)} version ${JSON.stringify(version)} stage ${this.#stage.index}: ${names.join(' -> ')}`,
      `'use strict'`,
      constants.length > 0 ? `const ${constants.join(', ')}` : '',
      `return function stage(messages, b, exits, runtime) {`,
      exits.length > 0 ? `  const ${exits.join(', ')}` : '',
      `  const n = messages.length`,
      `  let i = 0, node = -1, m, v${this.#filled === null ? '' : ', p = 0'}`,
      counts.length > 0 ? `  let ${counts.join(', ')}` : '',
      `  for (;;) {`,
      `    try {`,
      `      for (; i < n; i++) {`,
      `        m = messages[i]`,
      `        v = m.value`,
      ...body.map((line) => `  ${line}`),
      `      }`,
      `      break`,
      `    } catch (thrown) {`,
      `      runtime.error(node, m, v, thrown)`,
      `      i++`,
      `    }`,
      `  }`,
      this.#filled === null ? '' : `  x${this.#filled}.length = p`,
      ...this.#counters.map((_, index) => `  runtime.counts[${index}] += c${index}`),
      `}`,
    ]
    return { text: lines.filter((line) => line !== '').join('\n'), env: this.#env, counters: this.#counters }
  }

  /** The nodes in their order; one that several ways lead to stands after them all, behind a flag that they set. */
  #body(start: Path): string[] {
    const [first, ...others] = this.#stage.nodes
    const lines = this.#node(this.#nodeAt(first ?? -1), start, 3)
    for (const index of others) {
      const path = this.#joins.get(index)
      if (path === undefined) continue
      lines.push(`      if (j${index}) {`, ...this.#node(this.#nodeAt(index), path, 4), `      }`)
    }
    return [...[...this.#joins.keys()].map((index) => `      let j${index} = false`), ...lines]
  }

  /** Whether more than one way inside the stage leads to a node. */
  #isJoin(index: number): boolean {
    let ways = 0
    for (const route of this.#stage.routes) if (route.next === index) ways += 1
    return ways > 1
  }

  #nodeAt(index: number): PlannedNode {
    const node = this.#plan.nodes[index]
    if (node === undefined) throw new Error(`the plan has no node ${index}`)
    return node
  }

  #node(node: PlannedNode, path: Path, depth: number): string[] {
    const pad = '  '.repeat(depth)
    const where = node.line === null ? '' : `, line ${node.line}`
    const lines = [`${pad}// ${node.id} (${node.type}${where})`]
    if (canThrow(node.statements)) lines.push(`${pad}node = ${node.index}`)
    lines.push(...this.#statements(node, node.statements, path, depth, false))
    return lines
  }

  #statements(
    node: PlannedNode,
    statements: readonly Statement[],
    path: Path,
    depth: number,
    conditional: boolean,
  ): string[] {
    const lines: string[] = []
    const pad = '  '.repeat(depth)
    for (const each of statements) {
      switch (each.do) {
        case 'let':
          lines.push(`${pad}const ${each.name} = ${this.#text(each.value)}`)
          break
        case 'if': {
          const thenPath = { ...path }
          const otherwisePath = { ...path }
          lines.push(
            `${pad}if (${this.#text(each.test)}) {`,
            ...this.#statements(node, each.then, thenPath, depth + 1, true),
          )
          if (each.otherwise.length > 0)
            lines.push(`${pad}} else {`, ...this.#statements(node, each.otherwise, otherwisePath, depth + 1, true))
          lines.push(`${pad}}`)
          path.changed ||= thenPath.changed || otherwisePath.changed
          path.replaced ||= thenPath.replaced || otherwisePath.replaced
          path.ownsValue &&= thenPath.ownsValue && otherwisePath.ownsValue
          break
        }
        case 'become':
          lines.push(`${pad}v = ${this.#text(each.value)}`)
          path.changed = true
          path.replaced = true
          path.ownsValue = each.fresh && !this.#options.immutable
          break
        case 'assign':
          lines.push(...this.#assign(node, each.fields, path, pad))
          break
        case 'omit':
          lines.push(`${pad}v = ${this.#constant(omitFields)}(v, ${this.#constant(each.keys)})`)
          path.changed = true
          path.replaced = true
          path.ownsValue = !this.#options.immutable
          break
        case 'emit':
          lines.push(...this.#emit(node, each.port, path, depth, conditional))
          break
        case 'fail':
          lines.push(`${pad}throw ${this.#constant(failWith)}(${JSON.stringify(each.code)}, ${this.#text(each.text)})`)
          break
      }
    }
    return lines
  }

  /** All fields are computed before the first is assigned, so a throw leaves the value as it came. */
  #assign(
    node: PlannedNode,
    fields: readonly { readonly key: string; readonly value: Ir }[],
    path: Path,
    pad: string,
  ): string[] {
    const lines: string[] = []
    const names = fields.map((field, index) => {
      const name = `f${node.index}_${index}`
      lines.push(`${pad}const ${name} = ${this.#text(field.value)}`)
      return name
    })
    if (path.ownsValue) {
      // The value may be anything that a source decoded; only an object can take fields.
      const fresh = path.replaced ? 'v = {}' : 'm.value = v = {}'
      lines.push(`${pad}if (typeof v !== 'object' || v === null || Array.isArray(v)) ${fresh}`)
      fields.forEach((field, index) => {
        lines.push(`${pad}v${property(field.key)} = ${names[index]}`)
      })
      path.changed = true
    } else {
      path.replaced = true
      const entries = fields.map((field, index) => `${JSON.stringify(field.key)}: ${names[index]}`)
      lines.push(`${pad}v = { ...(typeof v === 'object' && !Array.isArray(v) ? v : null), ${entries.join(', ')} }`)
      path.changed = true
      path.ownsValue = !this.#options.immutable
    }
    return lines
  }

  #emit(node: PlannedNode, port: string, path: Path, depth: number, conditional: boolean): string[] {
    const pad = '  '.repeat(depth)
    const lines: string[] = []
    if (this.#options.counters && conditional) {
      const counter = this.#counters.push({ node: node.index, port }) - 1
      lines.push(`${pad}c${counter}++`)
    }
    const tap = this.#options.taps.indexOf(`${node.index}.${port}`)
    if (tap >= 0) lines.push(`${pad}runtime.tapped(${tap}, m, v)`)
    const route = this.#routes.get(`${node.index}.${port}`)
    if (route === undefined) return lines
    if (route.next !== null && this.#isJoin(route.next)) {
      const known = this.#joins.get(route.next)
      this.#joins.set(route.next, {
        changed: path.changed || known?.changed === true,
        replaced: path.replaced || known?.replaced === true,
        ownsValue: path.ownsValue && known?.ownsValue !== false,
        ownsEnvelope: path.ownsEnvelope,
      })
      return [...lines, `${pad}j${route.next} = true`]
    }
    if (route.next !== null) return [...lines, ...this.#node(this.#nodeAt(route.next), { ...path }, depth)]
    if (route.exit === null) return lines
    const add = (text: string): string =>
      route.exit === this.#filled ? `${pad}x${route.exit}[p++] = ${text}` : `${pad}x${route.exit}.push(${text})`
    if (!path.changed || (path.ownsEnvelope && !path.replaced)) lines.push(add('m'))
    else if (path.ownsEnvelope) lines.push(`${pad}m.value = v`, add('m'))
    else lines.push(add(`${this.#constant(withValue)}(m, v)`))
    return lines
  }

  #text(ir: Ir): string {
    return expressionText(ir, {
      json: 'v',
      message: 'm',
      batch: 'b',
      env: (value) => this.#constant(value),
      local: (name) => name,
    })
  }

  #constant(value: unknown): string {
    const known = this.#env.indexOf(value)
    return `e${known >= 0 ? known : this.#env.push(value) - 1}`
  }
}

/** Whether a message may leave a stage more than once: then an exit can get more messages than came in. */
function splits(plan: Plan, stage: PlannedStage): boolean {
  return stage.nodes.some((index) => emitsMax(plan.nodes[index]?.statements ?? []) > 1)
}

/** Whether a node's statements hold anything that may throw, so that the text notes whose work it is. */
function canThrow(statements: readonly Statement[]): boolean {
  return statements.some((each) => each.do !== 'emit')
}

function property(key: string): string {
  return /^[A-Za-z_$][A-Za-z0-9_$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
}

/** The error that a node's `fail` statement throws; shared with the interpreter. */
export function failWith(code: string, text: unknown): NodeError {
  return new NodeError(code, typeof text === 'string' ? text : (JSON.stringify(text) ?? 'failed'))
}

/** An object without some of its fields; what is no object stays as it is. Shared with the interpreter. */
export function omitFields(value: unknown, keys: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const kept: Record<string, unknown> = { ...value }
  for (const key of keys) delete kept[key]
  return kept
}
