import { expect, test } from 'vitest'
import { catalogue } from '../../nodes.ts'
import { runFlow } from '../testing.ts'
import { parse } from './parse.ts'
import { plan } from './plan.ts'
import { must } from './plan-text.ts'

const flow = (node: unknown): string =>
  JSON.stringify({
    millrace: 1,
    name: 'braces',
    nodes: { begin: { type: 'manual@1' }, work: node, end: { type: 'test.collect@1', config: { as: 'end' } } },
    edges: ['begin -> work', 'work -> end'],
  })

const computed = '{{ $json.x }}'

test.each([
  ['a list of names', 'set@1', { fields: {}, remove: ['a', computed] }, 'config.remove.1', 'Write a fixed value'],
  ['the name of a field', 'set@1', { fields: { [computed]: 1 } }, `config.fields.${computed}`, 'Write a fixed value'],
  [
    'what is no expression',
    'set@1',
    { fields: {}, remove: ['{{ nonsense( }}'] },
    'config.remove.0',
    'Write a fixed value',
  ],
  ['a number', 'split@1', { list: [], elementsMax: computed }, 'config.elementsMax', 'Write a fixed value'],
  [
    'a part of a value',
    'set@1',
    { fields: { a: { b: [computed] } } },
    'config.fields.a.b.0',
    '{{ { name: $json.name } }}',
  ],
])('%s takes no expression', (_name, type, config, field, remedy) => {
  const planned = plan(must(parse(flow({ type, config }))), catalogue)
  const found = (planned.ok ? [] : planned.problems).filter((each) => each.code === 'config.no-expression')
  expect(found).toMatchObject([{ severity: 'error', place: { node: 'work', field, line: 1 } }])
  expect(found[0]?.message).toContain(`${field} takes no expression, but holds "{{ `)
  expect(found[0]?.remedy).toContain(remedy)
})

test('into takes no expression', () => {
  const planned = plan(must(parse(flow({ type: 'set@1', config: { fields: { a: 1 } }, into: computed }))), catalogue)
  expect(planned.ok ? [] : planned.problems).toMatchObject([
    { code: 'config.no-expression', place: { node: 'work', field: 'into' } },
    { code: 'document.unknown-node' },
  ])
})

test('braces that are meant as text are written in quotes inside of others, in every field', async () => {
  const config = { fields: { "{{ '{{ key }}' }}": { deep: ["{{ '{{ value }}' }}"] } }, remove: ["{{ 'a {{ b }}' }}"] }
  const run = await runFlow(flow({ type: 'set@1', config, into: "{{ '{{ into }}' }}" }), {
    types: catalogue.types,
    start: { entry: 'begin', input: [{}] },
  })
  expect(run.collected.end).toEqual([{ '{{ into }}': { '{{ key }}': { deep: ['{{ value }}'] } } }])
})

test('braces that do not enclose anything are text', async () => {
  const run = await runFlow(flow({ type: 'set@1', config: { fields: { 'a }} {{': 1, b: { c: '}} {{' } } } }), {
    types: catalogue.types,
    start: { entry: 'begin', input: [{}] },
  })
  expect(run.collected.end).toEqual([{ 'a }} {{': 1, b: { c: '}} {{' } }])
})
