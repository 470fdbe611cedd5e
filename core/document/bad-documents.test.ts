import { describe, expect, test } from 'vitest'
import { catalogue } from '../../nodes.ts'
import type { Problem } from '../problem.ts'
import { runFlow } from '../testing.ts'
import { parse } from './parse.ts'
import { plan } from './plan.ts'

/** All problems of a text, as a user gets them. */
function problemsOf(text: string): readonly Problem[] {
  const document = parse(text)
  if (!document.ok) return document.problems
  const planned = plan(document.value, catalogue)
  return planned.ok ? planned.warnings : planned.problems
}

const codes = (text: string): readonly string[] => problemsOf(text).map((each) => each.code)

const flow = (nodes: string, edges: string): string => `millrace: 1\nname: t\nnodes:\n${nodes}\nedges: [${edges}]\n`
const start = '  go: { type: manual@1 }\n'

describe('bad documents', () => {
  test.each([
    [
      'an unknown node',
      flow(`${start}  a: { type: filtre@1, config: {} }`, 'go -> a'),
      'document.unknown-node',
      'Did you mean filter',
    ],
    [
      'an unknown version',
      flow(`${start}  a: { type: filter@9, config: { where: true } }`, 'go -> a'),
      'document.unknown-node',
      'filter@1',
    ],
    [
      'a wrong type',
      flow(`${start}  a: { type: split@1, config: { list: '{{ $json }}', elementsMax: many } }`, 'go -> a'),
      'config.invalid',
      'millrace nodes split',
    ],
    ['a missing field', flow(`${start}  a: { type: filter@1 }`, 'go -> a'), 'config.missing', 'Add it'],
    [
      'a misspelt field',
      flow(`${start}  a: { type: filter@1, config: { wher: true } }`, 'go -> a'),
      'config.unknown-field',
      'Did you mean where?',
    ],
    ['a missing edge', flow(`${start}  a: { type: merge@1 }`, ''), 'document.missing-edge', 'Draw an edge'],
    ['an edge to nowhere', flow(start, 'go -> b'), 'document.unknown-edge-end', 'correct the name'],
    [
      'an edge from a port that is not there',
      flow(`${start}  a: { type: merge@1 }`, 'go.outt -> a'),
      'document.unknown-port',
      'Use one of: out',
    ],
    ['an edge written wrongly', flow(start, '"go => b"'), 'document.edge-syntax', 'from -> to'],
    [
      'an edge into a trigger',
      flow(`${start}  b: { type: manual@1 }`, 'go -> b'),
      'document.unknown-port',
      'It is a trigger',
    ],
    [
      'an edge twice',
      flow(`${start}  a: { type: merge@1 }`, 'go -> a, go -> a'),
      'document.duplicate-edge',
      'Remove one',
    ],
    [
      'a cycle',
      flow(`${start}  a: { type: merge@1 }\n  b: { type: merge@1 }`, 'go -> a, a -> b, b -> a'),
      'document.cycle',
      'loop',
    ],
    [
      'a reference that is not upstream',
      flow(
        `${start}  a: { type: merge@1 }\n  b: { type: filter@1, config: { where: "{{ $('go').item.json.x }}" } }`,
        'go -> a, a -> b',
      ),
      'expression.not-upstream',
      '',
    ],
    [
      'a reference to nothing',
      flow(`${start}  b: { type: filter@1, config: { where: "{{ $('nope').item.json.x }}" } }`, 'go -> b'),
      'expression.unknown-node',
      '',
    ],
    ['no trigger', 'millrace: 1\nname: t\nnodes: {}\n', 'document.no-trigger', 'manual@1'],
    ['duplicate keys', `millrace: 1\nname: t\nname: u\nnodes: {}\n`, 'document.duplicate-key', 'Keep one'],
    [
      '__proto__ as a field',
      flow(`${start}  a: { type: set@1, config: { fields: { __proto__: { x: 1 } } } }`, 'go -> a'),
      'document.forbidden-name',
      'another field name',
    ],
    ['an alias', 'millrace: 1\nname: &n t\nnodes: { a: { type: *n } }\n', 'document.alias', 'Write the value out'],
    ['a second document', `${flow(start, '')}---\nmillrace: 1\n`, 'document.several', 'file of its own'],
    ['broken YAML', 'millrace: 1\nname: [t\n', 'document.syntax', 'Correct the YAML'],
    ['an unknown field', 'millrace: 1\nname: t\nnodes: {}\nnoodles: 1\n', 'document.unknown-field', 'Remove it'],
    ['another format', 'millrace: 2\nname: t\nnodes: {}\n', 'document.invalid', ''],
    [
      'a retry that cannot help',
      flow(`${start}  a: { type: merge@1, onError: { retry: {} } }`, 'go -> a'),
      'document.retry-without-attempt',
      'route',
    ],
    ...['filter@1, config: { where: true }', 'merge@1', 'aggregate@1', 'file.append@1, config: { path: a }'].map(
      (type): [string, string, string, string] => [
        `into on ${type}`,
        flow(`${start}  a: { into: merge, type: ${type} }`, 'go -> a'),
        'document.into-without-result',
        'such as set',
      ],
    ),
    [
      'into on a call',
      flow(`${start}  a: { type: call@1, into: merge, config: { workflow: nowhere.yaml } }`, 'go -> a'),
      'document.into-without-result',
      'nodes of the called workflow',
    ],
    ...['drop', 'stop', '{ retry: {} }'].map((onError): [string, string, string, string] => [
      `onError: ${onError} on a call`,
      flow(`${start}  a: { type: call@1, onError: ${onError}, config: { workflow: nowhere.yaml } }`, 'go -> a'),
      'call.on-error',
      'leaves this call by its port',
    ]),
    ...['drop', 'stop', '{ retry: {} }'].map((onError): [string, string, string, string] => [
      `onError: ${onError} on a trigger`,
      flow(`  go: { type: manual@1, onError: ${onError} }\n  a: { type: merge@1 }`, 'go -> a'),
      'document.on-error-of-trigger',
      'Write it on those nodes',
    ]),
    [
      'two lifetimes at one state',
      flow(`${start}  g: { type: generate@1 }\n  a: { type: aggregate@1 }`, 'go -> a, g -> a'),
      'state.two-lifetimes',
      'node of its own',
    ],
    [
      'a workflow that is not there',
      flow(`${start}  a: { type: call@1, config: { workflow: nowhere.yaml } }`, 'go -> a'),
      'call.unknown-workflow',
      'relative',
    ],
  ])('%s', (_name, text, code, remedy) => {
    const problem = problemsOf(text).find((each) => each.code === code)
    expect(problem, `${codes(text)}`).toBeDefined()
    expect(problem?.message).not.toBe('')
    expect(problem?.remedy).toContain(remedy)
    expect(problem?.remedy).toMatch(/\.$|\?$/)
  })

  test('all problems come at once, each with its place', () => {
    const text = flow(
      `${start}  a: { type: filter@1, config: { where: "{{ $json.x ++ }}" } }\n  b: { type: nothing@1 }\n  c: { type: split@1, config: { list: 1, elementsMax: 0 } }`,
      'go -> a, a -> b, b -> c, c -> nowhere',
    )
    const problems = problemsOf(text).filter((each) => each.severity === 'error')
    expect(problems.map((each) => each.place.node ?? each.place.field)).toEqual(expect.arrayContaining(['a', 'b', 'c']))
    expect(problems.length).toBeGreaterThanOrEqual(5)
    for (const each of problems) expect(each.place.line, each.code).toBeGreaterThan(0)
  })

  test.each([
    ['', 'document.empty', 1, 'the document is empty'],
    ['# to be written\n', 'document.empty', 1, 'the document is empty'],
    ['- a\n', 'document.invalid', 1, 'the document is a list'],
    [
      flow(`${start}  a: { type: merge@1, onError: retry }`, ''),
      'document.invalid',
      5,
      'onError is "retry": allowed are route, drop, stop, or { retry: { … } }',
    ],
    [
      flow(`${start}  a: { type: merge@1, onError: { retry: { attemptsMax: 0 } } }`, ''),
      'document.invalid',
      5,
      'attemptsMax is 0',
    ],
    [
      flow(`${start}  A: { type: merge@1 }`, ''),
      'document.invalid',
      5,
      'the name "A" is not allowed: a node id is a lower-case letter',
    ],
    [flow(start, '3'), 'document.invalid', 6, 'edges.0 is 3: an edge is a text such as `a -> b`'],
    [flow(start, '{ from: go }'), 'document.invalid', 6, 'to is missing'],
    [flow('  go: { label: x }', ''), 'document.invalid', 4, 'type is missing'],
  ])('what the form of a document forbids is told in words: %j', (text, code, line, message) => {
    expect(problemsOf(text)[0]).toMatchObject({ code, place: { line }, message: expect.stringContaining(message) })
  })

  test('what is wrong with the form of one part hides no problem of another, and brings no false ones', () => {
    const wrong = flow(
      `${start}  a: { type: filter@1, config: { where: true }, onError: retry }
  B: { type: merge@1 }
  c: { typ: merge@1 }
  d: { type: filter@1 }
  e: { type: nothing@1 }
  f: { type: filter@1, config: { where: "{{ $('d').item.json.x }}" } }`,
      'go -> a -> B -> c -> d -> e',
    )
    const told = (text: string) => problemsOf(text).map((each) => `${each.place.line} ${each.code}`)
    const ofNodes = [
      '5 document.invalid',
      '6 document.invalid',
      '7 document.invalid',
      '7 document.unknown-field',
      '8 config.missing',
      '9 document.unknown-node',
    ]
    expect(told(wrong.replace(']\n', ', d -> f, c -> zz]\n'))).toEqual([...ofNodes, '11 document.unknown-edge-end'])
    // What leads where cannot be said while an edge is not one.
    const broken = wrong.replace(']\n', ', d => f, 3]\n').replace('name: t', 'name: ""')
    expect(told(broken).toSorted()).toEqual(
      [...ofNodes, '2 document.invalid', '11 document.edge-syntax', '11 document.invalid'].toSorted(),
    )
  })

  test('a problem of an edge points at its line, also after a chain', () => {
    const text = `millrace: 1
name: t
nodes: { in: { type: manual@1 }, a: { type: merge@1 }, b: { type: merge@1 }, c: { type: merge@1 } }
edges:
  - in -> a -> b -> c
  - a -> zz
  - in -> b
  - in.nope -> c
`
    expect(problemsOf(text).map((each) => [each.code, each.place.line, each.place.field])).toEqual([
      ['document.unknown-edge-end', 6, 'edges.1'],
      ['document.unknown-port', 8, 'edges.3'],
    ])
  })

  test('a problem inside an expression points at the characters', () => {
    const text = flow(`${start}  a: { type: filter@1, config: { where: "{{ $json.a && foo($json.b) }}" } }`, 'go -> a')
    const range = problemsOf(text).find((each) => each.code.startsWith('expression.'))?.place.range
    expect(range && text.slice(range.start, range.end)).toMatch(/^foo/)
  })

  test('huge and deeply nested documents end in a problem, soon', () => {
    const begin = performance.now()
    expect(codes(`millrace: 1\nname: ${'x'.repeat(3_000_000)}`)).toEqual(['document.too-large'])
    expect(codes(`${'['.repeat(100_000)}`)).toEqual(['document.too-deep'])
    expect(codes(`a: ${'{ a: '.repeat(60_000)}`)).toEqual(['document.too-deep'])
    const nested = Array.from({ length: 300 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')
    expect(codes(nested)).toContain('document.too-deep')
    expect(performance.now() - begin).toBeLessThan(5_000)
  })

  test('five thousand nodes are planned', () => {
    const nodes = Array.from({ length: 4_998 }, (_, index) => `  n${index}: { type: merge@1 }`).join('\n')
    const edges = ['go -> n0', ...Array.from({ length: 4_997 }, (_, index) => `n${index} -> n${index + 1}`)].join(', ')
    expect(codes(flow(`${start}${nodes}`, edges))).toEqual([])
  })

  const inARow = (count: number, type: string): string =>
    flow(
      `  go: { type: test.source@1, config: { values: [{ n: 1 }] } }\n${Array.from({ length: count }, (_, index) => `  n${index}: { type: ${type} }`).join('\n')}\n  out: { type: test.collect@1, config: { as: out } }`,
      ['go', ...Array.from({ length: count }, (_, index) => `n${index}`)]
        .map((id, index) => `${id} -> ${index < count ? `n${index}` : 'out'}`)
        .join(', '),
    )

  test.each(['merge@1', 'filter@1, config: { where: "{{ $json.n > 0 }}" }'])(
    'two thousand in a row run: %s',
    async (type) => {
      const { collected, faults } = await runFlow(inARow(2_000, type), { types: catalogue.types })
      expect({ collected, faults }).toEqual({ collected: { out: [{ n: 1 }] }, faults: [] })
    },
  )

  test('as many stages in a row as the limit allows run, one more is a problem', async () => {
    const type = 'aggregate@1, config: { count: 1 }'
    const { outcome, collected } = await runFlow(inARow(98, type), { types: catalogue.types })
    expect({ outcome, given: collected.out?.length }).toMatchObject({ outcome: { state: 'done' }, given: 1 })
    await expect(runFlow(inARow(99, type), { types: catalogue.types })).rejects.toThrow(
      /error out: out stands behind 100 stages.*two workflows.*document\.chain-too-long/,
    )
  })

  test('the prototype of objects stays as it is', () => {
    codes(`{"millrace":1,"name":"t","nodes":{"__proto__":{"polluted":true}}}`)
    expect(Reflect.get({}, 'polluted')).toBeUndefined()
  })
})
