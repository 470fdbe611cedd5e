import { describe, expect, test } from 'vitest'
import { message } from '../core/flow/message.ts'
import { realFlow } from './real-flow.ts'

/** Nodes of each face that keeps state, and what they cannot work on. */
const nodes = {
  aggregate: { type: 'aggregate@1', config: { by: '{{ $json.a.b }}' } },
  summarize: { type: 'summarize@1', config: { everyMs: 1, fields: { n: { as: 'max', of: '{{ $json.a.b }}' } } } },
  debounce: { type: 'debounce@1', config: { waitMs: 1, by: '{{ $json.a.b }}' } },
  loop: { type: 'loop@1', config: { while: '{{ $json.a.b > 1 }}' } },
}

async function outcomeOf(node: object, onError: 'route' | 'drop' | 'stop') {
  const loops = 'type' in node && node.type === 'loop@1'
  const run = await realFlow(
    {
      millrace: 1,
      name: 't',
      nodes: { in: { type: 'manual@1' }, a: { ...node, onError }, out: { type: 'test.keep@1' } },
      edges: ['in -> a', loops ? 'a.done -> out' : 'a -> out'],
    },
    { start: { entry: 'in', input: [{}, { a: { b: 1 } }].map((value) => message(value, null, 0)) } },
  )
  const { outcome, faults } = await run.finish()
  expect(faults).toEqual([])
  return { state: outcome.state, code: outcome.failure?.code, kept: run.kept.length, letters: run.deadLetters.length }
}

describe('onError on a node that keeps state', () => {
  test.each(Object.entries(nodes))('%s', async (_, node) => {
    expect(await outcomeOf(node, 'route')).toEqual({ state: 'done', code: undefined, kept: 1, letters: 1 })
    expect(await outcomeOf(node, 'drop')).toEqual({ state: 'done', code: undefined, kept: 1, letters: 0 })
    expect(await outcomeOf(node, 'stop')).toMatchObject({ state: 'failed', code: 'node.type-error', letters: 0 })
  })
})
