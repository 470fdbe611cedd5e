import { describe, expect, test } from 'vitest'
import type { ExpandLimits, ExpandWork } from '../define.ts'
import type { OnError } from '../document/document.ts'
import { endMark } from './batch.ts'
import { expand } from './expand.ts'
import { failureOf, NodeError } from './failure.ts'
import { Feed } from './feed.fixture.ts'
import type { Message } from './message.ts'
import { withValue } from './message.ts'
import type { Receipt } from './receipt.ts'

const limits: ExpandLimits = { concurrency: 2, timeoutMs: 1_000, inFlightMax: 4 }
const broken = new NodeError('test.broken', 'broken', { retriable: true })

/** An expansion whose iterators are counted: how often they were asked, and how they ended. */
class Iterators {
  readonly asked: string[] = []
  readonly returned: string[] = []
  open = 0
  openMax = 0
  readonly #next: (each: Message, at: number, signal: AbortSignal) => Promise<unknown>

  /** `next` answers the value at an index, or undefined at the end. */
  constructor(next: (each: Message, at: number, signal: AbortSignal) => Promise<unknown>) {
    this.#next = next
  }

  readonly work: ExpandWork = (each, signal) => {
    let at = 0
    this.open += 1
    this.openMax = Math.max(this.openMax, this.open)
    return {
      [Symbol.asyncIterator]: () => ({
        next: async () => {
          this.asked.push(`${String(each.value)}${at}`)
          const value = await this.#next(each, at++, signal)
          if (value !== undefined) return { done: false, value: withValue(each, value) }
          this.open -= 1
          return { done: true, value: undefined }
        },
        return: async () => {
          this.open -= 1
          this.returned.push(String(each.value))
          return { done: true, value: undefined }
        },
      }),
    }
  }
}

function bench(iterators: Iterators, over: Partial<ExpandLimits> = {}, onError: OnError = { kind: 'route' }) {
  const feed = new Feed(onError)
  const receipts: Receipt[] = []
  const made = expand(iterators.work, { ...limits, ...over }, feed.context)(feed.input)
  const keep = (receipt: Receipt): void => void receipts.push(receipt)
  return { feed, receipts, out: feed.seen(made.out, keep), error: feed.seen(made.error) }
}

const upTo =
  (count: number) =>
  async (each: Message, at: number): Promise<unknown> =>
    at < count ? `${String(each.value)}${at}` : undefined

describe('the child gate', () => {
  test('a slow reader suspends the iterator: it is not asked while so many are in flight, and again from half of it', async () => {
    const iterators = new Iterators(upTo(10))
    const { feed, receipts, out } = bench(iterators)
    feed.give(['a'])
    await feed.run(10)
    expect(out).toHaveLength(4)
    expect(iterators.asked).toEqual(['a0', 'a1', 'a2', 'a3'])
    receipts.shift()?.settle()
    await feed.run(10)
    expect(iterators.asked).toHaveLength(4)
    receipts.shift()?.settle()
    await feed.run(10)
    expect(iterators.asked).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5'])
    expect(feed.ends).toEqual([])
    for (let each = receipts.shift(); each !== undefined; each = receipts.shift()) {
      each.settle()
      await feed.run(10)
    }
    expect(out).toHaveLength(10)
    expect(feed.ends).toEqual(['0'])
  })

  test('what is given at once leaves at once, but no more of it than there is room for', async () => {
    const feed = new Feed()
    const receipts: Receipt[] = []
    const work: ExpandWork = async function* (each) {
      yield [0, 1, 2].map((n) => withValue(each, n))
      yield [3, 4, 5, 6, 7, 8].map((n) => withValue(each, n))
    }
    const sizes: number[] = []
    const made = expand(work, limits, feed.context)(feed.input)
    made.out.subscribe((given) => void sizes.push(given.messages.length))
    const out = feed.seen(made.out, (receipt) => void receipts.push(receipt))
    feed.give(['a'])
    for (let round = 0; round < 10; round++) {
      await feed.run(10)
      for (const each of receipts.splice(0)) each.settle()
    }
    expect(out).toHaveLength(9)
    expect(sizes).toEqual([3, 1, 4, 1])
    expect(feed.ends).toEqual(['0'])
  })

  test('an input closes when its iterator has ended and all that it gave has closed; one failed child fails it', async () => {
    const { feed, receipts } = bench(new Iterators(upTo(2)))
    feed.give(['a'])
    feed.give(['b'])
    await feed.run()
    expect(receipts).toHaveLength(4)
    const [a0, b0, a1, b1] = receipts
    a0?.settle()
    b0?.fail(failureOf(broken, 'part'))
    expect(feed.ends).toEqual([])
    a1?.settle()
    b1?.settle()
    expect(feed.ends).toEqual(['0', '1 test.broken'])
  })

  test('no more iterators are open at once than may, and a mark waits for those before it', async () => {
    const iterators = new Iterators(async (each, at, signal) => {
      await feed.sleep(10, signal)
      return at < 2 ? `${String(each.value)}${at}` : undefined
    })
    const { feed, receipts, out, error } = bench(iterators, { inFlightMax: 100 })
    feed.give(['a', 'b', 'c'], { mark: endMark })
    await feed.run()
    expect(iterators.openMax).toBe(2)
    expect(out.at(-1)).toBe('60: mark end')
    expect(out).toHaveLength(7)
    expect(error).toEqual(['60: mark end'])
    for (const each of receipts) each.settle()
    expect(feed.ends).toEqual(['0'])
  })
})

describe('an iterator that does not end well', () => {
  test('is returned by a kill, also while it waits at the gate', async () => {
    const iterators = new Iterators((each, at) =>
      each.value === 'hangs' ? new Promise(() => undefined) : upTo(9)(each, at),
    )
    const { feed, receipts, error } = bench(iterators)
    feed.give(['hangs'])
    feed.give(['full'])
    await feed.run(10)
    feed.abort()
    await feed.run(10)
    expect([...iterators.returned].sort()).toEqual(['full', 'hangs'])
    for (const each of receipts) each.settle()
    expect([...feed.ends].sort()).toEqual(['0 execution.stopped', '1 execution.stopped'])
    expect(error).toEqual([])
  })

  test('is returned at its time limit, the time at the gate included', async () => {
    const iterators = new Iterators(upTo(9))
    const { feed, receipts, error } = bench(iterators, { timeoutMs: 300 })
    feed.give(['a'])
    await feed.run(400)
    expect(iterators.returned).toEqual(['a'])
    expect(error).toEqual(['300: node.timeout "a"'])
    for (const each of receipts) each.settle()
    expect(feed.ends).toEqual(['0'])
  })

  test('that breaks after some values keeps those; the message goes to the error port, and a retry would give them twice', async () => {
    const retry: OnError = { kind: 'retry', attemptsMax: 3, backoffMs: 10, backoffMsMax: 10 }
    const iterators = new Iterators(async (each, at) => {
      if (at === 2) throw broken
      return upTo(9)(each, at)
    })
    const { feed, receipts, out, error } = bench(iterators, {}, retry)
    feed.give(['a'])
    await feed.run()
    expect(out).toEqual(['0: "a0"', '0: "a1"'])
    expect(error).toEqual(['0: test.broken "a"'])
    for (const each of receipts) each.settle()
    expect(feed.ends).toEqual(['0'])
  })

  test('before its first value is tried again', async () => {
    const retry: OnError = { kind: 'retry', attemptsMax: 3, backoffMs: 10, backoffMsMax: 15 }
    let failures = 2
    const iterators = new Iterators(async (each, at) => {
      if (failures-- > 0) throw broken
      return upTo(1)(each, at)
    })
    const { feed, out, error } = bench(iterators, {}, retry)
    feed.give(['a'])
    await feed.run()
    expect(out).toEqual(['25: "a0"'])
    expect(error).toEqual([])
  })
})
