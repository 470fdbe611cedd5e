import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { catalogue } from '../../nodes.ts'
import { createCatalogue } from '../catalogue.ts'
import { compile } from '../compile/compile.ts'
import type { AnyDefinition, Source, TriggerContext } from '../define.ts'
import { define, defineVersions } from '../define.ts'
import { planText } from '../document/plan-text.ts'
import { wait } from '../flow/deadline.ts'
import { NodeError } from '../flow/failure.ts'
import { message } from '../flow/message.ts'
import type { Host } from '../host.ts'
import type { Outcome, Pipeline } from '../pipeline.ts'
import { testHost, watchReceipts } from '../testing.ts'

/** A stream trigger that the test plays by hand. */
class HandSource {
  context: TriggerContext | null = null
  closed: string[] = []
  again: readonly unknown[] | null = null
  tickets = 0
  paused = false
  closings = 0

  readonly definition: AnyDefinition = define({
    name: 'hand.source',
    version: 1,
    summary: 'Gives what the test gives it.',
    inputs: [],
    outputs: ['out'],
    config: z.strictObject({}),
    examples: [],
    face: {
      kind: 'stream-trigger',
      pausable: true,
      open: async (_config, context): Promise<Source> => {
        this.context = context
        return {
          pause: () => {
            this.paused = true
          },
          resume: () => undefined,
          close: async () => {
            this.closings += 1
          },
          closed: (ticket, failure) => void this.closed.push(`${ticket}${failure === null ? '' : ` ${failure.code}`}`),
          again: () => this.again?.map((value) => message(value)) ?? null,
        }
      },
    },
  })

  give(...values: readonly unknown[]): boolean {
    const { context } = this
    const size = { messages: values.length, bytes: 0 }
    if (context === null || !context.gate.take(size)) return false
    context.emit(
      0,
      values.map((value) => message(value)),
      context.streamScope,
      this.tickets++,
      size,
    )
    return true
  }
}

interface Bench {
  readonly pipeline: Pipeline
  readonly host: ReturnType<typeof testHost>
  readonly written: unknown[]
  readonly source: HandSource
  /** What the sink does: `hold` never answers, `fail` fails for good. */
  mode: 'write' | 'hold' | 'fail'
  settle(): Promise<void>
  faults(): readonly string[]
  readonly left: () => number
}

function bench(nodes: string, edges: string, settings = '', over: Partial<Host> = {}): Bench {
  const written: unknown[] = []
  const source = new HandSource()
  const state = { mode: 'write' as Bench['mode'] }
  const writer = define({
    name: 'hand.sink',
    version: 1,
    summary: 'Writes as the test says.',
    inputs: ['in'],
    outputs: [],
    config: z.strictObject({}),
    examples: [],
    face: {
      kind: 'sink',
      limits: () => ({ messagesMax: 1000, waitMsMax: 0, timeoutMs: 1_000_000, concurrency: 8 }),
      make: (_config, context) => ({
        write: async (messages, signal) => {
          if (state.mode === 'hold') await wait(context.host.clock, 900_000, [signal])
          if (state.mode === 'fail') throw new NodeError('sink.broken', 'the sink is broken', { retriable: true })
          for (const each of messages) written.push(each.value)
          return []
        },
        close: async () => undefined,
      }),
    },
  })
  const types = createCatalogue([
    ...catalogue.types,
    defineVersions({ 1: source.definition }, { latest: 1 }),
    defineVersions({ 1: writer }, { latest: 1 }),
  ])
  const planned = planText(
    `millrace: 1\nname: t\nsettings: { ${settings} }\nnodes:\n${nodes}\nedges: [${edges}]\n`,
    types,
  )
  const host = testHost(over)
  const watch = watchReceipts()
  const pipeline = compile(planned, types, host)
  return Object.assign(state, {
    pipeline,
    host,
    written,
    source,
    settle: async () => {
      await host.clock.runUntil(() => true)
    },
    left: () => watch.open.size,
    faults: () => {
      watch.restore()
      return [...watch.faults, ...(watch.open.size > 0 ? [`${watch.open.size} open`] : [])]
    },
  })
}

async function outcomeOf(each: Bench, done: Promise<Outcome>): Promise<Outcome> {
  let outcome: Outcome | null = null
  void done.then((value) => {
    outcome = value
  })
  await each.host.clock.runUntil(() => outcome !== null)
  if (outcome === null) throw new Error('it does not end')
  return outcome
}

const line = ['  src: { type: hand.source@1 }\n  out: { type: hand.sink@1 }', 'src -> out'] as const

describe('a stream execution', () => {
  test('stays until it is stopped, then drains: what was given arrives, then the source is closed once', async () => {
    const each = bench(...line)
    const execution = each.pipeline.start('src')
    await each.settle()
    each.source.give(1, 2)
    await each.settle()
    expect(execution.state).toBe('running')
    expect(each.source.closed).toEqual(['0'])
    each.source.give(3)
    expect(await outcomeOf(each, execution.stop(1_000))).toEqual({
      state: 'stopped',
      unsettled: 0,
      deadLetters: 0,
      failure: null,
    })
    expect(each.written).toEqual([1, 2, 3])
    expect(each.source).toMatchObject({ paused: true, closings: 1 })
    expect(each.faults()).toEqual([])
  })

  test('ends at once when it is stopped while nothing flows', async () => {
    const each = bench(...line)
    const execution = each.pipeline.start('src')
    await each.settle()
    const before = each.host.clock.now()
    expect(await outcomeOf(each, execution.stop(30_000))).toMatchObject({ state: 'stopped', unsettled: 0 })
    expect(each.host.clock.now()).toBe(before)
    expect(each.faults()).toEqual([])
  })

  test('is cut when it does not drain in time, and says what was left', async () => {
    const each = bench(...line)
    const execution = each.pipeline.start('src')
    await each.settle()
    each.mode = 'hold'
    each.source.give(1)
    const outcome = await outcomeOf(each, execution.stop(500))
    expect(outcome).toMatchObject({ state: 'stopped' })
    expect(outcome.unsettled).toBeGreaterThan(0)
    await each.host.clock.runUntil(() => each.left() === 0)
    expect(each.faults()).toEqual([])
  })

  test('ends by itself when its source has no more and all has arrived', async () => {
    const each = bench(...line)
    const execution = each.pipeline.start('src')
    await each.settle()
    each.source.give(1)
    each.source.context?.complete()
    expect(await outcomeOf(each, execution.done)).toEqual({
      state: 'done',
      unsettled: 0,
      deadLetters: 0,
      failure: null,
    })
    expect(each.faults()).toEqual([])
  })

  test('one message that fails does not end it: it goes to the dead-letter with its cause, its node and its value', async () => {
    const each = bench(
      '  src: { type: hand.source@1 }\n  a: { type: filter@1, config: { where: "{{ $json.user.active }}" } }\n  out: { type: hand.sink@1 }',
      'src -> a, a -> out',
    )
    const execution = each.pipeline.start('src')
    await each.settle()
    each.source.give({ n: 1 }, { user: { active: true } })
    await each.settle()
    expect(execution.state).toBe('running')
    expect(each.written).toEqual([{ user: { active: true } }])
    expect(each.host.deadLetters).toMatchObject([
      {
        value: { n: 1 },
        execution: execution.id,
        failure: { node: 'a', message: expect.stringContaining('$json.user is undefined') },
      },
    ])
    expect(each.source.closed).toEqual(['0'])
    expect(await outcomeOf(each, execution.stop(10))).toMatchObject({ state: 'stopped', deadLetters: 1 })
    expect(each.faults()).toEqual([])
  })

  test('onError: stop fails it, and nothing more is taken', async () => {
    const each = bench(
      '  src: { type: hand.source@1 }\n  a: { type: filter@1, onError: stop, config: { where: "{{ $json.user.active }}" } }\n  out: { type: hand.sink@1 }',
      'src -> a, a -> out',
    )
    const execution = each.pipeline.start('src')
    await each.settle()
    each.source.give({ n: 1 })
    expect(await outcomeOf(each, execution.done)).toMatchObject({ state: 'failed', failure: { node: 'a' } })
    expect(each.source.closings).toBe(1)
    expect(each.source.give(2)).toBe(true)
    await each.settle()
    expect(each.written).toEqual([])
    expect(each.faults()).toEqual([])
  })

  test('a dead-letter that cannot be written makes the source send the batch again, a bounded number of times', async () => {
    let refusals = 2
    const letters: unknown[] = []
    const deadLetter: Host['deadLetter'] = async (each) => {
      if (refusals-- > 0) throw new Error('disk full')
      letters.push(...each.map((letter) => letter.value))
    }
    const each = bench(line[0], line[1], 'redeliveriesMax: 3', { deadLetter })
    const execution = each.pipeline.start('src')
    await each.settle()
    each.mode = 'fail'
    each.source.again = ['x']
    each.source.give('x')
    await each.host.clock.runUntil(() => letters.length > 0)
    expect(letters).toEqual(['x'])
    expect(execution.state).toBe('running')
    await each.settle()
    expect(each.source.closed).toEqual(['0'])
    expect(await outcomeOf(each, execution.stop(10))).toMatchObject({ state: 'stopped', deadLetters: 1 })
    expect(each.faults()).toEqual([])
  })

  test('where not even the dead-letter of single messages can be written, it fails: nothing is lost in silence', async () => {
    const deadLetter: Host['deadLetter'] = async () => {
      throw new Error('disk full')
    }
    const each = bench(line[0], line[1], 'redeliveriesMax: 1', { deadLetter })
    const execution = each.pipeline.start('src')
    await each.settle()
    each.mode = 'fail'
    each.source.again = ['x']
    each.source.give('x')
    expect(await outcomeOf(each, execution.done)).toMatchObject({ state: 'failed' })
    expect(each.source.closed).toEqual([])
    each.faults()
  })

  test('at most once: a batch is committed when it is given, whatever becomes of it', async () => {
    const each = bench(line[0], line[1], 'delivery: at-most-once')
    const execution = each.pipeline.start('src')
    await each.settle()
    each.mode = 'hold'
    each.source.give(1)
    expect(each.source.closed).toEqual(['0'])
    await outcomeOf(each, execution.kill('test'))
    await each.host.clock.runUntil(() => each.left() === 0)
    expect(each.source.closed).toEqual(['0'])
    expect(each.faults()).toEqual([])
  })

  test('credits: the gate shuts at the limit, and opens when a slow sink has written half', async () => {
    const each = bench(line[0], line[1], 'inFlightMax: 4')
    const execution = each.pipeline.start('src')
    await each.settle()
    each.mode = 'hold'
    expect([1, 2, 3, 4, 5].map((n) => each.source.give(n))).toEqual([true, true, true, true, false])
    expect(each.pipeline.metrics()).toMatchObject({ inFlight: 4, inFlightMax: 4 })
    await outcomeOf(each, execution.kill('test'))
    await each.host.clock.runUntil(() => each.left() === 0)
    expect(each.source.context?.gate.inFlight.messages).toBe(0)
    expect(each.faults()).toEqual([])
  })

  test('two triggers share one execution; it ends when both have no more', async () => {
    const each = bench(
      '  src: { type: hand.source@1 }\n  gen: { type: generate@1, config: { count: 2 } }\n  pairs: { type: aggregate@1, config: { count: 10 } }\n  out: { type: hand.sink@1 }',
      'src -> pairs, gen -> pairs, pairs -> out',
    )
    const execution = each.pipeline.start('src')
    expect(each.pipeline.start('gen')).toBe(execution)
    await each.host.clock.runUntil(() => (each.pipeline.metrics()?.nodes.pairs?.in ?? 0) === 2)
    expect(execution.state).toBe('running')
    each.source.give('mine')
    each.source.context?.complete()
    expect(await outcomeOf(each, execution.done)).toMatchObject({ state: 'done' })
    expect(each.written).toEqual([expect.arrayContaining([{ n: 0 }, { n: 1 }, 'mine'])])
    expect(each.faults()).toEqual([])
  })
})

describe('event executions', () => {
  const nodes =
    '  go: { type: manual@1 }\n  later: { type: delay@1, config: { delayMs: "{{ $json.ms }}" } }\n  list: { type: aggregate@1, config: { count: 100 } }\n  out: { type: hand.sink@1 }'
  const edges = 'go -> later, later -> list, list -> out'

  test('many share one pipeline, each with a state, an id and an end of its own', async () => {
    const each = bench(nodes, edges)
    const runs = [30, 10, 20].map((ms) => each.pipeline.start('go', [message({ ms }), message({ ms: ms + 1 })]))
    expect(new Set(runs.map((run) => run.id)).size).toBe(3)
    expect(each.pipeline.executions.size).toBe(3)
    for (const run of runs) expect(await outcomeOf(each, run.done)).toMatchObject({ state: 'done' })
    expect(each.written).toEqual([
      [{ ms: 10 }, { ms: 11 }],
      [{ ms: 20 }, { ms: 21 }],
      [{ ms: 30 }, { ms: 31 }],
    ])
    expect(each.pipeline.executions.size).toBe(0)
    expect(each.faults()).toEqual([])
  })

  test('a kill cuts one and leaves the others', async () => {
    const each = bench(nodes, edges)
    const [first, second] = [1_000, 50].map((ms) => each.pipeline.start('go', [message({ ms })]))
    expect(await outcomeOf(each, first?.kill('enough') ?? Promise.reject())).toMatchObject({
      state: 'stopped',
      failure: { message: 'enough' },
    })
    expect(await outcomeOf(each, second?.done ?? Promise.reject())).toMatchObject({ state: 'done' })
    expect(each.written).toEqual([[{ ms: 50 }]])
    await each.host.clock.runUntil(() => each.left() === 0)
    expect(each.faults()).toEqual([])
  })

  test('executionMsMax ends one that takes too long, as failed', async () => {
    const each = bench(nodes, edges, 'executionMsMax: 100')
    const run = each.pipeline.start('go', [message({ ms: 5_000 })])
    expect(await outcomeOf(each, run.done)).toMatchObject({ state: 'failed', failure: { code: 'execution.timeout' } })
    await each.host.clock.runUntil(() => each.left() === 0)
    expect(each.faults()).toEqual([])
  })

  test('a release drains what runs and refuses what would start', async () => {
    const each = bench(nodes, edges)
    const run = each.pipeline.start('go', [message({ ms: 100 })])
    let released = false
    void each.pipeline.release(1_000).then(() => {
      released = true
    })
    expect(await outcomeOf(each, run.done)).toMatchObject({ state: 'done' })
    await each.host.clock.runUntil(() => released)
    expect(() => each.pipeline.start('go')).toThrow(/stopped/)
    expect(each.faults()).toEqual([])
  })
})

describe('telemetry', () => {
  const nodes =
    '  go: { type: manual@1 }\n  big: { type: filter@1, config: { where: "{{ $json > 1 }}" } }\n  out: { type: hand.sink@1 }'

  test('metrics counts per node', async () => {
    const each = bench(nodes, 'go -> big, big -> out')
    await outcomeOf(
      each,
      each.pipeline.start(
        'go',
        [1, 2, 3].map((n) => message(n)),
      ).done,
    )
    expect(each.pipeline.metrics()?.nodes).toMatchObject({
      go: { out: 3 },
      big: { in: 3, out: 2, errors: 0 },
      out: { in: 2 },
    })
    each.faults()
  })

  test('off leaves no trace in the generated code', async () => {
    const on = bench(nodes, 'go -> big, big -> out')
    const off = bench(nodes, 'go -> big, big -> out', 'telemetry: off')
    const stage = on.pipeline.plan.stages.findIndex((each) => each.kind === 'loop')
    expect(on.pipeline.sourceOf(stage)).toContain('counts')
    expect(off.pipeline.sourceOf(stage)).not.toMatch(/count|c0/)
    await outcomeOf(off, off.pipeline.start('go', [message(5)]).done)
    expect(off.pipeline.metrics()).toBeNull()
    on.faults()
    off.faults()
  })

  test('trace gives a span of the first batch of a stage and of every 64th after it', async () => {
    const spans: unknown[] = []
    const each = bench(
      '  src: { type: hand.source@1 }\n  big: { type: filter@1, config: { where: "{{ $json > 1 }}" } }\n  out: { type: hand.sink@1 }',
      'src -> big, big -> out',
      'telemetry: trace',
      { span: (span) => void spans.push(span) },
    )
    const execution = each.pipeline.start('src')
    await each.settle()
    for (let batch = 0; batch < 65; batch++) each.source.give(1, 2)
    expect(spans).toMatchObject([
      { workflow: 't', execution: execution.id, nodes: ['big'], messagesIn: 2, messagesOut: 1 },
      { nodes: ['big'], messagesIn: 2 },
    ])
    await outcomeOf(each, execution.stop(10))
    expect(each.faults()).toEqual([])
  })

  test('a tap sees what leaves a port inside a loop, and what was changed in place is shown as it was', async () => {
    const each = bench(
      '  gen: { type: generate@1, config: { count: 2 } }\n  a: { type: set@1, into: merge, config: { fields: { n: "{{ $json.n + 10 }}" } } }\n  b: { type: set@1, into: merge, config: { fields: { n: "{{ $json.n * 2 }}" } } }\n  out: { type: hand.sink@1 }',
      'gen -> a, a -> b, b -> out',
    )
    const seen: unknown[] = []
    const detach = each.pipeline.tap('a', 'out', (messages) => void seen.push(...messages.map((one) => one.value)))
    const execution = each.pipeline.start('gen')
    expect(await outcomeOf(each, execution.done)).toMatchObject({ state: 'done' })
    expect(seen).toEqual([{ n: 10 }, { n: 11 }])
    expect(each.written).toEqual([{ n: 20 }, { n: 22 }])
    detach()
    expect(each.faults()).toEqual([])
  })
})
