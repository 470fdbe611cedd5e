import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AsyncLimits, AsyncWork } from '../define.ts'
import type { OnError } from '../document/document.ts'
import { asyncMap } from './async-map.ts'
import { endMark } from './batch.ts'
import { NodeError } from './failure.ts'
import { Feed } from './feed.fixture.ts'
import type { Key } from './message.ts'
import { withValue } from './message.ts'

const limits: AsyncLimits = { concurrency: 4, order: 'input', timeoutMs: 1_000 }

function bench(work: AsyncWork, over: Partial<AsyncLimits> = {}, onError: OnError = { kind: 'route' }) {
  const feed = new Feed(onError)
  const made = asyncMap(work, { ...limits, ...over }, feed.context)(feed.input)
  return { feed, out: feed.seen(made.out), error: feed.seen(made.error), made }
}

const retry: OnError = { kind: 'retry', attemptsMax: 5, backoffMs: 10, backoffMsMax: 40 }
const broken = (retriable: boolean): NodeError => new NodeError('test.broken', 'broken', { retriable })

describe('the order of results', () => {
  const job = fc.record({ delayMs: fc.nat(20), key: fc.constantFrom('a', 'b', null) })
  const orders = fc.constantFrom('input' as const, 'none' as const, 'key' as const, 'scope' as const)

  test('holds as promised for any delays and cuts, and no more run at once than may', async () => {
    const property = fc.asyncProperty(
      fc.array(fc.array(job, { maxLength: 6 }), { maxLength: 5 }),
      orders,
      fc.integer({ min: 1, max: 5 }),
      async (batches, order, concurrency) => {
        const jobs = batches.flat()
        const running = new Set<number>()
        const keys = new Map<Key, number>()
        const finished: number[] = []
        let runningMax = 0
        const { feed, out } = bench(
          async (each, signal) => {
            const at = each.value as number
            running.add(at)
            runningMax = Math.max(runningMax, running.size)
            keys.set(each.key, (keys.get(each.key) ?? 0) + 1)
            if (order === 'key') expect(keys.get(each.key)).toBe(1)
            await feed.sleep(jobs[at]?.delayMs ?? 0, signal)
            keys.set(each.key, (keys.get(each.key) ?? 0) - 1)
            running.delete(at)
            finished.push(at)
            return each
          },
          { order, concurrency },
        )
        let at = 0
        for (const each of batches) {
          feed.give(
            each.map(() => at++),
            { keys: each.map((one) => one.key) },
          )
        }
        await feed.run()
        const values = out.map((line) => Number(line.split(': ')[1]))
        expect(runningMax).toBeLessThanOrEqual(concurrency)
        // All of it is of one scope.
        const most = order === 'scope' ? 1 : concurrency
        if (order !== 'key') expect(runningMax).toBe(Math.min(most, jobs.length))
        expect([...values].sort((a, b) => a - b)).toEqual(jobs.map((_, index) => index))
        if (order === 'input' || order === 'scope') expect(values).toEqual(jobs.map((_, index) => index))
        if (order === 'none') expect(values).toEqual(finished)
        for (const key of ['a', 'b', null]) {
          const ofKey = values.filter((value) => jobs[value]?.key === key)
          if (order === 'key') expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b))
        }
        expect([...feed.ends].sort()).toEqual(batches.map((_, index) => `${index}`).sort())
      },
    )
    await fc.assert(property, { numRuns: 200 })
  })

  test('keys of bytes are one key when their bytes are the same', async () => {
    const { feed, out } = bench(
      async (each, signal) => {
        await feed.sleep(each.value as number, signal)
        return each
      },
      { order: 'key' },
    )
    const keys = [Uint8Array.of(1, 200), Uint8Array.of(1, 200), Uint8Array.of(1, 201)]
    feed.give([30, 10, 20], { keys })
    await feed.run()
    expect(out).toEqual(['20: 20', '30: 30', '40: 10'])
  })
})

test('a key that always has more to do does not keep the others from their turn', async () => {
  const { feed, out } = bench(
    async (each, signal) => {
      // Another one of the busy key comes before this one is done.
      if (each.key === 'busy' && (each.value as number) < 50)
        feed.give([(each.value as number) + 1], { keys: ['busy'] })
      await feed.sleep(10, signal)
      return each
    },
    { order: 'key', concurrency: 1 },
  )
  feed.give([1, 'other'], { keys: ['busy', 'other'] })
  await feed.run()
  expect(out.slice(0, 3)).toEqual(['10: 1', '20: "other"', '30: 2'])
})

describe('results', () => {
  test('none, one or many may come of a message; an input closes when all that came of it has closed', async () => {
    const feed = new Feed()
    const receipts: (() => void)[] = []
    const made = asyncMap(
      async (each) => {
        const count = each.value as number
        if (count === 1) return withValue(each, 'one')
        return count === 0 ? null : Array.from({ length: count }, (_, index) => withValue(each, index))
      },
      limits,
      feed.context,
    )(feed.input)
    const out = feed.seen(made.out, (receipt) => void receipts.push(() => receipt.settle()))
    feed.give([0])
    feed.give([1, 3])
    await feed.run()
    expect(out).toEqual(['0: "one"', '0: 0', '0: 1', '0: 2'])
    expect(feed.ends).toEqual(['0'])
    for (const settle of receipts) settle()
    expect(feed.ends).toEqual(['0', '1'])
  })

  test.each([
    ['input', 9, 9],
    ['none', 9, 9],
    ['key', 9, 9],
    // One after the other.
    ['scope', 21, 22],
  ] as const)('in order %s, a mark leaves by both ports behind them', async (order, markAt, endAt) => {
    const { feed, out, error } = bench(
      async (each, signal) => {
        await feed.sleep(each.value as number, signal)
        if (each.value === 7) throw broken(false)
        return each
      },
      { order },
    )
    feed.give([9, 7, 5], { mark: { kind: 'epoch', epoch: 1 }, keys: ['a', 'b', 'c'] })
    feed.give([1], { mark: endMark, keys: ['d'] })
    await feed.run()
    const mark = out.indexOf(`${markAt}: mark epoch`)
    expect([...out.slice(0, mark)].sort()).toHaveLength(2)
    expect(out.slice(mark)).toEqual([`${markAt}: mark epoch`, `${endAt}: 1`, `${endAt}: mark end`])
    expect(error.map((line) => line.split(': ')[1])).toEqual(['test.broken 7', 'mark epoch', 'mark end'])
    expect(feed.ends).toHaveLength(2)
  })
})

describe('errors', () => {
  test('a retry waits twice as long each time, up to the limit, and goes to the error port in the end', async () => {
    const attempts: number[] = []
    const { feed, error } = bench(
      async () => {
        attempts.push(feed.clock.now())
        throw broken(true)
      },
      {},
      retry,
    )
    feed.give(['x'])
    await feed.run()
    expect(attempts).toEqual([0, 10, 30, 70, 110, 150])
    expect(error).toEqual(['150: test.broken "x"'])
    expect(feed.ends).toEqual(['0'])
  })

  test('what no retry can help is not tried again', async () => {
    let attempts = 0
    const { feed, error } = bench(
      async () => {
        attempts += 1
        throw broken(false)
      },
      {},
      retry,
    )
    feed.give(['x'])
    await feed.run()
    expect(attempts).toBe(1)
    expect(error).toEqual(['0: test.broken "x"'])
  })

  test('drop lets a message go; stop stops the execution and fails the batch', async () => {
    const work: AsyncWork = async () => {
      throw broken(false)
    }
    const dropping = bench(work, {}, { kind: 'drop' })
    dropping.feed.give(['x'])
    await dropping.feed.run()
    expect([dropping.error, dropping.feed.ends]).toEqual([[], ['0']])
    const stopping = bench(work, {}, { kind: 'stop' })
    stopping.feed.give(['x'])
    await stopping.feed.run()
    expect([stopping.error, stopping.feed.ends]).toEqual([[], ['0 test.broken']])
    expect(stopping.feed.stops).toMatchObject([{ code: 'test.broken' }])
  })

  test('work that does not listen is left at its time limit, and its place is free', async () => {
    const signals: AbortSignal[] = []
    const { feed, out, error } = bench(
      (each, signal) => {
        signals.push(signal)
        return each.value === 'hangs' ? new Promise(() => undefined) : Promise.resolve(each)
      },
      { concurrency: 1, timeoutMs: 100 },
    )
    feed.give(['hangs', 'next'])
    await feed.run()
    expect(error).toEqual(['100: node.timeout "hangs"'])
    expect(out).toEqual(['100: "next"'])
    expect(signals.map((signal) => signal.aborted)).toEqual([true, false])
  })

  test('a kill cuts what runs, waits and backs off at once, and fails their batches without a word on the error port', async () => {
    const { feed, out, error } = bench(
      (each) => (each.value === 'hangs' ? new Promise(() => undefined) : Promise.reject(broken(true))),
      { concurrency: 2 },
      { kind: 'retry', attemptsMax: 9, backoffMs: 10_000, backoffMsMax: 10_000 },
    )
    feed.give(['hangs'])
    feed.give(['backs off'])
    feed.give(['waits'], { mark: endMark })
    feed.clock.after(50, () => feed.abort())
    await feed.run(60)
    expect(feed.ends.map((end) => end.split(' ')[1])).toEqual(Array(3).fill('execution.stopped'))
    expect([out, error]).toEqual([['50: mark end'], ['50: mark end']])
    expect(feed.clock.pendingTimers).toBe(0)
  })
})
