import { describe, expect, test } from 'vitest'
import { runFlow } from '../../core/testing.ts'
import { catalogue } from '../../nodes.ts'
import { timedRun } from '../timed.fixture.ts'

const loop = (config: object) => ({ type: 'loop@1', config })
const addOne = { type: 'set@1', into: 'merge', config: { fields: { n: '{{ $json.n + 1 }}' } } }
const back = {
  nodes: { step: addOne },
  edges: ['subject.round -> step', 'step -> subject.back'],
  ports: ['done', 'error'],
}

describe('rounds', () => {
  test('a message leaves as soon as the condition does not hold, with what its rounds made of it', async () => {
    const run = await timedRun(loop({ while: '{{ $json.n < 3 }}' }), [[0, { n: 0, id: 1 }, { n: 5, id: 2 }]], back)
    expect(run.out.done).toEqual(['0: {"n":5,"id":2}', '0: {"n":3,"id":1}'])
    expect(run).toMatchObject({ outcome: 'done', faults: [], out: { error: [] } })
  })

  test('one that takes too many leaves by the error port as it is then; the others go on', async () => {
    const run = await timedRun(loop({ while: '{{ $json.n < 9 }}', roundsMax: 4 }), [[0, { n: 0 }, { n: 6 }]], back)
    expect(run.out.error).toEqual(['0: loop.rounds {"n":4}'])
    expect(run.out.done).toEqual(['0: {"n":9}'])
    expect(run).toMatchObject({ outcome: 'done', faults: [], closed: ['0: {"n":0} {"n":6}'] })
  })

  test('a condition that cannot be told sends the message to the error port', async () => {
    const run = await timedRun(loop({ while: '{{ $json.a.b < 3 }}' }), [[0, { n: 1 }]], back)
    expect(run.out.error).toHaveLength(1)
    expect(run).toMatchObject({ outcome: 'done', faults: [], out: { done: [] } })
  })

  test('what multiplies inside is bounded', async () => {
    const twice = { ...back, nodes: { step: { type: 'split@1', config: { list: '{{ [$json, $json] }}' } } } }
    const run = await timedRun(loop({ while: '{{ $json.n < 1 }}', messagesMax: 20 }), [[0, { n: 0 }, { n: 1 }]], twice)
    expect(run.out.done).toEqual(['0: {"n":1}'])
    expect(run.out.error).toHaveLength(21)
    expect(new Set(run.out.error)).toEqual(new Set(['0: loop.messages {"n":0}']))
    expect(run).toMatchObject({ outcome: 'done', faults: [] })
  })

  test('the bound is of one message, however many enter together', async () => {
    const values = Array.from({ length: 50 }, () => ({ n: 0 }))
    const run = await timedRun(loop({ while: '{{ $json.n < 3 }}', messagesMax: 2 }), [[0, ...values]], back)
    expect(run.out.done).toHaveLength(50)
    expect(run.out.error).toEqual([])
  })

  test('what did not enter by the loop cannot come back by it', async () => {
    const run = await timedRun(loop({ while: '{{ $json.n < 3 }}' }), [[0, { n: 0 }]], {
      ...back,
      edges: [...back.edges, 'source -> subject.back'],
    })
    expect(run.out.error).toEqual(['0: loop.lost-count {"n":0}'])
    expect(run.out.done).toEqual(['0: {"n":3}'])
  })

  test('a kill ends a loop that would not end', async () => {
    const run = await timedRun(loop({ while: '{{ true }}', roundsMax: 1_000_000 }), [[0, { n: 0 }]], {
      ...back,
      nodes: { step: { type: 'delay@1', config: { delayMs: 10 } } },
      killMs: 500,
    })
    expect(run).toMatchObject({ outcome: 'stopped', faults: [], out: { done: [], error: [] } })
  })
})

test('a loop inside a loop counts its own rounds, anew for each round of the outer one', async () => {
  const inner = loop({ while: '{{ $json.m < 3 }}', roundsMax: 3 })
  const run = await timedRun(
    loop({ while: '{{ $json.n < 4 }}', roundsMax: 4 }),
    [[0, { n: 0, m: 0, sum: 0 }, { n: 3, m: 2, sum: 0 }]],
    {
      ports: ['done', 'error'],
      nodes: {
        inner,
        count: {
          type: 'set@1',
          into: 'merge',
          config: { fields: { m: '{{ $json.m + 1 }}', sum: '{{ $json.sum + 1 }}' } },
        },
        again: { type: 'set@1', into: 'merge', config: { fields: { m: '{{ 0 }}', n: '{{ $json.n + 1 }}' } } },
      },
      edges: [
        'subject.round -> inner',
        'inner.round -> count',
        'count -> inner.back',
        'inner.done -> again',
        'again -> subject.back',
      ],
    },
  )
  expect(run.out.done).toEqual(['0: {"n":4,"m":0,"sum":1}', '0: {"n":4,"m":0,"sum":12}'])
  expect(run).toMatchObject({ outcome: 'done', faults: [], out: { error: [] } })
})

test('a hundred thousand rounds neither fill the stack nor hold what is past', async () => {
  const ran = await runFlow(
    JSON.stringify({
      millrace: 1,
      name: 'long',
      nodes: {
        source: { type: 'test.source@1', config: { values: [{ n: 0 }] } },
        long: loop({ while: '{{ $json.n < 100000 }}', roundsMax: 1_000_000 }),
        step: addOne,
        out: { type: 'test.collect@1', config: { as: 'done' } },
      },
      edges: ['source -> long', 'long.round -> step', 'step -> long.back', 'long.done -> out'],
    }),
    { types: catalogue.types },
  )
  expect(ran.collected).toEqual({ done: [{ n: 100_000 }] })
  expect(ran.faults).toEqual([])
})
