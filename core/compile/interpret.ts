import type { Plan, PlannedNode, PlannedStage } from '../document/plan.ts'
import { evaluate } from '../expressions/index.ts'
import type { BatchInput, Ir } from '../expressions/ir.ts'
import type { Message } from '../flow/message.ts'
import { withValue } from '../flow/message.ts'
import type { Statement } from './loop-builder.ts'
import type { StageRuntimeDoor } from './stage-text.ts'
import { failWith, omitFields } from './stage-text.ts'

/**
 * Executes a loop stage by walking its statements: the slow twin of the generated loop, and the oracle that it is tested against.
 * It never changes a value in place and makes a new envelope for every change.
 */
export function interpretStage(
  plan: Plan,
  stage: PlannedStage,
  counters: readonly { readonly node: number; readonly port: string }[],
): (messages: readonly Message[], batch: BatchInput, exits: Message[][], runtime: StageRuntimeDoor) => void {
  return (messages, batch, exits, runtime) => {
    for (const original of messages) {
      const walk = new Walk(plan, stage, counters, batch, exits, runtime, original)
      walk.run()
    }
  }
}

class Walk {
  readonly #plan: Plan
  readonly #stage: PlannedStage
  readonly #counters: readonly { readonly node: number; readonly port: string }[]
  readonly #batch: BatchInput
  readonly #exits: Message[][]
  readonly #runtime: StageRuntimeDoor
  readonly #original: Message
  #value: unknown
  #locals = new Map<string, unknown>()

  constructor(
    plan: Plan,
    stage: PlannedStage,
    counters: readonly { readonly node: number; readonly port: string }[],
    batch: BatchInput,
    exits: Message[][],
    runtime: StageRuntimeDoor,
    original: Message,
  ) {
    this.#plan = plan
    this.#stage = stage
    this.#counters = counters
    this.#batch = batch
    this.#exits = exits
    this.#runtime = runtime
    this.#original = original
    this.#value = original.value
  }

  run(): void {
    let next: number | null = this.#stage.nodes[0] ?? null
    while (next !== null) {
      const node: PlannedNode | undefined = this.#plan.nodes[next]
      if (node === undefined) return
      const entry = this.#value
      try {
        const ports: string[] = []
        this.#statements(node, node.statements, ports, false)
        next = this.#follow(node, ports)
      } catch (thrown) {
        this.#runtime.error(node.index, this.#original, entry, thrown)
        return
      }
    }
  }

  #follow(node: PlannedNode, ports: readonly string[]): number | null {
    let next: number | null = null
    for (const port of ports) {
      const route = this.#stage.routes.find((each) => each.node === node.index && each.port === port)
      if (route === undefined) continue
      if (route.next !== null) next = route.next
      else if (route.exit !== null)
        this.#exits[route.exit]?.push(
          this.#value === this.#original.value ? this.#original : withValue(this.#original, this.#value),
        )
    }
    return next
  }

  #statements(node: PlannedNode, statements: readonly Statement[], ports: string[], conditional: boolean): void {
    for (const each of statements) {
      switch (each.do) {
        case 'let':
          this.#locals.set(each.name, this.#evaluate(each.value))
          break
        case 'if':
          this.#statements(node, this.#evaluate(each.test) ? each.then : each.otherwise, ports, true)
          break
        case 'become':
          this.#value = this.#evaluate(each.value)
          break
        case 'assign': {
          const fields = each.fields.map((field) => [field.key, this.#evaluate(field.value)] as const)
          const base =
            typeof this.#value === 'object' && this.#value !== null && !Array.isArray(this.#value) ? this.#value : {}
          this.#value = { ...base, ...Object.fromEntries(fields) }
          break
        }
        case 'omit':
          this.#value = omitFields(this.#value, each.keys)
          break
        case 'emit':
          ports.push(each.port)
          if (conditional) this.#count(node.index, each.port)
          break
        case 'fail':
          throw failWith(each.code, this.#evaluate(each.text))
      }
    }
  }

  #count(node: number, port: string): void {
    const counts = this.#runtime.counts
    const at = this.#counters.findIndex((each) => each.node === node && each.port === port)
    if (counts !== null && at >= 0) counts[at] = (counts[at] ?? 0) + 1
  }

  #evaluate(ir: Ir): unknown {
    return evaluate(
      ir,
      {
        json: this.#value,
        key: this.#original.key,
        meta: this.#original.meta,
        at: this.#original.at,
        batch: this.#batch,
      },
      this.#locals,
    )
  }
}
