import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { catalogue } from '../../nodes.ts'
import { createCatalogue } from '../catalogue.ts'
import { compile } from '../compile/compile.ts'
import type { Source, TriggerContext } from '../define.ts'
import { define, defineVersions } from '../define.ts'
import type { Plan } from '../document/plan.ts'
import { planText } from '../document/plan-text.ts'
import { wait } from '../flow/deadline.ts'
import type { Failure } from '../flow/failure.ts'
import { NodeError } from '../flow/failure.ts'
import { message } from '../flow/message.ts'
import type { Scope } from '../flow/scope.ts'
import type { Pipeline } from '../pipeline.ts'
import { testHost, watchReceipts } from '../testing.ts'

/** A stream trigger that opens an execution per caller, and a sink, both played by hand. */
class World {
  context: TriggerContext | null = null
  opened = 0
  readonly ends: (Failure | null)[] = []
  readonly closed: string[] = []
  readonly written: unknown[] = []
  sink: 'write' | 'hold' | 'fail' = 'write'
  again = true
  paused = false
  readonly host = testHost()
  readonly receipts = watchReceipts()
  readonly #given = new Map<number, readonly unknown[]>()
  #tickets = 0
  readonly types = createCatalogue([
    ...catalogue.types,
    defineVersions(
      {
        1: define({
          name: 'callers',
          version: 1,
          summary: 'Opens an execution for each caller.',
          inputs: [],
          outputs: ['out', 'error'],
          config: z.strictObject({}),
          examples: [],
          face: { kind: 'stream-trigger', pausable: true, open: async (_config, context) => this.#open(context) },
        }),
      },
      { latest: 1 },
    ),
    defineVersions(
      {
        1: define({
          name: 'test.sink',
          version: 1,
          summary: 'Writes as the test says.',
          inputs: ['in'],
          outputs: [],
          config: z.strictObject({}),
          examples: [],
          face: {
            kind: 'sink',
            limits: () => ({ messagesMax: 100, waitMsMax: 0, timeoutMs: 1_000_000, concurrency: 8 }),
            make: (_config, context) => ({
              write: async (messages, signal, scopeOf) => {
                while (this.sink === 'hold' && !signal.aborted) await wait(context.host.clock, 50, [signal])
                if (this.sink === 'fail') throw new NodeError('sink.broken', 'the sink is broken')
                if (signal.aborted) throw new NodeError('sink.cut', 'cut')
                messages.forEach((each, index) => {
                  this.written.push({ by: scopeOf(index).id, ...(each.value as object) })
                })
                return []
              },
              close: async () => undefined,
            }),
          },
        }),
      },
      { latest: 1 },
    ),
  ])

  #open(context: TriggerContext): Source {
    this.opened += 1
    this.context = context
    return {
      pause: () => {
        this.paused = true
      },
      resume: () => {
        this.paused = false
      },
      close: async () => undefined,
      closed: (ticket, failure) => {
        this.closed.push(`${ticket}${failure === null ? '' : ` ${failure.code}`}`)
        this.#given.delete(ticket)
      },
      again: (ticket) => (this.again ? (this.#given.get(ticket)?.map((value) => message(value)) ?? null) : null),
    }
  }

  get door(): TriggerContext {
    if (this.context === null) throw new Error('the source is not open')
    return this.context
  }

  call(): Scope {
    return this.door.openScope({ scopeEnded: (failure) => void this.ends.push(failure) })
  }

  give(scope: Scope, ...values: readonly object[]): void {
    const size = { messages: values.length, bytes: 0 }
    if (!this.door.gate.take(size)) throw new Error('the gate is shut')
    const ticket = this.#tickets++
    this.#given.set(ticket, values)
    const messages = values.map((value) => message(value))
    this.door.emit(0, messages, scope, ticket, size)
  }

  plan(settings = '', version = 'one'): Plan {
    return planText(
      `millrace: 1\nname: t\nsettings: { ${settings} }\nnodes:\n  src: { type: callers@1 }\n  id: { type: set@1, into: merge, config: { fields: { execution: "{{ $execution.id }}" } } }\n  out: { type: test.sink@1 }\nedges: [src -> id, id -> out]\n`,
      this.types,
      { version },
    )
  }

  async start(settings = ''): Promise<Pipeline> {
    const pipeline = compile(this.plan(settings), this.types, this.host)
    await this.until(pipeline.open())
    return pipeline
  }

  async until<T>(promise: Promise<T>): Promise<T> {
    let over = false
    const done = promise.finally(() => {
      over = true
    })
    done.catch(() => undefined)
    await this.host.clock.runUntil(() => over)
    return done
  }

  settle(): Promise<boolean> {
    return this.host.clock.runUntil(() => false, 2_000)
  }

  faults(): readonly unknown[] {
    this.receipts.restore()
    return [...this.receipts.faults, this.receipts.open.size, this.door.gate.inFlight.messages]
  }
}

describe('executions that a stream trigger opens', () => {
  test('have their own scope and id, end alone, and leave the long-lived one running', async () => {
    const world = new World()
    const pipeline = await world.start()
    const [a, b] = [world.call(), world.call()]
    world.give(a, { n: 1 })
    world.give(b, { n: 2 })
    world.give(world.door.streamScope, { n: 3 })
    world.door.endScope(a)
    await world.settle()
    const ids = new Set(world.written.map((each) => (each as { execution: string }).execution))
    expect(world.written).toMatchObject([
      { n: 1, by: a.id },
      { n: 2, by: b.id },
      { n: 3, by: 1 },
    ])
    expect(ids.size).toBe(3)
    expect(world.ends).toEqual([null])
    expect([a.over, b.over, pipeline.executions.size]).toEqual([true, false, 2])
    await world.until(pipeline.release())
    expect(world.ends).toEqual([null, null])
    expect(world.closed).toEqual(['0', '1', '2'])
    expect(world.faults()).toEqual([0, 0])
  })

  test('are drained when the long-lived one is stopped, which is over after them', async () => {
    const world = new World()
    const pipeline = await world.start()
    world.sink = 'hold'
    const scope = world.call()
    world.give(scope, { n: 1 })
    const [main] = pipeline.executions.values()
    const stopping = main?.stop(1_000_000)
    await world.settle()
    expect([world.paused, world.ends.length, main?.state]).toEqual([true, 0, 'draining'])
    world.sink = 'write'
    expect(await world.until(stopping ?? Promise.reject())).toEqual({
      state: 'stopped',
      unsettled: 0,
      deadLetters: 0,
      failure: null,
    })
    expect(world.written).toHaveLength(1)
    expect(world.ends).toEqual([null])
    expect(world.faults()).toEqual([0, 0])
  })

  test('are cut with the long-lived one when they do not drain in time, and counted in what was left', async () => {
    const world = new World()
    const pipeline = await world.start()
    world.sink = 'hold'
    world.give(world.call(), { n: 1 })
    const [main] = pipeline.executions.values()
    const outcome = await world.until(main?.stop(500) ?? Promise.reject())
    // The message's receipt, that of the end mark behind it, and that of the long-lived one's end.
    expect(outcome).toMatchObject({ state: 'stopped', unsettled: 3 })
    expect(world.ends).toMatchObject([{ code: 'execution.stopped' }])
    expect(pipeline.executions.size).toBe(0)
    await world.settle()
    expect(world.faults()).toEqual([0, 0])
  })

  test('one that is killed tells its opener, and what is emitted for it afterwards goes back to the source', async () => {
    const world = new World()
    const pipeline = await world.start()
    const scope = world.call()
    const run = [...pipeline.executions.values()].find((each) => each.id === scope.owner?.executionId(scope))
    await world.until(run?.kill('enough') ?? Promise.reject())
    expect(world.ends).toMatchObject([{ code: 'execution.killed' }])
    world.give(scope, { n: 1 })
    await world.settle()
    expect(world.written).toEqual([])
    expect(world.closed).toEqual(['0 execution.stopped'])
    await world.until(pipeline.release())
    expect(world.faults()).toEqual([0, 0])
  })

  test('a batch that fails is sent again, then given to the dead-letter under its own execution', async () => {
    const world = new World()
    const pipeline = await world.start('redeliveriesMax: 2')
    let refusals = 0
    const letters: string[] = []
    Object.assign(world.host, {
      deadLetter: async (each: readonly { readonly execution: string }[]) => {
        if (refusals++ < 2) throw new Error('no room')
        letters.push(...each.map((letter) => letter.execution))
      },
    })
    world.sink = 'fail'
    const scope = world.call()
    world.give(scope, { n: 1 })
    world.door.endScope(scope)
    await world.settle()
    expect(refusals).toBe(3)
    expect(letters).toEqual([scope.owner?.executionId(scope)])
    expect(world.closed).toEqual(['0'])
    expect(world.ends).toEqual([null])
    await world.until(pipeline.release())
    expect(world.faults()).toEqual([0, 0])
  })

  test('with at-most-once they end too', async () => {
    const world = new World()
    const pipeline = await world.start('delivery: at-most-once')
    const scope = world.call()
    world.give(scope, { n: 1 })
    world.door.endScope(scope)
    await world.settle()
    expect(world.ends).toEqual([null])
    expect(world.closed).toEqual(['0'])
    await world.until(pipeline.release())
    expect(world.faults()).toEqual([0, 0])
  })

  test('a new version goes on with them: the source knows no difference, each begins anew with its next message', async () => {
    const world = new World()
    const v1 = await world.start()
    const [busy, idle, ended] = [world.call(), world.call(), world.call()]
    world.give(busy, { n: 1 })
    await world.settle()
    const v2 = compile(world.plan('', 'two'), world.types, world.host, { before: v1 })
    await world.until(v2.open(v1))
    await world.until(v1.release())
    expect([world.opened, world.ends.length, v1.executions.size, v2.executions.size]).toEqual([1, 0, 0, 1])
    world.give(busy, { n: 2 }, { n: 3 })
    world.give(busy, { n: 4 })
    world.door.endScope(ended)
    await world.settle()
    expect(v2.executions.size).toBe(2)
    expect(new Set(world.written.map((each) => (each as { execution: string }).execution)).size).toBe(2)
    const v3 = compile(world.plan('', 'three'), world.types, world.host, { before: v2 })
    await world.until(v3.open(v2))
    await world.until(v2.release())
    world.give(busy, { n: 5 })
    world.give(idle, { n: 6 })
    world.door.endScope(busy)
    await world.settle()
    expect(world.written.map((each) => (each as { n: number }).n)).toEqual([1, 2, 3, 4, 5, 6])
    expect(world.ends).toEqual([null, null])
    await world.until(v3.release())
    expect(world.ends).toEqual([null, null, null])
    expect(world.faults()).toEqual([0, 0])
  })

  test('what an old version could not deliver in time goes to the new one, under a new execution', async () => {
    const world = new World()
    const v1 = await world.start('stopMsMax: 500')
    world.sink = 'hold'
    const scope = world.call()
    world.give(scope, { n: 1 })
    await world.host.clock.runUntil(() => false, 10)
    const v2 = compile(world.plan('stopMsMax: 500', 'two'), world.types, world.host, { before: v1 })
    world.host.clock.after(600, () => {
      world.sink = 'write'
    })
    await world.until(v2.open(v1))
    expect(world.written).toEqual([])
    await world.until(v1.release())
    await world.settle()
    expect(world.written).toMatchObject([{ n: 1 }])
    expect(world.ends).toEqual([])
    world.door.endScope(scope)
    await world.settle()
    expect(world.ends).toEqual([null])
    await world.until(v2.release())
    expect(world.faults()).toEqual([0, 0])
  })
})
