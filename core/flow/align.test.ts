import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { catalogue } from '../../nodes.ts'
import { createCatalogue } from '../catalogue.ts'
import { compile } from '../compile/compile.ts'
import { defineVersions } from '../define.ts'
import { planText } from '../document/plan-text.ts'
import { testHost, watchReceipts } from '../testing.ts'
import type { Act, MarkLog, Seen } from './marks.fixture.ts'
import { markNodes } from './marks.fixture.ts'

const kinds = {
  set: { type: 'set@1', into: 'merge', config: { fields: { x: '{{ 1 }}' } } },
  filter: { type: 'filter@1', config: { where: '{{ true }}' } },
  split: { type: 'split@1', config: { list: '{{ [$json, $json] }}' } },
  input: { type: 'marks.async@1', config: { order: 'input', salt: 1 } },
  none: { type: 'marks.async@1', config: { order: 'none', salt: 2 } },
  key: { type: 'marks.async@1', config: { order: 'key', salt: 3 } },
  expand: { type: 'marks.expand@1', config: { salt: 4 } },
  throttle: { type: 'throttle@1', config: { count: 2, everyMs: 3 } },
  delay: { type: 'delay@1', config: { delayMs: 2 } },
  aggregate: { type: 'aggregate@1', config: { count: 3, waitMs: 4 } },
  loop: { type: 'loop@1', config: { while: '{{ ($json.round ?? 0) < 3 }}' } },
} as const

type Kind = keyof typeof kinds
/** Every kind but those whose values are lists. */
const plain: readonly Kind[] = ['set', 'filter', 'split', 'input', 'none', 'key', 'expand', 'throttle', 'delay', 'loop']

interface Graph {
  /** Nodes in order; each takes from earlier ones. -1 and -2 are the two sources. */
  readonly nodes: readonly { readonly kind: Kind; readonly from: readonly number[] }[]
  readonly acts: readonly (readonly Act[])[]
  readonly limit: number
}

interface Ran extends MarkLog {
  readonly faults: readonly string[]
  readonly outcome: string
  readonly sourcesOf: ReadonlyMap<string, ReadonlySet<number>>
  readonly lists: ReadonlySet<string>
}

const sources = ['first', 'second']

/** Runs a graph with a reader behind every node and a slow sink beside it, on virtual time. */
async function run(graph: Graph, killAfterMs: number | null = null): Promise<Ran> {
  const log: MarkLog = { seen: new Map(), marked: new Map() }
  const nodes: Record<string, unknown> = {}
  const edges: unknown[] = []
  const sourcesOf = new Map<string, Set<number>>()
  const lists = new Set<string>()
  graph.acts.forEach((acts, index) => {
    const name = sources[index] ?? ''
    nodes[name] = { type: 'marks.source@1', config: { name, acts } }
    sourcesOf.set(name, new Set([index]))
  })
  const names = graph.nodes.map((node, index) => `${node.kind}${index}`)
  graph.nodes.forEach(({ kind, from }, index) => {
    const id = names[index] ?? ''
    const froms = [...new Set(from.map((at) => names[at] ?? sources[-at - 1] ?? 'first'))]
    const shape = kinds[kind]
    // A list has no fields to merge into or to count rounds in.
    const ofLists = froms.some((each) => lists.has(each))
    nodes[id] = ofLists && (kind === 'set' || kind === 'loop') ? kinds.filter : shape
    if (ofLists || kind === 'aggregate') lists.add(id)
    sourcesOf.set(id, new Set(froms.flatMap((each) => [...(sourcesOf.get(each) ?? [])])))
    for (const each of froms) edges.push({ from: each, fromPort: portOf(each, nodes), to: id })
    if (kind === 'loop' && !ofLists) {
      nodes[`${id}-body`] = {
        type: 'set@1',
        into: 'merge',
        config: { fields: { round: '{{ ($json.round ?? 0) + 1 }}' } },
      }
      edges.push({ from: id, fromPort: 'round', to: `${id}-body` }, { from: `${id}-body`, to: id, toPort: 'back' })
    }
  })
  for (const id of [...sourcesOf.keys()]) {
    const port = portOf(id, nodes)
    nodes[`${id}-read`] = { type: 'marks.reader@1', config: { as: id } }
    nodes[`${id}-write`] = {
      type: 'marks.sink@1',
      config: { as: `${id} written`, salt: 5, waitMsMax: id.length % 2, concurrency: 1 + (id.length % 3) },
    }
    nodes[`${id}-written`] = { type: 'marks.reader@1', config: { as: `${id} written` } }
    edges.push({ from: id, fromPort: port, to: `${id}-read` }, { from: id, fromPort: port, to: `${id}-write` })
    edges.push({ from: `${id}-write`, fromPort: 'error', to: `${id}-written` })
  }
  const types = createCatalogue([
    ...catalogue.types,
    ...markNodes(log).map((definition) => defineVersions({ 1: definition }, { latest: 1 })),
  ])
  const planned = planText(
    JSON.stringify({ millrace: 1, name: 'marks', settings: { inFlightMax: graph.limit }, nodes, edges }),
    types,
  )
  const host = testHost()
  const watch = watchReceipts()
  try {
    const pipeline = compile(planned, types, host)
    const execution = pipeline.start('first')
    let outcome = 'stalled'
    void execution.done.then((done) => {
      outcome = done.state
    })
    if (killAfterMs !== null) host.clock.after(killAfterMs, () => void execution.kill('enough'))
    await host.clock.runUntil(() => outcome !== 'stalled', 60_000)
    void pipeline.release(0)
    await host.clock.runUntil(() => false, 20_000)
    const open = watch.open.size > 0 ? [`${watch.open.size} receipts are open`] : []
    return { ...log, faults: [...watch.faults, ...open], outcome, sourcesOf, lists }
  } finally {
    watch.restore()
  }
}

function portOf(id: string, nodes: Record<string, unknown>): string {
  const node = nodes[id]
  return typeof node === 'object' && node !== null && 'type' in node && node.type === 'loop@1' ? 'done' : 'out'
}

/** Everything that invariant 6 asks of a run that came to its end. */
function check(graph: Graph, ran: Ran): void {
  expect(ran.faults).toEqual([])
  expect(ran.outcome).toBe('done')
  for (const [id, reached] of ran.sourcesOf)
    for (const name of [id, `${id} written`]) {
      const seen = ran.seen.get(name) ?? []
      const acts = [...reached].map((index) => graph.acts[index] ?? [])
      const epochs = Math.max(0, ...acts.flatMap((each) => each.map((act) => ('epoch' in act ? act.epoch : 0))))
      const marks = seen.filter((each) => each.kind === 'epoch' || each.kind === 'end')
      const wanted = Array.from({ length: epochs }, (_, index) => ({ kind: 'epoch', epoch: index + 1 }))
      expect({ name, marks }).toEqual({ name, marks: [...wanted, { kind: 'end' }] })
      checkOrder(name, seen, ran.lists.has(id), reached.size === 1)
    }
  graph.acts.forEach((acts, index) => {
    const sent = acts.flatMap((act) =>
      'epoch' in act ? [`epoch ${act.epoch}`] : 'time' in act ? [`time ${act.time}`] : [],
    )
    const told = ran.marked.get(sources[index] ?? '') ?? []
    expect([...told].sort()).toEqual([...sent].sort())
    expect(told.filter((each) => each.startsWith('epoch'))).toEqual(sent.filter((each) => each.startsWith('epoch')))
  })
}

/** What was sent before an epoch's mark arrives before it, what was sent after it after it, and no time mark is overtaken. */
function checkOrder(name: string, seen: readonly Seen[], lists: boolean, oneSource: boolean): void {
  let epoch = 0
  let watermark = Number.NEGATIVE_INFINITY
  for (const each of seen) {
    if (each.kind === 'epoch') epoch = each.epoch
    if (each.kind === 'time') {
      expect(each.watermark, `${name}: time marks rise`).toBeGreaterThanOrEqual(watermark)
      watermark = each.watermark
    }
    if (each.kind !== 'message') continue
    for (const sent of each.sent) {
      expect(sent.epoch, `${name}: ${JSON.stringify(sent)} before mark ${sent.epoch}`).toBeLessThanOrEqual(epoch)
      // A list may hold what came before the mark: that is state. Nothing else may be late.
      if (!lists) expect(sent.epoch, `${name}: ${JSON.stringify(sent)} after a later mark`).toBe(epochOf(sent, epoch))
    }
    if (!lists && oneSource) expect(each.time, `${name}: older than the watermark`).toBeGreaterThan(watermark)
  }
  /** A source that has told all its epochs sends on under its last one. */
  function epochOf(sent: { readonly epoch: number; readonly from: string }, now: number): number {
    return Math.min(now, lastEpochs.get(sent.from) ?? now)
  }
}

const lastEpochs = new Map<string, number>()

const count = fc.integer({ min: 0, max: 4 })
/** Messages, time marks and epochs 1, 2, 3 … in order. */
const acts = fc.array(fc.record({ before: count, time: fc.boolean(), after: count }), { maxLength: 3 }).map((rows) => {
  let n = 0
  return rows.flatMap(({ before, time, after }, index): Act[] => {
    n += before
    const list: Act[] = [
      { messages: before },
      ...(time ? [{ time: n }] : []),
      { epoch: index + 1 },
      { messages: after },
    ]
    n += after
    return list.filter((act) => !('messages' in act) || act.messages > 0)
  })
})

const graphs: fc.Arbitrary<Graph> = fc.record({
  nodes: fc
    .array(
      fc.record({
        kind: fc.constantFrom(...plain, 'aggregate' as const),
        from: fc.array(fc.nat(20), { minLength: 1, maxLength: 3 }),
      }),
      { minLength: 1, maxLength: 6 },
    )
    .map((nodes) =>
      nodes.map((node, index) => ({ kind: node.kind, from: node.from.map((at) => (at % (index + 2)) - 2) })),
    ),
  acts: fc.tuple(acts, acts),
  limit: fc.constantFrom(1, 8, 1_000),
})

async function runAndCheck(graph: Graph): Promise<void> {
  lastEpochs.clear()
  graph.acts.forEach((each, index) => {
    lastEpochs.set(sources[index] ?? '', Math.max(0, ...each.map((act) => ('epoch' in act ? act.epoch : 0))))
  })
  check(graph, await run(graph))
}

const story: readonly Act[] = [
  { messages: 3 },
  { time: 3 },
  { epoch: 1 },
  { messages: 4 },
  { epoch: 2 },
  { time: 7 },
  { messages: 2 },
]

describe('marks', () => {
  test.each([...plain, 'aggregate'] as const)('a diamond over %s: each mark arrives once, as a fence', async (kind) => {
    await runAndCheck({
      nodes: [
        { kind, from: [-1] },
        { kind: 'none', from: [-1] },
        { kind: 'filter', from: [0, 1, -1] },
        { kind, from: [2, 0] },
      ],
      acts: [story],
      limit: 1_000,
    })
  })

  test('a merge of two sources waits for both, but not for one that has ended', async () => {
    const graph: Graph = {
      nodes: [{ kind: 'filter', from: [-1, -2] }],
      acts: [
        [{ messages: 2 }, { time: 1 }, { epoch: 1 }, { epoch: 2 }, { time: 2 }, { messages: 2 }],
        [{ messages: 1 }],
      ],
      limit: 1_000,
    }
    lastEpochs.clear()
    lastEpochs.set('second', 0)
    const ran = await run(graph)
    check(graph, ran)
    expect(ran.seen.get('filter0')?.filter((each) => each.kind === 'time')).toEqual([
      { kind: 'time', watermark: 1 },
      { kind: 'time', watermark: 2 },
    ])
  })

  test('the time of a merge is the least of its links', async () => {
    const slow: Act[] = [{ time: 10 }, { epoch: 1 }, { time: 20 }]
    const fast: Act[] = [{ time: 15 }, { epoch: 1 }, { time: 40 }, { epoch: 2 }, { time: 50 }]
    const ran = await run({ nodes: [{ kind: 'filter', from: [-1, -2] }], acts: [slow, fast], limit: 8 })
    expect(ran.seen.get('filter0')).toEqual([
      { kind: 'time', watermark: 10 },
      { kind: 'epoch', epoch: 1 },
      { kind: 'time', watermark: 20 },
      { kind: 'time', watermark: 40 },
      { kind: 'epoch', epoch: 2 },
      { kind: 'time', watermark: 50 },
      { kind: 'end' },
    ])
  })

  test('random graphs of all kinds of nodes: every mark reaches every sink once, in order, and is told to its source', async () => {
    await fc.assert(fc.asyncProperty(graphs, runAndCheck), { numRuns: 300 })
  }, 120_000)

  test('a kill at any moment leaves no receipt of a mark open', async () => {
    await fc.assert(
      fc.asyncProperty(graphs, fc.nat(30), async (graph, killAfterMs) => {
        expect((await run(graph, killAfterMs)).faults).toEqual([])
      }),
      { numRuns: 200 },
    )
  }, 120_000)
})
