import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { catalogue } from '../../nodes.ts'
import type { Catalogue } from '../catalogue.ts'
import { createCatalogue } from '../catalogue.ts'
import { compile } from '../compile/compile.ts'
import type { NodeContext, SeekTarget, SourceLetter } from '../define.ts'
import { define, defineVersions } from '../define.ts'
import type { Plan } from '../document/plan.ts'
import { planText } from '../document/plan-text.ts'
import { wait } from '../flow/deadline.ts'
import { failureOf, NodeError } from '../flow/failure.ts'
import { message } from '../flow/message.ts'
import { createPump } from '../flow/pump.ts'
import type { Pipeline } from '../pipeline.ts'
import type { TestHost } from '../testing.ts'
import { testHost, watchReceipts } from '../testing.ts'

/** A source of numbers and a sink that takes its time, played by hand. */
class World {
  opened = 0
  closed = 0
  sharedClosed = 0
  next = 0
  readonly doneUpTo = new Set<number>()
  readonly written: { readonly n: number; readonly by: string }[] = []
  readonly letters: SourceLetter[] = []
  readonly seeks: SeekTarget[] = []
  writeMs = 0
  openMs = 0
  broken = false
  readonly host: TestHost = testHost()
  readonly types: Catalogue = this.#types()

  plan(label: string, settings = '', count = 100, source = '{}'): Plan {
    const planned = planText(
      `millrace: 1\nname: t\nsettings: { ${settings} }\nnodes:\n  src: { type: numbers@1, config: ${source} }\n  a: { type: set@1, config: { fields: { n: "{{ $json }}", by: ${label} } } }\n  out: { type: slow@1, config: {} }\nedges: [src -> a, a -> out]\n`,
      this.types,
      { version: label },
    )
    this.count = count
    return planned
  }

  count = 100

  #types(): Catalogue {
    const numbers = define({
      name: 'numbers',
      version: 1,
      summary: 'Gives the numbers from 0.',
      inputs: [],
      outputs: ['out'],
      config: z.strictObject({ other: z.boolean().default(false) }),
      examples: [],
      face: {
        kind: 'stream-trigger',
        pausable: true,
        open: async (_config, context) => {
          if (this.openMs > 0) await wait(context.host.clock, this.openMs, [])
          this.opened += 1
          this.#useClient(context)
          const open = new Map<number, readonly number[]>()
          let tickets = 0
          let due = true
          const pump = createPump(
            context.host.clock,
            context.gate,
            () => {
              if (this.next >= this.count || !due) return 'idle'
              const size = { messages: Math.min(3, this.count - this.next), bytes: 0 }
              if (!context.gate.take(size)) return 'full'
              const values = Array.from({ length: size.messages }, () => this.next++)
              open.set(tickets, values)
              due = false
              context.host.clock.after(1, () => {
                due = true
                pump.wake()
              })
              context.emit(
                0,
                values.map((value) => message(value)),
                context.streamScope,
                tickets++,
                size,
              )
              return 'emitted'
            },
            context.complete,
            (thrown) => context.fail(failureOf(thrown, context.node)),
          )
          pump.wake()
          return {
            pause: pump.pause,
            resume: pump.resume,
            close: async () => {
              this.closed += 1
              pump.close()
            },
            closed: (ticket, failure) => {
              if (failure === null) for (const value of open.get(ticket) ?? []) this.doneUpTo.add(value)
              open.delete(ticket)
            },
            again: (ticket) => open.get(ticket)?.map((value) => message(value)) ?? null,
            deadLetter: async (letters) => void this.letters.push(...letters),
            seek: async (to) => {
              this.seeks.push(to)
              return []
            },
            positions: () => [
              {
                partition: 'numbers/0',
                next: this.next,
                committed: null,
                end: this.count,
                lag: this.count - this.doneUpTo.size,
                inFlight: open.size,
                oldestMs: 0,
              },
            ],
          }
        },
      },
    })
    const slow = define({
      name: 'slow',
      version: 1,
      summary: 'Writes slowly.',
      inputs: ['in'],
      outputs: [],
      config: z.strictObject({}),
      examples: [],
      face: {
        kind: 'sink',
        limits: () => ({ messagesMax: 2, waitMsMax: 0, timeoutMs: 1_000_000, concurrency: 1 }),
        make: (_config, context) => {
          this.#useClient(context)
          return {
            write: async (messages, signal) => {
              if (this.writeMs > 0) await wait(context.host.clock, this.writeMs, [signal])
              if (signal.aborted) throw new NodeError('cut', 'cut')
              if (this.broken) throw new NodeError('sink.broken', 'the sink is broken')
              for (const each of messages) this.written.push(each.value as { n: number; by: string })
              return []
            },
            close: async () => undefined,
          }
        },
      },
    })
    return createCatalogue([
      ...catalogue.types,
      defineVersions({ 1: numbers }, { latest: 1 }),
      defineVersions({ 1: slow }, { latest: 1 }),
    ])
  }

  #useClient(context: NodeContext): void {
    context.shared(
      'client',
      () => 'client',
      () => void (this.sharedClosed += 1),
    )
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

  async replace(before: Pipeline, next: Plan): Promise<Pipeline> {
    const pipeline = compile(next, this.types, this.host, { before })
    await this.until(pipeline.open(before))
    await this.until(before.release())
    return pipeline
  }
}

const numbersOf = (world: World): readonly number[] => world.written.map((each) => each.n)
const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => n)

describe('a new version that takes over', () => {
  test('at any moment and any speed of the sink: every number once, in order, from one open source', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(60), fc.nat(60), fc.nat(7), async (first, second, writeMs) => {
        const world = new World()
        world.writeMs = writeMs
        const receipts = watchReceipts()
        try {
          const v1 = compile(world.plan('one'), world.types, world.host)
          await world.until(v1.open())
          await world.host.clock.runUntil(() => world.next >= first)
          const v2 = await world.replace(v1, world.plan('two'))
          await world.host.clock.runUntil(() => world.next >= Math.min(100, world.next + second))
          const v3 = await world.replace(v2, world.plan('three'))
          await world.host.clock.runUntil(() => world.doneUpTo.size === 100)
          expect(numbersOf(world)).toEqual(upTo(100))
          expect([world.opened, world.closed, world.sharedClosed]).toEqual([1, 0, 0])
          await world.until(v3.release())
          expect([world.opened, world.closed, world.sharedClosed]).toEqual([1, 1, 1])
          expect([...receipts.faults, receipts.open.size]).toEqual([0])
        } finally {
          receipts.restore()
        }
      }),
      { numRuns: 60 },
    )
  })

  test('what the old one cannot deliver in time is delivered by the new one', async () => {
    const world = new World()
    world.writeMs = 100_000
    const v1 = compile(world.plan('one', 'stopMsMax: 500'), world.types, world.host)
    await world.until(v1.open())
    await world.host.clock.runUntil(() => world.next >= 12)
    const taken = world.next
    const before = world.host.clock.now()
    const swap = world.replace(v1, world.plan('two', 'stopMsMax: 500'))
    world.writeMs = 0
    await world.until(swap)
    expect(world.host.clock.now() - before).toBeLessThanOrEqual(1_000)
    await world.host.clock.runUntil(() => world.doneUpTo.size === 100)
    expect(taken).toBeGreaterThan(0)
    expect(new Set(numbersOf(world))).toEqual(new Set(upTo(100)))
    expect(world.written.filter((each) => each.by === 'two').map((each) => each.n)).toEqual(upTo(100))
    expect(world.opened).toBe(1)
  })

  test('a trigger with another config is closed and opened anew; a pause by hand outlasts the change of one that stays', async () => {
    const world = new World()
    const v1 = compile(world.plan('one'), world.types, world.host)
    await world.until(v1.open())
    const v2 = await world.replace(v1, world.plan('two', '', 100, '{ other: true }'))
    expect([world.opened, world.closed]).toEqual([2, 1])
    await v2.control({ do: 'pause', node: 'src' })
    const v3 = await world.replace(v2, world.plan('three', '', 100, '{ other: true }'))
    const paused = world.next
    await world.host.clock.runUntil(() => false, 1_000)
    expect(world.next).toBe(paused)
    expect(v3.sources()).toMatchObject([{ node: 'src', state: 'paused' }])
    await v3.control({ do: 'resume', node: null })
    await world.host.clock.runUntil(() => world.doneUpTo.size === 100)
    expect(world.doneUpTo.size).toBe(100)
  })
})

describe('a stream trigger that runs', () => {
  test('tells where it stands, is moved, and says what it is called when somebody mistakes its name', async () => {
    const world = new World()
    const pipeline = compile(world.plan('one'), world.types, world.host)
    await expect(pipeline.control({ do: 'pause', node: null })).rejects.toThrow(/no stream execution of t is running/)
    await world.until(pipeline.open())
    await world.host.clock.runUntil(() => world.doneUpTo.size === 100)
    const [report] = await pipeline.control({ do: 'seek', node: 'src', to: { kind: 'offset', offset: 7 } })
    expect(world.seeks).toEqual([{ kind: 'offset', offset: 7 }])
    expect(report).toMatchObject({ node: 'src', state: 'open', inFlight: 0, partitions: [{ next: 100, lag: 0 }] })
    await expect(pipeline.control({ do: 'pause', node: 'source' })).rejects.toThrow(/"source"; the workflow has src/)
  })

  test('rests from the beginning when it is paused while it opens', async () => {
    const world = new World()
    world.openMs = 100
    const pipeline = compile(world.plan('one'), world.types, world.host)
    await world.until(pipeline.open())
    await pipeline.control({ do: 'pause', node: 'src' })
    await world.host.clock.runUntil(() => false, 1_000)
    expect([world.opened, world.next]).toEqual([1, 0])
    expect(pipeline.sources()).toMatchObject([{ state: 'paused' }])
    await pipeline.control({ do: 'resume', node: 'src' })
    await world.host.clock.runUntil(() => world.doneUpTo.size === 100)
    expect(world.doneUpTo.size).toBe(100)
  })

  test('gets back the messages that no error port took, as they failed', async () => {
    const world = new World()
    world.broken = true
    const pipeline = compile(world.plan('one', '', 4), world.types, world.host)
    await world.until(pipeline.open())
    await world.host.clock.runUntil(() => world.doneUpTo.size === 4)
    expect(world.letters.map((each) => [each.message.value, each.failure.code])).toEqual(
      [0, 1, 2, 3].map((n) => [{ n, by: 'one' }, 'sink.broken']),
    )
    expect(world.host.deadLetters).toEqual([])
  })
})
