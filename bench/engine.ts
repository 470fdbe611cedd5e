import { filter as keep, map, Subject } from 'rxjs'
import { z } from 'zod'
import { createCatalogue } from '../core/catalogue.ts'
import { compile } from '../core/compile/compile.ts'
import { define, defineVersions } from '../core/define.ts'
import { planText } from '../core/document/plan-text.ts'
import { message } from '../core/flow/message.ts'
import { createPump } from '../core/flow/pump.ts'
import type { Host } from '../core/host.ts'
import type { Pipeline } from '../core/pipeline.ts'
import { catalogue } from '../nodes.ts'
import { systemClock } from '../server/system-clock.ts'
import { against, compare, timed } from './compare.ts'
import type { BenchRow } from './row.ts'

/** One order; `shape` adds fields, so that V8 sees another hidden class. */
export function makeOrder(n: number, shape: number): Record<string, unknown> {
  const order: Record<string, unknown> = {
    id: n,
    total: n % 200,
    user: { name: n % 2 === 0 ? 'ada' : 'grace' },
    region: n % 3,
  }
  for (let field = 0; field < shape; field++) order[`extra${field}`] = field
  return order
}

/** Orders that exist before the clock starts, for the figures that leave out what making them costs. */
const readyOrders = Array.from({ length: 2_000 }, (_, n) => makeOrder(n, 0))

function orderOf(n: number, shape: number | 'ready'): Record<string, unknown> {
  return shape === 'ready' ? (readyOrders[n % readyOrders.length] ?? {}) : makeOrder(n, shape)
}

const batchMessages = 500
const regions = ['eu', 'us', 'ap']

const source = define({
  name: 'bench.source',
  version: 1,
  summary: 'Makes orders as fast as they are taken.',
  inputs: [],
  outputs: ['out'],
  freshValues: true,
  config: z.strictObject({ count: z.int(), shape: z.union([z.int(), z.literal('ready')]) }),
  examples: [],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: async (config, context) => {
      let next = 0
      let ticket = 0
      const size = { messages: batchMessages, bytes: 0 }
      const pump = createPump(
        context.host.clock,
        context.gate,
        () => {
          if (next >= config.count) return 'done'
          if (!context.gate.take(size)) return 'full'
          const messages = []
          for (let i = 0; i < batchMessages; i++) messages.push(message(orderOf(next++, config.shape), null, 0))
          context.emit(0, messages, context.streamScope, ticket++, size)
          return 'emitted'
        },
        context.complete,
        (thrown) => {
          throw thrown
        },
      )
      pump.wake()
      return { pause: pump.pause, resume: pump.resume, close: async () => pump.close() }
    },
  },
})

/** What all three ways add up, so that nobody's work can be left out. */
export const sums = { ours: 0, peer: 0 }

const sink = define({
  name: 'bench.sink',
  version: 1,
  summary: 'Adds up what it gets.',
  inputs: ['in'],
  outputs: [],
  config: z.strictObject({}),
  examples: [],
  face: {
    kind: 'sink',
    limits: () => ({ messagesMax: 100_000, waitMsMax: 0, timeoutMs: 60_000, concurrency: 4 }),
    make: () => ({
      write: async (messages) => {
        for (const each of messages) sums.ours += (each.value as Order).total
        return []
      },
      close: async () => undefined,
    }),
  },
})

const types = createCatalogue([
  ...catalogue.types,
  defineVersions({ 1: source }, { latest: 1 }),
  defineVersions({ 1: sink }, { latest: 1 }),
])

function documentOf(name: string, count: number, shape: number | 'ready', telemetry: string): string {
  return JSON.stringify({
    millrace: 1,
    name,
    settings: { telemetry },
    nodes: {
      orders: { type: 'bench.source@1', config: { count, shape } },
      gross: { type: 'set@1', into: 'merge', config: { fields: { gross: '{{ $json.total * 1.19 }}' } } },
      big: { type: 'filter@1', config: { where: '{{ $json.total > 20 }}' } },
      where: {
        type: 'switch@1',
        config: {
          cases: [
            { port: 'eu', where: '{{ $json.region === 0 }}' },
            { port: 'us', where: '{{ $json.region === 1 }}' },
          ],
        },
      },
      slim: {
        type: 'set@1',
        config: { fields: { id: '{{ $json.id }}', total: '{{ $json.gross }}', name: '{{ $json.user.name }}' } },
      },
      out: { type: 'bench.sink@1' },
    },
    edges: [
      'orders -> gross',
      'gross -> big',
      'big -> where',
      'where.eu -> slim',
      'where.us -> slim',
      'where.otherwise -> slim',
      'slim -> out',
    ],
  })
}

const host: Host = {
  clock: systemClock,
  random: Math.random,
  id: () => 'bench',
  env: {},
  vars: () => ({}),
  log: { write: () => undefined },
  deadLetter: async () => {
    throw new Error('nothing may fail in a bench')
  },
}

/** Compiles the five-node workflow of the bench. */
export function benchPipeline(name: string, count: number, shape: number | 'ready', telemetry = 'off'): Pipeline {
  const planned = planText(documentOf(name, count, shape, telemetry), types, { id: name, version: '1' })
  return compile(planned, types, host)
}

async function runOurs(pipeline: Pipeline): Promise<void> {
  const outcome = await pipeline.start('orders').done
  if (outcome.state !== 'done') throw new Error(`the bench ended as ${outcome.state}: ${outcome.failure?.message}`)
}

interface Order {
  id: number
  total: number
  user: { name: string }
  region: number
  gross?: number
}

function asOrder(order: Record<string, unknown>): Order {
  // The hand-written peers trust their input, as hand-written code does.
  return order as object as Order
}

/** The same work as a person would write it for speed: one loop over batches, no engine. */
function handLoop(count: number, shape: number | 'ready'): void {
  for (let next = 0; next < count; ) {
    const batch: Order[] = []
    for (let i = 0; i < batchMessages; i++) batch.push(asOrder(orderOf(next++, shape)))
    const out: { id: number; total: number; name: string }[] = []
    for (const order of batch) {
      order.gross = order.total * 1.19
      if (!(order.total > 20)) continue
      if (order.region === 0) out.push({ id: order.id, total: order.gross, name: order.user.name })
      else if (order.region === 1) out.push({ id: order.id, total: order.gross, name: order.user.name })
      else out.push({ id: order.id, total: order.gross, name: order.user.name })
    }
    for (const each of out) sums.peer += each.total
  }
}

/** The same work as hand-written RxJS, a message at a time. */
function handRx(count: number, shape: number | 'ready'): void {
  const input = new Subject<Order>()
  const gross = input.pipe(
    map((order) => ({ ...order, gross: order.total * 1.19 })),
    keep((order) => order.total > 20),
  )
  const ports = regions.map((_, region) => gross.pipe(keep((order) => order.region === region)))
  for (const port of ports)
    port.pipe(map((order) => ({ id: order.id, total: order.gross, name: order.user.name }))).subscribe((each) => {
      sums.peer += each.total
    })
  for (let next = 0; next < count; next++) input.next(asOrder(orderOf(next, shape)))
  input.complete()
}

/** The engine's figures: against a hand-written loop, against RxJS per message, with 12 shapes, and the start of an execution. */
export async function benchEngine(): Promise<readonly BenchRow[]> {
  const count = 500_000
  const rows: BenchRow[] = []
  const made = benchPipeline('five-nodes', count, 0)
  const ready = benchPipeline('five-nodes-ready', count, 'ready')
  rows.push(
    await compare({
      figure: '5-node pipeline, batches of 500',
      ours: () => runOurs(made),
      peer: async () => handLoop(count, 0),
      peerName: 'hand-written loop over the same batches; both make the orders',
      per: count,
      unit: 'ns/message',
      goal: 1.5,
    }),
    await compare({
      figure: '5-node pipeline, batches of 500, orders made beforehand',
      ours: () => runOurs(ready),
      peer: async () => handRx(count, 'ready'),
      peerName: 'hand-written RxJS, a message at a time',
      per: count,
      unit: 'ns/message',
      goal: 0.2,
    }),
  )
  rows.push(await benchShapes(count))
  rows.push(...(await benchStart()))
  return rows
}

/** The first of 12 workflows with 12 message shapes, after the others ran, against itself before they ran. */
async function benchShapes(count: number): Promise<BenchRow> {
  const first = benchPipeline('shape-0', count, 0)
  const others = Array.from({ length: 11 }, (_, index) => benchPipeline(`shape-${index + 1}`, count / 5, index + 1))
  const alone: number[] = []
  for (let round = 0; round < 8; round++) alone.push(await timed(() => runOurs(first)))
  for (let round = 0; round < 3; round++) for (const each of others) await runOurs(each)
  const after: number[] = []
  for (let round = 0; round < 8; round++) after.push(await timed(() => runOurs(first)))
  const middle = (list: number[]): number => list.slice(3).sort((a, b) => a - b)[2] ?? 0
  const ratios = after.slice(3).map((each, index) => each / (alone[index + 3] ?? 1))
  const ratio = middle(after) / middle(alone)
  return {
    figure: 'first of 12 workflows with 12 shapes, after the others ran, against alone',
    ours: (middle(after) * 1e6) / count,
    peer: (middle(alone) * 1e6) / count,
    peerName: 'itself before the others ran',
    ratio,
    goal: 1.5,
    holds: ratio <= 1.5,
    unit: 'ns/message',
    runs: { count: 5, ratioMin: Math.min(...ratios), ratioMax: Math.max(...ratios) },
  }
}

const startDocument = JSON.stringify({
  millrace: 1,
  name: 'start',
  settings: { telemetry: 'off' },
  nodes: {
    go: { type: 'manual@1' },
    a: { type: 'set@1', into: 'merge', config: { fields: { a: '{{ $json.n + 1 }}' } } },
    b: { type: 'filter@1', config: { where: '{{ $json.a > 0 }}' } },
    c: { type: 'set@1', config: { fields: { total: '{{ $json.a }}' } } },
    out: { type: 'bench.sink@1' },
  },
  edges: ['go -> a -> b -> c -> out'],
})

/** Starts event executions one after the other and waits for each; then opens many and leaves them idle. */
async function benchStart(): Promise<readonly BenchRow[]> {
  const planned = planText(startDocument, types)
  const pipeline = compile(planned, types, host)
  const count = 20_000
  const micros: number[] = []
  for (let round = -2; round < 7; round++) {
    const begin = performance.now()
    for (let n = 0; n < count; n++) await pipeline.start('go', [message({ n }, null, 0)]).done
    if (round >= 0) micros.push(((performance.now() - begin) * 1000) / count)
  }
  return [against('start to end of an event execution, 5 nodes', micros, 20, 'µs/execution'), await benchIdle()]
}

/** The memory of executions that have begun and wait: opened by a trigger that gives nothing yet. */
async function benchIdle(): Promise<BenchRow> {
  const count = 100_000
  const opened: unknown[] = []
  let open: (() => unknown) | null = null
  const opener = define({
    name: 'bench.opener',
    version: 1,
    summary: 'Opens executions that wait.',
    inputs: [],
    outputs: ['out'],
    config: z.strictObject({}),
    examples: [],
    face: {
      kind: 'event-trigger',
      open: async (_config, context) => {
        open = () => context.openScope()
        return { pause: () => undefined, resume: () => undefined, close: async () => undefined }
      },
    },
  })
  const withOpener = createCatalogue([...types.types, defineVersions({ 1: opener }, { latest: 1 })])
  const text = JSON.stringify({
    millrace: 1,
    name: 'idle',
    nodes: {
      go: { type: 'bench.opener@1' },
      a: { type: 'filter@1', config: { where: '{{ $json.a > 0 }}' } },
      out: { type: 'bench.sink@1' },
    },
    edges: ['go -> a -> out'],
  })
  const planned = planText(text, withOpener)
  const sizes: number[] = []
  for (let round = 0; round < 5; round++) {
    const pipeline = compile(planned, withOpener, host)
    await pipeline.open()
    const make: (() => unknown) | null = open
    if (make === null) throw new Error('the trigger did not open')
    const before = heapAfterCollection()
    for (let n = 0; n < count; n++) opened.push((make as () => unknown)())
    sizes.push((heapAfterCollection() - before) / count)
    opened.length = 0
  }
  return against('100,000 idle executions, each', sizes, 1024, 'bytes')
}

function heapAfterCollection(): number {
  const collect: unknown = Reflect.get(globalThis, 'gc')
  if (typeof collect !== 'function') throw new Error('run with --expose-gc')
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

/** Telemetry: off is the same code without it; metrics counts per batch and stage. */
export async function benchTelemetry(): Promise<readonly BenchRow[]> {
  const count = 200_000
  const bare = benchPipeline('bare', count, 0, 'off')
  const off = benchPipeline('off', count, 0, 'off')
  const metrics = benchPipeline('metrics', count, 0, 'metrics')
  const base = {
    peer: () => runOurs(bare),
    peerName: 'the pipeline whose stages hold no telemetry code',
    per: count,
    unit: 'ns/message',
    rounds: 201,
    warmups: 5,
  } as const
  return [
    await compare({ ...base, figure: 'telemetry off', ours: () => runOurs(off), goal: 1.02 }),
    await compare({ ...base, figure: 'telemetry metrics', ours: () => runOurs(metrics), goal: 1.05 }),
  ]
}
