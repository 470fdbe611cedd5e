import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SinkLimits, SinkWriter, WriteFailure } from '../define.ts'
import type { OnError } from '../document/document.ts'
import { endMark } from './batch.ts'
import { failureOf, NodeError } from './failure.ts'
import { Feed } from './feed.fixture.ts'
import type { Message } from './message.ts'
import { sink } from './sink.ts'

const limits: SinkLimits = { messagesMax: 4, waitMsMax: 0, timeoutMs: 1_000, concurrency: 1 }
const broken = (retriable: boolean): NodeError => new NodeError('test.broken', 'broken', { retriable })

type Write = (messages: readonly Message[], signal: AbortSignal) => Promise<readonly WriteFailure[]>

/** A sink whose writes are noted as `time: values`. */
function bench(over: Partial<SinkLimits> = {}, onError: OnError = { kind: 'route' }, write: Write = async () => []) {
  const feed = new Feed(onError)
  const writes: string[] = []
  const writer: SinkWriter = {
    write: (messages, signal) => {
      writes.push(`${feed.clock.now()}: ${messages.map((each) => each.value).join(' ')}`)
      return write(messages, signal)
    },
    close: async () => undefined,
  }
  const error = feed.seen(sink(writer, { ...limits, ...over }, feed.context)(feed.input))
  return { feed, writes, error }
}

describe('collecting', () => {
  test('no write is larger than it may be, and none waits for company where none is asked for', async () => {
    const { feed, writes } = bench()
    feed.give([1, 2, 3, 4, 5, 6])
    feed.give([7])
    await feed.run()
    expect(writes).toEqual(['0: 1 2 3 4', '0: 5 6 7'])
    expect(feed.ends).toEqual(['0', '1'])
  })

  test('a write starts when it is full, or when its first message has waited long enough', async () => {
    const { feed, writes } = bench({ waitMsMax: 100 })
    feed.give([1])
    feed.clock.after(60, () => feed.give([2]))
    feed.clock.after(150, () => feed.give([3, 4, 5]))
    feed.clock.after(170, () => feed.give([6]))
    await feed.run()
    expect(writes).toEqual(['100: 1 2', '170: 3 4 5 6'])
  })

  test('what is left of a full write waits no longer than it may', async () => {
    const { feed, writes } = bench({ waitMsMax: 100 })
    feed.give([1, 2, 3, 4, 5])
    await feed.run()
    expect(writes).toEqual(['0: 1 2 3 4', '100: 5'])
  })

  test('a full write takes the waiting with it: who comes next waits anew', async () => {
    const { feed, writes } = bench({ waitMsMax: 100 })
    feed.give([1])
    feed.clock.after(50, () => feed.give([2, 3, 4]))
    feed.clock.after(60, () => feed.give([5]))
    await feed.run()
    expect(writes).toEqual(['50: 1 2 3 4', '160: 5'])
  })

  test('a mark flushes: it passes by the error port when all before it is written', async () => {
    const { feed, writes, error } = bench({ waitMsMax: 10_000 }, { kind: 'route' }, async (_messages, signal) => {
      await feed.sleep(30, signal)
      return []
    })
    feed.give([1, 2], { mark: endMark })
    await feed.run()
    expect(writes).toEqual(['0: 1 2'])
    expect(error).toEqual(['30: mark end'])
    expect(feed.ends).toEqual(['0'])
  })
})

test('writes keep the order of messages and their bound, for any batches, cuts and durations', async () => {
  const property = fc.asyncProperty(
    fc.array(fc.record({ count: fc.nat(9), afterMs: fc.nat(20), mark: fc.boolean() }), { maxLength: 8 }),
    fc.integer({ min: 1, max: 5 }),
    fc.constantFrom(0, 7),
    fc.integer({ min: 1, max: 3 }),
    async (batches, messagesMax, waitMsMax, concurrency) => {
      let running = 0
      let runningMax = 0
      let written = 0
      const feed: Feed = new Feed()
      const values: unknown[] = []
      const writer: SinkWriter = {
        write: async (messages, signal) => {
          running += 1
          runningMax = Math.max(runningMax, running)
          expect(messages.length).toBeLessThanOrEqual(messagesMax)
          values.push(...messages.map((each) => each.value))
          await feed.sleep((values.length * 7) % 11, signal)
          running -= 1
          written += messages.length
          return []
        },
        close: async () => undefined,
      }
      const passed: number[] = []
      const error = sink(writer, { messagesMax, waitMsMax, concurrency, timeoutMs: 1_000 }, feed.context)(feed.input)
      error.subscribe(({ receipt }) => {
        passed.push(written)
        receipt.settle()
      })
      const before: number[] = []
      let given = 0
      let at = 0
      for (const each of batches) {
        at += each.afterMs
        const all = Array.from({ length: each.count }, () => given++)
        if (each.mark) before.push(given)
        feed.clock.after(at, () => feed.give(all, each.mark ? { mark: { kind: 'time', watermark: at } } : {}))
      }
      await feed.run()
      expect(values).toEqual(Array.from({ length: given }, (_, index) => index))
      expect(runningMax).toBeLessThanOrEqual(concurrency)
      expect(passed).toHaveLength(before.length)
      before.forEach((count, index) => {
        expect(passed[index]).toBeGreaterThanOrEqual(count)
      })
      expect([...feed.ends].sort()).toEqual(batches.map((_, index) => `${index}`).sort())
    },
  )
  await fc.assert(property, { numRuns: 200 })
})

describe('failures', () => {
  const refuse =
    (retriable: boolean, ...values: unknown[]): Write =>
    async (messages) =>
      messages.flatMap((each, index) =>
        values.includes(each.value) ? [{ index, failure: failureOf(broken(retriable), 'part') }] : [],
      )

  test('a message that cannot be written goes to the error port alone; the others are settled', async () => {
    const { feed, error } = bench({}, { kind: 'route' }, refuse(false, 2, 5))
    feed.give([1, 2, 3])
    feed.give([4, 5])
    await feed.run()
    expect(error).toEqual(['0: test.broken 2', '0: test.broken 5'])
    expect(feed.ends).toEqual(['0', '1'])
  })

  test('a throw fails the whole write', async () => {
    const { feed, error } = bench({}, { kind: 'route' }, () => Promise.reject(broken(false)))
    feed.give([1, 2])
    await feed.run()
    expect(error).toEqual(['0: test.broken 1', '0: test.broken 2'])
  })

  test('only what failed is written again, with back-off, and what comes later waits for it', async () => {
    const retry: OnError = { kind: 'retry', attemptsMax: 3, backoffMs: 10, backoffMsMax: 20 }
    let refusals = 2
    const { feed, writes, error } = bench({}, retry, (messages, signal) =>
      refusals-- > 0 ? refuse(true, 2, 4)(messages, signal) : Promise.resolve([]),
    )
    feed.give([1, 2, 3, 4])
    feed.give([5])
    await feed.run()
    expect(writes).toEqual(['0: 1 2 3 4', '10: 2 4', '30: 2 4', '30: 5'])
    expect(error).toEqual([])
    expect(feed.ends).toEqual(['0', '1'])
  })

  test('a write that does not end is left at its time limit', async () => {
    const { feed, writes, error } = bench({ timeoutMs: 200 }, { kind: 'route' }, (messages) =>
      messages[0]?.value === 1 ? new Promise(() => undefined) : Promise.resolve([]),
    )
    feed.give([1, 2, 3, 4])
    feed.give([5])
    await feed.run()
    expect(writes).toEqual(['0: 1 2 3 4', '200: 5'])
    expect(error).toEqual([1, 2, 3, 4].map((value) => `200: node.timeout ${value}`))
  })

  test('every write has the whole time limit for itself', async () => {
    const { feed, error } = bench({ timeoutMs: 200 }, { kind: 'route' }, async (_messages, signal) => {
      await feed.sleep(150, signal)
      return []
    })
    for (let at = 0; at < 5; at++) feed.clock.after(at * 160, () => feed.give([at]))
    await feed.run()
    expect(error).toEqual([])
    expect(feed.ends).toEqual(['0', '1', '2', '3', '4'])
  })

  test('a kill ends a wait between two attempts, and what was not written fails', async () => {
    const retry: OnError = { kind: 'retry', attemptsMax: 3, backoffMs: 10_000, backoffMsMax: 10_000 }
    const { feed, error } = bench({}, retry, () => Promise.reject(broken(true)))
    feed.give([1])
    feed.give([2])
    feed.clock.after(50, () => feed.abort())
    await feed.run(60)
    expect(feed.ends).toEqual(['0 execution.stopped', '1 execution.stopped'])
    expect(error).toEqual([])
  })

  test('stop stops the execution and fails the batch; drop settles it', async () => {
    const stopping = bench({}, { kind: 'stop' }, refuse(false, 1))
    stopping.feed.give([1, 2])
    await stopping.feed.run()
    expect([stopping.feed.ends, stopping.error]).toEqual([['0 test.broken'], []])
    expect(stopping.feed.stops).toHaveLength(1)
    const dropping = bench({}, { kind: 'drop' }, refuse(false, 1))
    dropping.feed.give([1, 2])
    await dropping.feed.run()
    expect([dropping.feed.ends, dropping.error]).toEqual([['0'], []])
  })
})
