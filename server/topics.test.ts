import { describe, expect, it } from 'vitest'
import { virtualClock } from '../core/testing.ts'
import { noSignal } from './testing.ts'
import type { ReadStep } from './topic-reader.ts'
import type { Admission, TopicLimits, TopicStore } from './topics.ts'
import { createTopics, defaultTopicLimits } from './topics.ts'

function store(limits: Partial<TopicLimits> = {}, admit: (topic: string) => Admission = () => ({ kind: 'open' })) {
  const clock = virtualClock()
  const topics = createTopics({ clock, limits: { ...defaultTopicLimits, ...limits }, admit })
  return { clock, topics }
}

function readAll(topics: TopicStore, topic: string, after: number | 'start' | null = 'start'): readonly ReadStep[] {
  const reader = topics.read(topic, after, null, () => {})
  const steps: ReadStep[] = []
  for (let step = reader.take(100, 1e6); step.kind !== 'nothing'; step = reader.take(100, 1e6)) steps.push(step)
  reader.close()
  return steps
}

const publish = (topics: TopicStore, topic: string, ...values: unknown[]): Promise<void> =>
  topics.publish(topic, values, noSignal)

describe('topics', () => {
  it('keep what was published, not what its maker does to it later', async () => {
    const { topics } = store()
    const value = { list: [1], raw: new Uint8Array([7]) }
    await publish(topics, 't', value)
    value.list.push(2)
    value.raw[0] = 8
    expect(readAll(topics, 't')).toMatchObject([
      { values: [{ text: '{"list":[1],"raw":{"$bytes":[0,1]}}', segments: [new Uint8Array([7])] }] },
    ])
  })

  it('drop the oldest by count and by bytes, and say which', async () => {
    const byCount = store({ messagesMax: 3 }).topics
    await publish(byCount, 't', 0, 1, 2, 3, 4)
    expect(readAll(byCount, 't', -1)).toMatchObject([
      { kind: 'gap', from: 0, to: 1 },
      { kind: 'messages', offset: 2 },
    ])
    const byBytes = store({ bytesMax: 3000 }).topics
    await publish(byBytes, 't', ...Array.from({ length: 5 }, () => new Uint8Array(1000)))
    expect(readAll(byBytes, 't', -1)).toMatchObject([
      { kind: 'gap', from: 0, to: 2 },
      { kind: 'messages', offset: 3 },
    ])
  })

  it('are limited all together: the ended ones that nobody reads go first', async () => {
    const { topics } = store({ bytesTotalMax: 10_000 })
    await publish(topics, 'ended', new Uint8Array(4000))
    topics.end('ended')
    await publish(topics, 'open', new Uint8Array(4000))
    await publish(topics, 'big', new Uint8Array(4000))
    expect(readAll(topics, 'ended')).toStrictEqual([])
    expect(readAll(topics, 'open')).toHaveLength(1)
    await publish(topics, 'big', new Uint8Array(4000), new Uint8Array(4000))
    expect(topics.bytes).toBeLessThanOrEqual(10_000)
  })

  it('are limited in number; one that is read is never evicted', async () => {
    const { topics, clock } = store({ topicsMax: 2 })
    await publish(topics, 'a', 1)
    const reader = topics.read('a', 'start', null, () => {})
    await clock.runUntil(() => clock.now() > 0)
    await publish(topics, 'b', 1)
    await publish(topics, 'c', 1)
    expect(topics.count).toBe(2)
    const other = topics.read('c', 'start', null, () => {})
    await expect(publish(topics, 'd', 1)).rejects.toMatchObject({ code: 'topic.too-many', retriable: true })
    reader.close()
    await publish(topics, 'd', 1)
    other.close()
  })

  it('are kept for a while after their end, and when nobody uses them', async () => {
    const { topics, clock } = store({ keepEndedMs: 60_000, keepIdleMs: 120_000 })
    await publish(topics, 'ended', 1)
    topics.end('ended')
    await publish(topics, 'idle', 1)
    const begin = clock.now()
    await clock.runUntil(() => clock.now() - begin >= 40_000)
    expect(topics.count).toBe(2)
    await clock.runUntil(() => clock.now() - begin >= 70_000)
    expect(topics.count).toBe(1)
    await clock.runUntil(() => clock.now() - begin >= 140_000)
    expect([topics.count, topics.bytes]).toStrictEqual([0, 0])
    topics.close()
    expect(clock.pendingTimers).toBe(0)
  })

  it('that are published to after their end begin anew, which a reader of the old one notices', async () => {
    const { topics } = store()
    await publish(topics, 't', 1, 2)
    const first = topics.read('t', 'start', null, () => {})
    topics.end('t')
    await publish(topics, 't', 3)
    expect(first.take(10, 1e6)).toMatchObject({ kind: 'messages', offset: 0 })
    expect(first.take(10, 1e6)).toMatchObject({ kind: 'end' })
    const second = topics.read('t', 0, first.log.id, () => {})
    expect(second.take(10, 1e6)).toStrictEqual({ kind: 'gap', from: 1, to: null })
    expect(second.take(10, 1e6)).toMatchObject({ kind: 'messages', offset: 0, values: [{ text: '3' }] })
  })

  it('of an execution end with it, by the last part of their name', async () => {
    const { topics } = store()
    await publish(topics, 'thumbnails/x-1', 1)
    await publish(topics, 'executions/x-1', 1)
    await publish(topics, 'thumbnails/x-2', 1)
    const outcome = { state: 'stopped', unsettled: 2, deadLetters: 0, failure: null } as const
    topics.endExecution('x-1', outcome)
    expect(readAll(topics, 'thumbnails/x-1').at(-1)).toStrictEqual({ kind: 'end', outcome })
    expect(readAll(topics, 'executions/x-1').at(-1)).toStrictEqual({ kind: 'end', outcome })
    expect(readAll(topics, 'thumbnails/x-2')).toHaveLength(1)
  })

  it('give their publishers’ turn back to the event loop', async () => {
    const { topics, clock } = store()
    let turns = 0
    let done = false
    const publishing = (async () => {
      for (let n = 0; n < 10; n++) await publish(topics, 't', ...Array.from({ length: 500 }, () => n))
      done = true
    })()
    await clock.runUntil(() => {
      if (!done) turns += 1
      return done
    })
    await publishing
    expect(turns).toBeGreaterThanOrEqual(4)
  })

  it.each([
    ['a name with a space', 'a b', 1, 'topic.bad-name'],
    ['no name', '', 1, 'topic.bad-name'],
    ['a bigint', 't', 1n, 'topic.value.not-json'],
    ['too large a value', 't', new Uint8Array(9_000_000), 'topic.message-too-large'],
  ])('refuse %s', async (_what, topic, value, code) => {
    await expect(publish(store().topics, topic, value)).rejects.toMatchObject({ code })
  })
})
