import { expect, test } from 'vitest'
import { catalogue } from '../../nodes.ts'
import { NodeError } from '../flow/failure.ts'
import { planText } from './plan-text.ts'

const flow = (nodes: string, edges: string): string => `millrace: 1\nname: t\nnodes:\n${nodes}\nedges: [${edges}]\n`

function thrownBy(text: string): unknown {
  try {
    return planText(text, catalogue)
  } catch (thrown) {
    return thrown
  }
}

test('a text that can run is answered as a plan, under the id and version that are given', () => {
  const text = flow('  go: { type: manual@1 }\n  a: { type: set@1, config: { fields: { x: 1 } } }', 'go -> a')
  const planned = planText(text, catalogue, { id: 'mine', version: 'two' })
  expect(planned.workflow).toEqual({ id: 'mine', name: 't', version: 'two' })
  expect(planned.nodes.map((each) => each.id)).toEqual(['go', 'a'])
})

test('all that is wrong with a text stands in what is thrown, a line each', () => {
  const text = flow(
    '  go: { type: manual@1 }\n  a: { type: filtre@1 }\n  b: { type: filter@1, config: {} }',
    'go -> a -> b',
  )
  const thrown = thrownBy(text)
  expect(thrown).toBeInstanceOf(NodeError)
  expect(thrown).toMatchObject({ code: 'document.invalid', retriable: false })
  const lines = String(thrown).split('\n')
  expect(lines).toHaveLength(2)
  expect(lines[0]).toMatch(/5:\d+ error a\.type: .*filtre.* \[document\.unknown-node\]$/)
  expect(lines[1]).toMatch(/^6:\d+ error b.*where/)
})

test('what cannot even be parsed is thrown in the same way', () => {
  const thrown = thrownBy('millrace: 1\nnodes: {}\nedge: []\n')
  expect(thrown).toMatchObject({ code: 'document.invalid', message: expect.stringContaining('name') })
  expect(String(thrown).split('\n').length).toBeGreaterThan(1)
})
