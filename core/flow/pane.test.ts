import { expect, test } from 'vitest'
import { z } from 'zod'
import { catalogue } from '../../nodes.ts'
import { define, defineVersions } from '../define.ts'
import type { FlowRun } from '../testing.ts'
import { runFlow } from '../testing.ts'
import { withValue } from './message.ts'

const limit = 16

const thrice = define({
  name: 'test.thrice',
  version: 1,
  summary: 'Gives each message three times.',
  inputs: ['in'],
  outputs: ['out'],
  config: z.strictObject({}),
  examples: [],
  face: {
    kind: 'expand',
    limits: () => ({ concurrency: 2, timeoutMs: 1_000, inFlightMax: 4 }),
    make: () =>
      async function* (each) {
        for (let time = 0; time < 3; time++) yield withValue(each, each.value)
      },
  },
})

/** Runs more values than may be in flight through some nodes, of which `first` is the first. */
function run(nodes: Readonly<Record<string, unknown>>, edges: readonly string[]): Promise<FlowRun> {
  // The first of a few takes longer, so that the results of many batches leave at once.
  const values = Array.from({ length: 100 }, (_, n) => ({ n, ms: n % limit === 0 ? 20 : 10 }))
  const source = { type: 'test.source@1', config: { values } }
  const out = { type: 'test.collect@1', config: { as: 'out' } }
  return runFlow(
    JSON.stringify({
      millrace: 1,
      name: 'windows',
      settings: { inFlightMax: limit },
      nodes: { source, out, ...nodes },
      edges: ['source -> first', ...edges],
    }),
    { types: [...catalogue.types, defineVersions({ 1: thrice }, { latest: 1 })] },
  )
}

function sizes({ collected }: FlowRun): readonly unknown[] {
  return (collected.out ?? []).map((list) => (Array.isArray(list) ? list.length : list))
}

const list = { type: 'aggregate@1', config: { count: 100 } }

test.for([
  ['work that takes time', { type: 'delay@1', config: { delayMs: '{{ $json.ms }}' } }, 'out', [100]],
  ['an expansion', { type: 'test.thrice@1' }, 'out', [100, 100, 100]],
  ['a loop', { type: 'loop@1', config: { while: false } }, 'done', [100]],
] as const)('a list of more than may be in flight fills behind %s', async ([, first, port, expected]) => {
  const flow = await run({ first, list }, [`first.${port} -> list`, 'list -> out'])
  expect(sizes(flow)).toEqual(expected)
  expect(flow.outcome.state).toBe('done')
  expect(flow.faults).toEqual([])
  expect(flow.pipeline.metrics()?.inFlight).toBe(0)
})

test('a list in a loop fills too, and what goes round again is in flight again', async () => {
  // Lists of 25 values, then lists of two of those.
  const flow = await run(
    {
      first: { type: 'loop@1', config: { while: '{{ $json.length !== 2 }}' } },
      which: { type: 'switch@1', config: { cases: [{ port: 'values', where: '{{ $json.n !== undefined }}' }] } },
      list: { type: 'aggregate@1', config: { count: 25 } },
      pair: { type: 'aggregate@1', config: { count: 2 } },
    },
    [
      'first.round -> which',
      'which.values -> list',
      'list -> first.back',
      'which.otherwise -> pair',
      'pair -> first.back',
      'first.done -> out',
    ],
  )
  expect(sizes(flow)).toEqual([2, 2])
  expect(flow.outcome.state).toBe('done')
  expect(flow.faults).toEqual([])
  expect(flow.pipeline.metrics()?.inFlight).toBe(0)
})

test('the first results of asynchronous work in a loop may wait there for its end', async () => {
  const delay = { type: 'delay@1', config: { delayMs: '{{ $json.ms }}' } }
  const flow = await run({ first: { type: 'loop@1', config: { while: true } }, delay, list }, [
    'first.round -> delay',
    'delay -> list',
    'list -> out',
  ])
  expect(sizes(flow)).toEqual([100])
})
