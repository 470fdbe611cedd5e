import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createCatalogue } from '../core/catalogue.ts'
import { compile } from '../core/compile/compile.ts'
import { define, defineVersions } from '../core/define.ts'
import { planText } from '../core/document/plan-text.ts'
import { wait } from '../core/flow/deadline.ts'
import { failureOf, NodeError } from '../core/flow/failure.ts'
import { createLedger } from '../core/flow/ledger.ts'
import type { Message } from '../core/flow/message.ts'
import { message, withValue } from '../core/flow/message.ts'
import { createPump } from '../core/flow/pump.ts'
import { testHost, watchReceipts } from '../core/testing.ts'
import { catalogue as shipped } from '../nodes.ts'
import type { Spec, Value } from './naive.ts'
import { naive } from './naive.ts'

const runs = Number(process.env.MILLRACE_GRAPHS ?? 10_000)

/** A graph: nodes that take from earlier ones, and what is done with errors. Index -1 is the source. */
interface Graph {
  readonly nodes: readonly {
    readonly spec: Spec
    readonly from: readonly { readonly node: number; readonly port: number }[]
    readonly onError: 'route' | 'drop'
    readonly errorTo: 'collect' | 'dead-letter'
  }[]
  readonly values: readonly number[]
  readonly cut: number
  readonly limit: number
  readonly killAfter: number | null
}

const specs: fc.Arbitrary<Spec> = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), add: fc.integer({ min: -3, max: 9 }) }),
  fc.record({
    kind: fc.constant('merge-set' as const),
    field: fc.constantFrom('a' as const, 'b' as const),
    add: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({ kind: fc.constant('filter' as const), modulus: fc.integer({ min: 1, max: 4 }) }),
  fc.record({ kind: fc.constant('filter-error' as const), modulus: fc.integer({ min: 2, max: 5 }) }),
  fc.record({ kind: fc.constant('switch' as const), modulus: fc.integer({ min: 2, max: 4 }), all: fc.boolean() }),
  fc.record({ kind: fc.constant('split' as const), count: fc.integer({ min: 0, max: 3 }) }),
  fc.record({
    kind: fc.constant('async' as const),
    modulus: fc.integer({ min: 1, max: 5 }),
    failures: fc.integer({ min: 1, max: 3 }),
    retries: fc.integer({ min: 0, max: 2 }),
    order: fc.constantFrom('input' as const, 'none' as const, 'key' as const),
  }),
  fc.record({
    kind: fc.constant('expand' as const),
    count: fc.integer({ min: 0, max: 4 }),
    modulus: fc.integer({ min: 2, max: 5 }),
  }),
  fc.record({
    kind: fc.constant('loop' as const),
    below: fc.integer({ min: 0, max: 20 }),
    step: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({ kind: fc.constant('stop' as const) }),
)

const graphs: fc.Arbitrary<Graph> = fc.record({
  nodes: fc.array(
    fc.record({
      spec: specs,
      from: fc.array(fc.record({ node: fc.nat(20), port: fc.nat(3) }), { minLength: 1, maxLength: 3 }),
      onError: fc.constantFrom('route' as const, 'drop' as const),
      errorTo: fc.constantFrom('collect' as const, 'dead-letter' as const),
    }),
    { minLength: 1, maxLength: 7 },
  ),
  values: fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 25 }),
  cut: fc.constantFrom(1, 2, 7, 1024),
  limit: fc.constantFrom(1, 3, 16, 1000),
  killAfter: fc.option(fc.integer({ min: 0, max: 40 }), { freq: 5 }),
})

const outputsOf = (spec: Spec): readonly string[] => {
  if (spec.kind === 'switch') return ['x', 'y', 'otherwise']
  if (spec.kind === 'loop') return ['done']
  if (spec.kind === 'stop') return []
  return ['out']
}

type Edge = readonly [from: string, port: string, to: string]

interface Built {
  readonly document: string
  readonly edges: readonly Edge[]
  readonly specs: ReadonlyMap<string, Graph['nodes'][number]>
}

/** Writes the graph as a document. A reference to a node without outputs, or to itself, goes to the source. */
function build(graph: Graph, cut: number): Built {
  const nodes: Record<string, unknown> = { source: { type: 'graph.source@1', config: { values: graph.values, cut } } }
  const edges: Edge[] = []
  const specsById = new Map<string, Graph['nodes'][number]>()
  graph.nodes.forEach((node, index) => {
    const id = `n${index}`
    specsById.set(id, node)
    nodes[id] = nodeOf(node.spec, node.onError)
    for (const { node: at, port } of node.from) {
      const before = graph.nodes[at % (index + 1)]
      const outputs = before === undefined || at % (index + 1) === index ? [] : outputsOf(before.spec)
      const name = outputs.length === 0 ? 'source' : `n${at % (index + 1)}`
      const edge: Edge = [name, name === 'source' ? 'out' : (outputs[port % outputs.length] ?? 'out'), id]
      if (!edges.some((each) => each.join() === edge.join())) edges.push(edge)
    }
    if (node.spec.kind === 'loop') {
      nodes[`${id}-step`] = {
        type: 'set@1',
        into: 'merge',
        config: { fields: { n: `{{ $json.n + ${node.spec.step} }}` } },
      }
      edges.push([id, 'round', `${id}-step`])
    }
    for (const port of [...outputsOf(node.spec), ...(node.errorTo === 'collect' ? ['error'] : [])]) {
      nodes[`${id}-${port}`] = { type: 'graph.collect@1', config: { as: `${id}.${port}` } }
      edges.push([id, port, `${id}-${port}`])
    }
  })
  const texts = edges.map(([from, port, to]) => ({ from, fromPort: port, to }))
  const back = [...specsById]
    .filter(([, node]) => node.spec.kind === 'loop')
    .map(([id]) => ({ from: `${id}-step`, to: id, toPort: 'back' }))
  const settings = { inFlightMax: graph.limit, stopMsMax: 1000 }
  return {
    document: JSON.stringify({ millrace: 1, name: 'random', settings, nodes, edges: [...texts, ...back] }),
    edges,
    specs: specsById,
  }
}

function nodeOf(spec: Spec, onError: 'route' | 'drop'): unknown {
  switch (spec.kind) {
    case 'set':
      return { type: 'set@1', onError, config: { fields: { n: `{{ $json.n + ${spec.add} }}` } } }
    case 'merge-set':
      return {
        type: 'set@1',
        onError,
        into: 'merge',
        config: { fields: { [spec.field]: `{{ $json.n * ${spec.add} }}` } },
      }
    case 'filter':
      return { type: 'filter@1', onError, config: { where: `{{ $json.n % ${spec.modulus} === 0 }}` } }
    case 'filter-error':
      return {
        type: 'filter@1',
        onError,
        config: { where: `{{ $json.n % ${spec.modulus} === 0 ? $json.nothing.here : true }}` },
      }
    case 'switch':
      return {
        type: 'switch@1',
        onError,
        config: {
          mode: spec.all ? 'all' : 'first',
          cases: [
            { port: 'x', where: `{{ $json.n % ${spec.modulus} === 0 }}` },
            { port: 'y', where: '{{ $json.n % 2 === 0 }}' },
          ],
        },
      }
    case 'split':
      return {
        type: 'split@1',
        onError,
        config: { list: `{{ [0, 1, 2].slice(0, ${spec.count}).map(i => ({ n: $json.n * 3 + i })) }}` },
      }
    case 'async': {
      const retry = { retry: { attemptsMax: Math.max(1, spec.retries), backoffMs: 5 } }
      const { modulus, failures, order } = spec
      return {
        type: 'graph.async@1',
        onError: spec.retries > 0 ? retry : onError,
        config: { modulus, failures, forGood: failures > spec.retries, order },
      }
    }
    case 'expand':
      return { type: 'graph.expand@1', onError, config: { count: spec.count, modulus: spec.modulus } }
    case 'loop':
      return { type: 'loop@1', onError, config: { while: `{{ $json.n < ${spec.below} }}` } }
    case 'stop':
      return { type: 'stop-and-error@1', onError, config: { message: 'no' } }
  }
}

/** What must arrive, by collector and in the dead-letter, computed message by message without the engine. */
function expected(graph: Graph, built: Built): Map<string, string[]> {
  const arrived = new Map<string, string[]>()
  const note = (name: string, value: unknown): void =>
    void arrived.set(name, [...(arrived.get(name) ?? []), show(value)])
  const send = (id: string, port: string, value: unknown): void => {
    const targets = built.edges.filter(([from, fromPort]) => from === id && fromPort === port)
    if (targets.length === 0 && port === 'error') note('dead-letter', value)
    for (const [, , to] of targets) {
      const node = built.specs.get(to)
      if (node === undefined) note(`${id}.${port}`, value)
      else {
        const retrying = node.spec.kind === 'async' && node.spec.retries > 0
        for (const [next, each] of naive(node.spec, value as Value, retrying ? 'route' : node.onError))
          send(to, next, each)
      }
    }
  }
  for (const n of graph.values) send('source', 'out', { n })
  for (const list of arrived.values()) list.sort()
  return arrived
}

/** Errors are compared by the value that failed. */
function show(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'value' in value) return `failed ${JSON.stringify(value.value)}`
  return JSON.stringify(value)
}

interface Ran {
  readonly arrived: Map<string, string[]>
  readonly faults: readonly string[]
  readonly state: string
}

async function run(graph: Graph, cut: number, interpret: boolean): Promise<Ran> {
  const built = build(graph, cut)
  const collected = new Map<string, string[]>()
  const faults: string[] = []
  const types = createCatalogue([
    ...shipped.types,
    defineVersions({ 1: sourceOf(graph.limit, faults) }, { latest: 1 }),
    defineVersions({ 1: collectorOf(collected) }, { latest: 1 }),
    defineVersions({ 1: asyncNode }, { latest: 1 }),
    defineVersions({ 1: expandNode }, { latest: 1 }),
  ])
  const planned = planText(built.document, types)
  const host = testHost()
  const watch = watchReceipts()
  try {
    const pipeline = compile(planned, types, host, { interpret })
    const execution = pipeline.start('source')
    let state = ''
    void execution.done.then((outcome) => {
      state = outcome.state
    })
    if (graph.killAfter !== null) host.clock.after(graph.killAfter, () => void execution.kill('enough'))
    if (!(await host.clock.runUntil(() => state !== ''))) faults.push(`stalled with ${watch.open.size} receipts open`)
    let released = false
    void pipeline.release(0).then(() => {
      released = true
    })
    await host.clock.runUntil(() => false)
    if (!released) faults.push('the release did not end')
    faults.push(...watch.faults)
    if (watch.open.size > 0) faults.push(`${watch.open.size} receipts are left open after ${state}`)
    if (host.deadLetters.length > 0)
      collected.set(
        'dead-letter',
        host.deadLetters.map((letter) => show({ value: letter.value })),
      )
    for (const list of collected.values()) list.sort()
    return { arrived: collected, faults, state }
  } finally {
    watch.restore()
  }
}

describe('random graphs', () => {
  test(`${runs} graphs give what the naive interpreter gives, and every hold ends exactly once`, {
    timeout: 600_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(graphs, fc.boolean(), async (graph, interpret) => {
        const ran = await run(graph, graph.cut, interpret)
        expect(ran.faults).toEqual([])
        if (graph.killAfter !== null && ran.state === 'stopped') return
        expect(ran.state).toBe('done')
        const wanted = expected(graph, build(graph, graph.cut))
        expect(Object.fromEntries(ran.arrived)).toEqual(Object.fromEntries(wanted))
      }),
      {
        numRuns: runs,
        ...(process.env.MILLRACE_SEED === undefined ? {} : { seed: Number(process.env.MILLRACE_SEED) }),
      },
    )
  })
})

function sourceOf(limit: number, faults: string[]) {
  return define({
    name: 'graph.source',
    version: 1,
    summary: 'Gives numbers, keeps a ledger and watches the limit.',
    inputs: [],
    outputs: ['out'],
    freshValues: true,
    config: z.strictObject({ values: z.array(z.number()), cut: z.int() }),
    examples: [],
    face: {
      kind: 'stream-trigger',
      pausable: true,
      open: async (config, context) => {
        const ledger = createLedger()
        const openTickets = new Map<number, bigint>()
        let next = 0
        let committed = -1n
        const pump = createPump(
          context.host.clock,
          context.gate,
          () => {
            if (next >= config.values.length) return 'done'
            const count = Math.min(config.cut, config.values.length - next, context.gate.batchMax.messages)
            const size = { messages: count, bytes: 0 }
            if (!context.gate.take(size)) return 'full'
            if (context.gate.inFlight.messages > Math.max(limit, count))
              faults.push(`in flight ${context.gate.inFlight.messages} of ${limit}`)
            const messages = config.values
              .slice(next, next + count)
              .map((n) => message({ n }, n % 3 === 0 ? 'k' : null, 0))
            next += count
            const last = BigInt(next - 1)
            const ticket = ledger.open(last, 0)
            openTickets.set(ticket, last)
            context.emit(0, messages, context.streamScope, ticket, size)
            return 'emitted'
          },
          context.complete,
          (thrown) => context.fail(failureOf(thrown, context.node)),
        )
        pump.wake()
        return {
          pause: pump.pause,
          resume: pump.resume,
          close: async () => pump.close(),
          closed(ticket) {
            if (!openTickets.delete(ticket)) faults.push(`ticket ${ticket} closed twice`)
            ledger.close(ticket)
            const now = ledger.committable ?? -1n
            if (now < committed) faults.push('committable moved back')
            committed = now
            for (const last of openTickets.values())
              if (now >= last) faults.push(`committable ${now} passed the open ticket of ${last}`)
          },
        }
      },
    },
  })
}

function collectorOf(collected: Map<string, string[]>) {
  return define({
    name: 'graph.collect',
    version: 1,
    summary: 'Keeps what it gets, after a while, and fails the first time.',
    inputs: ['in'],
    outputs: [],
    config: z.strictObject({ as: z.string() }),
    examples: [],
    face: {
      kind: 'sink',
      limits: () => ({ messagesMax: 4, waitMsMax: 3, timeoutMs: 1000, concurrency: 1 }),
      make: (config, context) => ({
        write: async (messages, signal) => {
          await wait(context.host.clock, 2, [signal])
          const list = collected.get(config.as) ?? []
          collected.set(config.as, list)
          for (const each of messages) list.push(show(each.value))
          return []
        },
        close: async () => undefined,
      }),
    },
  })
}

const numberOf = (each: Message): number => {
  const { value } = each
  return typeof value === 'object' && value !== null && 'n' in value && typeof value.n === 'number' ? value.n : 0
}

const asyncNode = define({
  name: 'graph.async',
  version: 1,
  summary: 'Adds one after a delay; some numbers fail a number of times.',
  inputs: ['in'],
  outputs: ['out'],
  config: z.strictObject({
    modulus: z.int(),
    failures: z.int(),
    forGood: z.boolean(),
    order: z.enum(['input', 'none', 'key']),
  }),
  examples: [],
  face: {
    kind: 'async',
    limits: (config) => ({ concurrency: 3, order: config.order, timeoutMs: 10_000 }),
    make: (config, context) => {
      // One message may arrive by two ways; then its attempts are counted together, which only makes it succeed earlier.
      const attempts = new WeakMap<Message, number>()
      return async (each, signal) => {
        const n = numberOf(each)
        await wait(context.host.clock, (n * 7) % 11, [signal])
        signal.throwIfAborted()
        const attempt = (attempts.get(each) ?? 0) + 1
        attempts.set(each, attempt)
        if (n % config.modulus === 0 && (config.forGood || attempt <= config.failures))
          throw new NodeError('graph.no', 'not yet', { retriable: true })
        return withValue(each, { ...(each.value as object), n: n + 1 })
      }
    },
  },
})

const expandNode = define({
  name: 'graph.expand',
  version: 1,
  summary: 'Gives several numbers, some of them at once; some inputs break half-way.',
  inputs: ['in'],
  outputs: ['out'],
  config: z.strictObject({ modulus: z.int(), count: z.int() }),
  examples: [],
  face: {
    kind: 'expand',
    limits: () => ({ concurrency: 2, timeoutMs: 10_000, inFlightMax: 2 }),
    make: (config, context) =>
      async function* (each, signal) {
        const n = numberOf(each)
        const breaks = n % config.modulus === 0
        const count = breaks ? Math.floor(config.count / 2) : config.count
        let group: Message[] = []
        for (let index = 0; index < count; index++) {
          await wait(context.host.clock, (n + index) % 4, [signal])
          signal.throwIfAborted()
          group.push(withValue(each, { n: n + index * 7 }))
          if ((n + index) % 3 === 0) continue
          yield group
          group = []
        }
        if (group[0] !== undefined) yield group[0]
        if (breaks) throw new NodeError('graph.no', 'broken off')
      },
  },
})
