import { expect, test } from 'vitest'
import { compile } from '../../core/compile/compile.ts'
import { planText } from '../../core/document/plan-text.ts'
import { runFlow, testHost, watchReceipts } from '../../core/testing.ts'
import { catalogue } from '../../nodes.ts'

const types = catalogue.types

test('beats are numbered and carry the moment at which they were due', async () => {
  const run = await runFlow(
    `{ millrace: 1, name: t, nodes: { tick: { type: interval@1, config: { everyMs: 250, count: 3 } },
       out: { type: test.collect@1, config: { as: out } } }, edges: [tick -> out] }`,
    { types },
  )
  const begin = 1_700_000_000_000
  expect(run.collected.out).toEqual([
    { n: 0, time: begin + 250 },
    { n: 1, time: begin + 500 },
    { n: 2, time: begin + 750 },
  ])
  expect(run.outcome.state).toBe('done')
  expect(run.faults).toEqual([])
})

/** A flow that takes 1000 ms per message and lets one in, ticking every 300 ms. */
function behind(overflow: string): string {
  return `{ millrace: 1, name: t, settings: { inFlightMax: 1 },
    nodes: { tick: { type: interval@1, config: { everyMs: 300, count: 10, overflow: ${overflow}, value: '{{ $json.n }}' } },
      slow: { type: delay@1, config: { delayMs: 1000 } }, out: { type: test.collect@1, config: { as: out } } },
    edges: [tick -> slow, slow -> out] }`
}

test('a flow that is behind gets the latest beat as soon as there is room', async () => {
  const run = await runFlow(behind('coalesce'), { types })
  // Beats are due at 300, 600, … 3000; the flow is busy from 300 to 1300, from 1300 to 2300, and so on.
  expect(run.collected.out).toEqual([0, 3, 6, 9])
  expect(run.faults).toEqual([])
})

test('a flow that is behind loses beats when told to', async () => {
  const run = await runFlow(behind('drop'), { types })
  expect(run.collected.out).toEqual([0, 4, 8])
  expect(run.faults).toEqual([])
})

test('late timers do not shift the beats after them, and many that are due at once become one', async () => {
  const host = testHost()
  let lateMs = 0
  const { clock } = host
  const after = clock.after.bind(clock)
  const planned = planText(
    `{ millrace: 1, name: t, nodes: { tick: { type: interval@1, config: { everyMs: 100, count: 8 } } } }`,
    catalogue,
  )
  const watch = watchReceipts()
  const pipeline = compile(planned, catalogue, {
    ...host,
    clock: { ...clock, now: clock.now, after: (delayMs, callback) => after(delayMs + lateMs, callback) },
  })
  const seen: unknown[] = []
  pipeline.tap('tick', 'out', (messages) => {
    for (const { value } of messages) seen.push(value)
    lateMs = seen.length === 2 ? 330 : 7
  })
  const execution = pipeline.start('tick')
  let over = false
  void execution.done.then(() => {
    over = true
  })
  await clock.runUntil(() => over)
  await pipeline.release(0)
  watch.restore()
  const begin = 1_700_000_000_000
  expect(seen).toEqual([0, 1, 5, 6, 7].map((n) => ({ n, time: begin + (n + 1) * 100 })))
  expect(watch.faults).toEqual([])
})

test('a stopped execution ticks no more', async () => {
  const host = testHost()
  const planned = planText(
    `{ millrace: 1, name: t, nodes: { tick: { type: interval@1, config: { everyMs: 100 } } } }`,
    catalogue,
  )
  const pipeline = compile(planned, catalogue, host)
  let beats = 0
  pipeline.tap('tick', 'out', (messages) => void (beats += messages.length))
  const execution = pipeline.start('tick')
  await host.clock.runUntil(() => beats === 3)
  void execution.stop(0)
  await host.clock.runUntil(() => false, 1000)
  expect(beats).toBe(3)
  await pipeline.release(0)
  expect(host.clock.pendingTimers).toBe(0)
})

test('the last beat, which waits for room, comes after a rest in which there was room', async () => {
  const host = testHost()
  const { clock } = host
  const planned = planText(
    `{ millrace: 1, name: t, settings: { inFlightMax: 1 },
      nodes: { tick: { type: interval@1, config: { everyMs: 300, count: 2, value: '{{ $json.n }}' } },
        slow: { type: delay@1, config: { delayMs: 1000 } } },
      edges: [tick -> slow] }`,
    catalogue,
  )
  const pipeline = compile(planned, catalogue, host)
  const seen: unknown[] = []
  pipeline.tap('slow', 'out', (messages) => void seen.push(...messages.map((each) => each.value)))
  let state = ''
  void pipeline.start('tick').done.then((outcome) => {
    state = outcome.state
  })
  // The first beat is on its way from 300 to 1300, the second is due at 600.
  clock.after(700, () => void pipeline.control({ do: 'pause', node: 'tick' }))
  clock.after(1400, () => void pipeline.control({ do: 'resume', node: 'tick' }))
  await clock.runUntil(() => state !== '')
  expect(seen).toEqual([0, 1])
  expect(state).toBe('done')
  await pipeline.release(0)
})
