import { z } from 'zod'
import { createCatalogue } from './catalogue.ts'
import type { CompileOptions } from './compile/compile.ts'
import { compile } from './compile/compile.ts'
import type { AnyDefinition, Definition, NodeType } from './define.ts'
import { define, defineVersions } from './define.ts'
import type { Document, Settings } from './document/document.ts'
import { parse } from './document/parse.ts'
import type { Plan, PlanOptions } from './document/plan.ts'
import { plan } from './document/plan.ts'
import { must } from './document/plan-text.ts'
import { failureOf } from './flow/failure.ts'
import type { Message } from './flow/message.ts'
import { message } from './flow/message.ts'
import { createPump } from './flow/pump.ts'
import type { Receipt } from './flow/receipt.ts'
import { observeReceipts } from './flow/receipt.ts'
import type { Clock, DeadLetter, Host } from './host.ts'
import type { Outcome, Pipeline } from './pipeline.ts'

/** A clock that stands still until it is told to go on. */
export interface VirtualClock extends Clock {
  /** Lets pending promises go on, then turns, then the nearest timer; until `done` holds or nothing is left to do. */
  runUntil(done: () => boolean, limitMs?: number): Promise<boolean>
  readonly pendingTimers: number
}

/** Makes a virtual clock that begins at `startMs`. */
export function virtualClock(startMs = 1_700_000_000_000): VirtualClock {
  let now = startMs
  let order = 0
  let timers: { readonly at: number; readonly order: number; readonly callback: () => void }[] = []
  let turns: (() => void)[] = []
  const next = (): boolean => {
    const due = turns
    turns = []
    if (due.length > 0) {
      for (const turn of due) turn()
      return true
    }
    const first = timers.reduce<(typeof timers)[number] | null>(
      (best, each) =>
        best === null || each.at < best.at || (each.at === best.at && each.order < best.order) ? each : best,
      null,
    )
    if (first === null) return false
    timers = timers.filter((each) => each !== first)
    now = Math.max(now, first.at)
    first.callback()
    return true
  }
  return {
    now: () => now,
    elapsed: () => now,
    after(delayMs, callback) {
      const timer = { at: now + delayMs, order: order++, callback }
      timers.push(timer)
      return () => {
        timers = timers.filter((each) => each !== timer)
      }
    },
    soon: (callback) => void turns.push(callback),
    async runUntil(done, limitMs = 24 * 3_600_000) {
      const end = now + limitMs
      for (;;) {
        await promisesSettled()
        if (done()) return true
        if (now > end || !next()) {
          await promisesSettled()
          return done()
        }
      }
    },
    get pendingTimers() {
      return timers.length
    },
  }
}

/** Resolves when the promises that can go on by themselves have gone on. */
function promisesSettled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export interface TestHost extends Host {
  readonly clock: VirtualClock
  readonly deadLetters: DeadLetter[]
}

/** A host on virtual time that remembers dead letters. */
export function testHost(over: Partial<Host> = {}): TestHost {
  const deadLetters: DeadLetter[] = []
  let ids = 0
  let seed = 1
  return {
    random: () => {
      seed = (seed * 48_271) % 2_147_483_647
      return seed / 2_147_483_647
    },
    id: () => `t${++ids}`,
    env: {},
    vars: () => ({}),
    log: { write: () => undefined },
    deadLetter: async (letters) => void deadLetters.push(...letters),
    ...over,
    clock: virtualClock(),
    deadLetters,
  }
}

/** Counts receipts from now on; `restore` ends it. `faults` is empty when every hold ended exactly once. */
export function watchReceipts(): {
  readonly open: ReadonlySet<Receipt>
  readonly faults: readonly string[]
  restore(): void
} {
  const open = new Set<Receipt>()
  const faults: string[] = []
  const before = observeReceipts({
    opened: (receipt) => void open.add(receipt),
    closed: (receipt) => {
      if (!open.delete(receipt)) faults.push('a receipt closed twice')
    },
    overEnded: () => void faults.push(`a hold ended twice: ${new Error().stack?.split('\n').slice(3, 8).join(' | ')}`),
  })
  return { open, faults, restore: () => void observeReceipts(before) }
}

/** A stream trigger that gives listed values in batches of a chosen size; for tests. */
export const testSource = define({
  name: 'test.source',
  version: 1,
  summary: 'Gives listed values, cut into batches.',
  inputs: [],
  outputs: ['out'],
  freshValues: true,
  config: z.strictObject({
    values: z.array(z.unknown()),
    cut: z.int().min(1).default(1024),
    keys: z.array(z.string().nullable()).default([]),
    everyMs: z.number().default(0),
  }),
  examples: [],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: async (config, context) => {
      let next = 0
      let tickets = 0
      const values: readonly unknown[] = structuredClone(config.values)
      const { clock } = context.host
      let rested = true
      const pump = createPump(
        clock,
        context.gate,
        () => {
          if (next >= values.length) return 'done'
          if (!rested) return 'idle'
          const count = Math.min(config.cut, values.length - next, context.gate.batchMax.messages)
          const size = { messages: count, bytes: 0 }
          if (!context.gate.take(size)) return 'full'
          const now = clock.now()
          const messages = values
            .slice(next, next + count)
            .map((value, index) => message(value, config.keys[next + index] ?? null, now))
          next += count
          if (config.everyMs > 0) {
            rested = false
            clock.after(config.everyMs, () => {
              rested = true
              pump.wake()
            })
          }
          context.emit(0, messages, context.streamScope, tickets++, size)
          return 'emitted'
        },
        context.complete,
        (thrown) => context.fail(failureOf(thrown, context.node)),
      )
      pump.wake()
      return { pause: pump.pause, resume: pump.resume, close: async () => pump.close() }
    },
  },
})

/** A sink that keeps what it gets in the list that `collected` was called with; for tests. */
function collectorOf(collected: Map<string, Message[]>): Definition<{ readonly as: string }> {
  return define({
    name: 'test.collect',
    version: 1,
    summary: 'Keeps what it gets.',
    inputs: ['in'],
    outputs: [],
    config: z.strictObject({ as: z.string() }),
    examples: [],
    face: {
      kind: 'sink',
      limits: () => ({ messagesMax: 100_000, waitMsMax: 0, timeoutMs: 1000, concurrency: 1 }),
      make: (config) => ({
        write: async (messages) => {
          const list = collected.get(config.as) ?? []
          collected.set(config.as, list)
          for (const each of messages) list.push(each)
          return []
        },
        close: async () => undefined,
      }),
    },
  })
}

export interface FlowRun {
  readonly plan: Plan
  readonly pipeline: Pipeline
  readonly outcome: Outcome
  /** Values by the name that their `test.collect` node has in `as`. */
  readonly collected: Readonly<Record<string, readonly unknown[]>>
  readonly deadLetters: readonly DeadLetter[]
  /** Messages in flight at the worst moment that a collector saw. */
  readonly faults: readonly string[]
}

export interface FlowOptions extends CompileOptions, PlanOptions {
  readonly types: readonly NodeType[]
  readonly host?: Partial<Host>
  /** For event triggers: where to start, with what. */
  readonly start?: { readonly entry: string; readonly input: readonly unknown[] }
  readonly limitMs?: number
}

/** Runs a document to its end on virtual time. Throws on problems, on a stall, and on a receipt that is left or ended twice. */
export async function runFlow(source: string | Document, options: FlowOptions): Promise<FlowRun> {
  const collected = new Map<string, Message[]>()
  const own = [
    defineVersions({ 1: testSource }, { latest: 1 }),
    defineVersions({ 1: collectorOf(collected) }, { latest: 1 }),
  ]
  const catalogue = createCatalogue([...options.types, ...own])
  const document = typeof source === 'string' ? must(parse(source)) : source
  const planned = must(plan(document, catalogue, options))
  const host = testHost(options.host)
  const watch = watchReceipts()
  try {
    const pipeline = compile(planned, catalogue, host, options)
    const now = host.clock.now()
    const entry = options.start?.entry ?? planned.nodes[planned.entries[0]?.node ?? 0]?.id ?? ''
    const execution = pipeline.start(
      entry,
      (options.start?.input ?? []).map((value) => message(structuredClone(value), null, now)),
    )
    let outcome: Outcome | null = null
    void execution.done.then((done) => {
      outcome = done
    })
    const over = await host.clock.runUntil(() => outcome !== null, options.limitMs)
    if (!over || outcome === null) throw new Error(`the flow stalled with ${watch.open.size} open receipts`)
    const released = pipeline.release(0)
    let closed = false
    void released.then(() => {
      closed = true
    })
    await host.clock.runUntil(() => closed)
    const faults = [...watch.faults, ...(watch.open.size > 0 ? [`${watch.open.size} receipts are still open`] : [])]
    return {
      plan: planned,
      pipeline,
      outcome,
      deadLetters: host.deadLetters,
      collected: Object.fromEntries([...collected].map(([name, list]) => [name, list.map((each) => each.value)])),
      faults,
    }
  } finally {
    watch.restore()
  }
}

/** Runs one example of a definition, its input cut into batches of `cut`; answers the values by output port. */
export async function runExample(
  definition: AnyDefinition,
  example: AnyDefinition['examples'][number],
  types: readonly NodeType[],
  cut: number,
  options: CompileOptions & { readonly host?: Partial<Host>; readonly settings?: Partial<Settings> } = {},
): Promise<FlowRun> {
  const isTrigger = definition.face.kind.endsWith('trigger')
  const parsed = definition.config.parse(example.config)
  const outputs = typeof definition.outputs === 'function' ? definition.outputs(parsed) : definition.outputs
  const ports = isTrigger ? outputs : [...outputs, 'error']
  const type = `${definition.name}@${definition.version}`
  const nodes: Record<string, unknown> = {
    subject: { type, config: example.config, ...(example.into === undefined ? {} : { into: example.into }) },
  }
  const edges: string[] = []
  if (!isTrigger) {
    nodes.source = { type: 'test.source@1', config: { values: example.input, cut } }
    edges.push(`source -> subject`)
  }
  ports.forEach((port, index) => {
    nodes[`port${index}`] = { type: 'test.collect@1', config: { as: port } }
    edges.push(`subject.${port} -> port${index}`)
  })
  const text = JSON.stringify({
    millrace: 1,
    name: `${definition.name} example`,
    settings: options.settings ?? {},
    nodes,
    edges,
  })
  const eventTrigger = definition.face.kind === 'event-trigger'
  return runFlow(text, {
    ...options,
    types,
    ...(eventTrigger ? { start: { entry: 'subject', input: example.input } } : {}),
  })
}
