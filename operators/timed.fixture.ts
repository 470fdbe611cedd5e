import { z } from 'zod'
import { createCatalogue } from '../core/catalogue.ts'
import { compile } from '../core/compile/compile.ts'
import type { Source, TriggerContext } from '../core/define.ts'
import { define, defineVersions } from '../core/define.ts'
import { planText } from '../core/document/plan-text.ts'
import { edge } from '../core/flow/edge.ts'
import { message } from '../core/flow/message.ts'
import type { Host } from '../core/host.ts'
import { testHost, watchReceipts } from '../core/testing.ts'
import { catalogue } from '../nodes.ts'

export interface TimedRun {
  /** By node and port: `time: value` of what left there, in order; a failure as its code and the value. */
  readonly out: Readonly<Record<string, readonly string[]>>
  readonly outcome: string
  /** Holds that ended twice, and receipts that are left open. */
  readonly faults: readonly string[]
  /** By value, when its batch was told to have closed. */
  readonly closed: readonly string[]
}

/**
 * Runs one node on virtual time, which begins at 0: what is given at a time enters it then, and what leaves it is noted.
 * `body` adds nodes and edges, for nodes that have others behind them. The run ends by itself, or is killed.
 */
export async function timedRun(
  node: Readonly<Record<string, unknown>>,
  given: readonly (readonly [atMs: number, ...values: unknown[]])[],
  options: {
    readonly ports?: readonly string[]
    readonly nodes?: Readonly<Record<string, unknown>>
    readonly edges?: readonly string[]
    readonly endMs?: number
    readonly killMs?: number
    /** Kills the run from within: as soon as a `log` node writes. */
    readonly killOnLog?: boolean
    readonly host?: Partial<Host>
    /** A message's own time, from 0; the moment when it enters where left out. */
    readonly timeOf?: (value: unknown) => number
  } = {},
): Promise<TimedRun> {
  const out: Record<string, string[]> = {}
  const closed: string[] = []
  let kill = (): void => undefined
  const killing: Partial<Host> = options.killOnLog === true ? { log: { write: () => kill() } } : {}
  const host = testHost({ ...options.host, ...killing })
  const begin = host.clock.now()
  const time = (): number => host.clock.now() - begin

  const source = define({
    name: 'timed.source',
    version: 1,
    summary: 'Gives values at their times.',
    inputs: [],
    outputs: ['out'],
    config: z.strictObject({}),
    examples: [],
    face: {
      kind: 'stream-trigger',
      pausable: false,
      open: async (_config, context: TriggerContext): Promise<Source> => {
        given.forEach(([atMs, ...values], ticket) => {
          host.clock.after(atMs, () => {
            const size = { messages: values.length, bytes: 0 }
            context.gate.overdraw(size)
            const messages = values.map((value) =>
              message(value, null, options.timeOf === undefined ? host.clock.now() : begin + options.timeOf(value)),
            )
            context.emit(0, messages, context.streamScope, ticket, size)
          })
        })
        host.clock.after(options.endMs ?? given.at(-1)?.[0] ?? 0, context.complete)
        return {
          pause: () => undefined,
          resume: () => undefined,
          close: async () => undefined,
          closed: (ticket) => void closed.push(`${time()}: ${given[ticket]?.slice(1).map(textOf).join(' ')}`),
        }
      },
    },
  })
  const reader = define({
    name: 'timed.reader',
    version: 1,
    summary: 'Notes what arrives and when.',
    inputs: ['in'],
    outputs: [],
    config: z.strictObject({ as: z.string() }),
    examples: [],
    face: {
      kind: 'stream',
      make:
        (config) =>
        ([input]) => {
          const seen: string[] = []
          out[config.as] = seen
          if (input !== undefined)
            edge(input, ({ messages, receipt }) => {
              for (const each of messages) seen.push(`${time()}: ${textOf(each.value)}`)
              receipt.settle()
            })
          return []
        },
    },
  })
  const ports = options.ports ?? ['out', 'error']
  const nodes: Record<string, unknown> = { source: { type: 'timed.source@1' }, subject: node, ...options.nodes }
  for (const port of ports) nodes[`port-${port}`] = { type: 'timed.reader@1', config: { as: port } }
  const edges = [
    'source -> subject',
    ...ports.map((port) => `subject.${port} -> port-${port}`),
    ...(options.edges ?? []),
  ]
  const types = createCatalogue([
    ...catalogue.types,
    defineVersions({ 1: source }, { latest: 1 }),
    defineVersions({ 1: reader }, { latest: 1 }),
  ])
  const planned = planText(JSON.stringify({ millrace: 1, name: 'timed', nodes, edges }), types)
  const watch = watchReceipts()
  try {
    const pipeline = compile(planned, types, host)
    const execution = pipeline.start('source')
    kill = () => void execution.kill('enough')
    let outcome = ''
    void execution.done.then((done) => {
      outcome = done.state
    })
    if (options.killMs !== undefined) host.clock.after(options.killMs, kill)
    await host.clock.runUntil(() => outcome !== '')
    void pipeline.release(0)
    await host.clock.runUntil(() => false)
    const open = watch.open.size > 0 ? [`${watch.open.size} receipts are open`] : []
    return { out, outcome, faults: [...watch.faults, ...open], closed }
  } finally {
    watch.restore()
  }
}

function textOf(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'error' in value && 'value' in value) {
    const { error, value: failed } = value as { readonly error: { readonly code: string }; readonly value: unknown }
    return `${error.code} ${JSON.stringify(failed)}`
  }
  return JSON.stringify(value)
}
