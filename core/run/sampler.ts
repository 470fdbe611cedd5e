import type { Plan, PlannedNode } from '../document/plan.ts'
import type { ExpressionInput } from '../expressions/index.ts'
import { compileExpression, containsExpression, parseExpression } from '../expressions/index.ts'
import { NodeError } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import type { Clock } from '../host.ts'
import type { Sample, SampleLimits, SampleReport } from '../pipeline.ts'
import { excerpt } from './excerpt.ts'

const windowMs = 100

/**
 * Takes a few of the messages that go by, and tells of them ten times a second. What it costs the flow is bounded: the filter looks at
 * so many messages a second, so many are copied, each up to a size; of all others one number is kept.
 */
export class Sampler {
  readonly #limits: SampleLimits
  readonly #clock: Clock
  readonly #read: (report: SampleReport) => void
  readonly #matches: ((message: Message) => boolean) | null
  #samples: Sample[] = []
  #missed = 0
  /** Messages that may still be looked at, or taken: refilled with time, up to those of a second. */
  #looks: number
  #takes: number
  #cancel: () => void

  /** Throws a NodeError for a filter that cannot be read. */
  constructor(limits: SampleLimits, clock: Clock, read: (report: SampleReport) => void) {
    this.#limits = limits
    this.#clock = clock
    this.#read = read
    this.#matches = limits.filter === null ? null : sampleFilter(limits.filter)
    this.#looks = limits.examinedPerSecondMax
    this.#takes = limits.perSecondMax
    this.#cancel = clock.after(windowMs, () => this.#tell())
  }

  take(messages: readonly Message[]): void {
    for (let i = 0; i < messages.length; i++) {
      if (this.#takes < 1 || this.#looks < 1) {
        this.#missed += messages.length - i
        return
      }
      const message = messages[i]
      if (message === undefined) continue
      this.#looks -= 1
      if (this.#matches !== null && !this.#matches(message)) continue
      this.#takes -= 1
      this.#samples.push(sampleOf(message, this.#limits.valueCharsMax))
    }
  }

  close(): void {
    this.#cancel()
  }

  #tell(): void {
    const { perSecondMax, examinedPerSecondMax } = this.#limits
    const share = windowMs / 1_000
    this.#takes = Math.min(perSecondMax, this.#takes + perSecondMax * share)
    this.#looks = Math.min(examinedPerSecondMax, this.#looks + examinedPerSecondMax * share)
    this.#cancel = this.#clock.after(windowMs, () => this.#tell())
    if (this.#samples.length === 0 && this.#missed === 0) return
    const report = { samples: this.#samples, missed: this.#missed }
    this.#samples = []
    this.#missed = 0
    this.#read(report)
  }
}

/** The node with this port. Throws a NodeError that says what there is instead. */
export function checkPort(plan: Plan, node: string, port: string): PlannedNode {
  const planned = plan.nodes.find((each) => each.id === node)
  if (planned === undefined)
    throw new NodeError(
      'tap.unknown-node',
      `there is no node ${JSON.stringify(node)}; the workflow has ${plan.nodes
        .slice(0, 50)
        .map((each) => each.id)
        .join(', ')}`,
    )
  const ports = [...planned.outputs.filter((each) => each !== 'error'), 'error']
  if (ports.includes(port)) return planned
  throw new NodeError('tap.unknown-port', `${node} has no port ${JSON.stringify(port)}; it has ${ports.join(', ')}`)
}

/** Makes a filter of an expression such as `$json.total > 100`, with or without its braces. Throws a NodeError that says what is wrong with it. */
export function sampleFilter(text: string): (message: Message) => boolean {
  const parsed = parseExpression(containsExpression(text) ? text : `{{ ${text} }}`, { upstream: [], nodes: [] })
  if (!parsed.ok) {
    const [first] = parsed.problems
    const why = `${first?.message} ${first?.remedy}`.replace(/\.$/, '')
    throw new NodeError('tap.bad-filter', `the filter ${JSON.stringify(text)}: ${why}`)
  }
  const other = parsed.value.roots.find((root) => !known.has(root))
  if (other !== undefined)
    throw new NodeError(
      'tap.bad-filter',
      `the filter ${JSON.stringify(text)} reads $${other}: it knows only $json, $key and $meta`,
    )
  const evaluate = compileExpression(parsed.value)
  return (message) => {
    const { value, key, meta, at } = message
    const input: ExpressionInput = { json: value, key, meta, at, batch: noBatch }
    try {
      return Boolean(evaluate(input))
    } catch {
      // A message that the filter cannot read is none that is looked for.
      return false
    }
  }
}

const known: ReadonlySet<string> = new Set(['json', 'key', 'meta'])

const noBatch: ExpressionInput['batch'] = {
  now: 0,
  vars: {},
  env: {},
  execution: { id: '', mode: '' },
  workflow: { id: '', name: '', version: '' },
}

function sampleOf({ value, key, time }: Message, charsMax: number): Sample {
  return { value: excerpt(value, charsMax), key: key === null ? null : excerpt(key, keyCharsMax), time }
}

const keyCharsMax = 1_000
