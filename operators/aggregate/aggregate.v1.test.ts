import { expect, test } from 'vitest'
import { timedRun } from '../timed.fixture.ts'

const aggregate = (config: object) => ({ type: 'aggregate@1', config })

test('a list is given when it is full, or so long after its first value; the rest at the end', async () => {
  const run = await timedRun(aggregate({ count: 3, waitMs: 100 }), [
    [0, 1],
    [60, 2],
    [150, 3, 4],
    [160, 5, 6],
    [170, 7],
  ])
  expect(run.out.out).toEqual(['100: [1,2]', '160: [3,4,5]', '170: [6,7]'])
  expect(run).toMatchObject({ outcome: 'done', faults: [] })
})

test('a full list takes its time with it: the next one waits anew', async () => {
  const run = await timedRun(
    aggregate({ count: 2, waitMs: 100 }),
    [
      [0, 1],
      [10, 2],
      [50, 3],
    ],
    { endMs: 500 },
  )
  expect(run.out.out).toEqual(['10: [1,2]', '150: [3]'])
})

test('each key has a list and a time of its own', async () => {
  const run = await timedRun(
    aggregate({ count: 9, waitMs: 100, by: '{{ $json.k }}' }),
    [
      [0, { k: 'a', n: 1 }],
      [50, { k: 'b', n: 2 }],
      [70, { k: 'a', n: 3 }],
    ],
    { endMs: 500 },
  )
  expect(run.out.out).toEqual(['100: [{"k":"a","n":1},{"k":"a","n":3}]', '150: [{"k":"b","n":2}]'])
})

test('more keys than may be open give the oldest list early', async () => {
  const run = await timedRun(
    aggregate({ count: 9, by: '{{ $json }}', keysMax: 2 }),
    [
      [0, 'a'],
      [1, 'b', 'a'],
      [2, 'c'],
    ],
    {
      endMs: 10,
    },
  )
  expect(run.out.out).toEqual(['2: ["a","a"]', '10: ["b"]', '10: ["c"]'])
})

test('what waits in a list is committed with it, not before', async () => {
  const run = await timedRun(
    aggregate({ count: 9, waitMs: 100 }),
    [
      [0, 1],
      [10, 2],
    ],
    { endMs: 500 },
  )
  expect(run.closed).toEqual(['100: 1', '100: 2'])
})

test('a kill drops open lists: nothing is given, nothing is committed, no timer is left', async () => {
  const run = await timedRun(aggregate({ count: 9, waitMs: 100 }), [[0, 1]], { endMs: 500, killMs: 50 })
  expect(run).toMatchObject({ outcome: 'stopped', faults: [], closed: [] })
  expect(run.out.out).toEqual([])
})

test('what arrives for an execution that was just killed is not kept', async () => {
  const run = await timedRun({ type: 'log@1', config: { text: 'now' } }, [[0, 1, 2]], {
    ports: [],
    nodes: { all: aggregate({ count: 2 }), read: { type: 'timed.reader@1', config: { as: 'lists' } } },
    edges: ['subject -> all', 'all -> read'],
    endMs: 500,
    killOnLog: true,
  })
  expect(run).toMatchObject({ outcome: 'stopped', faults: [], out: { lists: [] } })
})

test('behind a loop it is given its end, also where the loop waits for nothing but what it holds', async () => {
  const run = await timedRun({ type: 'loop@1', config: { while: '{{ $json.n < 2 }}' } }, [[0, { n: 0 }, { n: 5 }]], {
    ports: [],
    nodes: {
      step: { type: 'set@1', config: { fields: { n: '{{ $json.n + 1 }}' } } },
      all: aggregate({ count: 100 }),
      read: { type: 'timed.reader@1', config: { as: 'lists' } },
    },
    edges: ['subject.round -> step', 'step -> subject.back', 'subject.done -> all', 'all -> read'],
  })
  expect(run.out.lists).toEqual(['0: [{"n":5},{"n":2}]'])
  expect(run).toMatchObject({ outcome: 'done', faults: [] })
})

test('inside a loop it is given its end too, and what it gives late goes round and leaves', async () => {
  const run = await timedRun(
    { type: 'loop@1', config: { while: '{{ $json.n < 2 }}' } },
    [[0, { n: 0 }, { n: 1 }, { n: 0 }]],
    {
      ports: ['done', 'error'],
      nodes: {
        all: aggregate({ count: 2 }),
        sum: { type: 'set@1', config: { fields: { n: '{{ $json.length + $json[0].n }}' } } },
      },
      edges: ['subject.round -> all', 'all -> sum', 'sum -> subject.back'],
    },
  )
  expect(run.out.done).toEqual(['0: {"n":2}', '0: {"n":2}'])
  expect(run).toMatchObject({ outcome: 'done', faults: [] })
})
