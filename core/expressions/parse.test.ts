// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the expressions under test are texts
import { describe, expect, test } from 'vitest'
import { compileExpression, evaluate } from './evaluate.ts'
import { containsExpression, parseExpression } from './parse.ts'
import { parsed, problemsOf, testInput, testScope } from './testing.ts'

const json = {
  user: { name: 'Ann', link: 'home', 'e-mail': 'ann@example.org' },
  items: [
    { price: 2, count: 3, tags: ['x', 'y'] },
    { price: 4, count: 1, tags: [] },
  ],
  text: ' a-b-c ',
  bytes: new Uint8Array([97, 98]),
  when: '2024-05-01T10:00:00Z',
  nothing: null,
}

function value(text: string, meta: Readonly<Record<string, unknown>> | null = null): unknown {
  const expression = parsed(text)
  const input = testInput(json, meta)
  const compiled = compileExpression(expression)(input)
  expect(evaluate(expression.ir, input)).toEqual(compiled)
  return compiled
}

describe('values', () => {
  const cases: readonly (readonly [text: string, value: unknown])[] = [
    ['{{ $json.user.name }}', 'Ann'],
    ['{{ $json["user"][`name`] }}', 'Ann'],
    ['{{ $json.user["e-mail"] }}', 'ann@example.org'],
    ['{{ $json.items[1].price }}', 4],
    ['{{ $json.items.length }}', 2],
    ['{{ $json.missing }}', undefined],
    ['{{ $json.user.link }}', 'home'],
    ['{{ $json.user.map }}', undefined],
    ['{{ $json.items.map }}', undefined],
    ['{{ $json.missing?.a.b[0].map((x) => x) }}', undefined],
    ['{{ $json.nothing?.[$json.missing.boom] }}', undefined],
    ['{{ ($json.missing?.a)?.b ?? "none" }}', 'none'],
    ["{{ $json.user.name.toUpperCase() + ' ' + $json.items.length }}", 'ANN 2'],
    ['{{ $json.items.map((item) => item.price * item.count).reduce((a, b) => a + b, 0) }}', 10],
    ['{{ $json.items.map((item, index) => index) }}', [0, 1]],
    ['{{ $json.items.flatMap(({ tags }) => tags).join("/") }}', 'x/y'],
    ["{{ Object.entries($json.user).map(([k, v]) => k + '=' + v)[0] }}", 'name=Ann'],
    ['{{ $json.items.filter((a) => $json.items.some((b) => b.price > a.price)).length }}', 1],
    ['{{ [3, 1, 2].sort((a, b) => a - b) }}', [1, 2, 3]],
    ['{{ ["1", "x", ""].map(Number).filter(Boolean).length }}', 1],
    [
      '{{ { ...$json.items[0], total: 6, ["k" + 1]: [...$json.items[0].tags, 1] } }}',
      {
        price: 2,
        count: 3,
        tags: ['x', 'y'],
        total: 6,
        k1: ['x', 'y', 1],
      },
    ],
    ['{{ `${$json.user.name}:${1 + 1}:${null}` }}', 'Ann:2:null'],
    ['{{ typeof $json.missing === "undefined" && !$json.nothing }}', true],
    ['{{ $json.items.length > 1 ? "many" : "few" }}', 'many'],
    ['{{ 2 ** 3 % 5 + (7 >> 1) - -1 }}', 7],
    ['{{ "name" in $json.user && !("toString" in $json.user) }}', true],
    ['{{ $json.text.trim().split("-").reverse() }}', ['c', 'b', 'a']],
    ['{{ $json.text.replace(/\\s+/g, "") }}', 'a-b-c'],
    ['{{ /^ a/.test($json.text) }}', true],
    ['{{ "x1y22".match(/\\d+/g) }}', ['1', '22']],
    ['{{ JSON.parse(JSON.stringify($json.user)).name }}', 'Ann'],
    ['{{ JSON.stringify([$json.bytes], null, 1) + JSON.stringify($json.bytes) }}', '[\n "YWI="\n]"YWI="'],
    ['{{ JSON.stringify({ at: $now.toUTC(), b: $json.bytes }) }}', '{"at":"2023-11-14T22:13:20.000Z","b":"YWI="}'],
    ['it is {{ { bytes: $json.bytes } }} {{ $json.bytes }}', 'it is {"bytes":"YWI="} ab'],
    ['{{ Math.max(...$json.items.map((item) => item.price)) + Math.PI - Math.PI }}', 4],
    ['{{ [NaN, Infinity, undefined, 1e999].length }}', 4],
    ['{{ $if($json.nothing, 1, 2) + $max(3, 4) + $min(5, 6) }}', 11],
    ['{{ $ifEmpty($json.nothing, "x") + $ifEmpty("", "y") + $ifEmpty("z", "") }}', 'xyz'],
    ['{{ $vars.rate * 2 + $env.REGION }}', '4eu'],
    ['{{ $env.NOT_THERE }}', undefined],
    ['{{ $execution.id + $execution.mode + $workflow.id + $workflow.name + $workflow.version }}', 'x-1manualw-1Test3'],
    ['{{ $key }}', 'key-1'],
    ['{{ $meta.trace }}', undefined],
    ['{{ $request?.method }}', undefined],
    ['{{ $now.toUTC().toISO() }}', '2023-11-14T22:13:20.000Z'],
    ['{{ Date.now() - $now.toMillis() }}', 0],
    ['{{ DateTime.now() - $now }}', 0],
    ['{{ $now.setZone("utc").startOf("day").plus({ days: 1 }).toISODate() }}', '2023-11-15'],
    ['{{ $today.hasSame($now, "day") }}', true],
    ['{{ DateTime.fromISO($json.when).diff(DateTime.fromISO("2024-04-30T10:00:00Z"), "hours").hours }}', 24],
    ['{{ { at: DateTime.fromMillis(0, { zone: "utc" }) } }}', { at: '1970-01-01T00:00:00.000Z' }],
    ['{{ [1].map(() => DateTime.fromMillis(0).toUTC()) }}', ['1970-01-01T00:00:00.000Z']],
    ['{{ Duration.fromObject({ hours: 1 }) }}', 'PT1H'],
  ]
  test.each(cases)('%s', (text, expected) => {
    expect(value(text)).toEqual(expected)
  })

  test('the request and other meta of the message', () => {
    const meta = { request: { method: 'POST', headers: { a: '1' } }, trace: 't' }
    expect(value('{{ $request.method + $request.headers.a + $meta.trace }}', meta)).toBe('POST1t')
  })

  test('a value that is changed by nothing: sort, reverse and fill answer a copy', () => {
    const list = Object.freeze([3, 1, 2])
    const expression = parsed('{{ [$json.sort(), $json.reverse(), $json.fill(0)] }}')
    expect(compileExpression(expression)(testInput(list))).toEqual([
      [1, 2, 3],
      [2, 1, 3],
      [0, 0, 0],
    ])
  })
})

describe('mixed text', () => {
  test('one expression alone keeps its type, also with white space around it', () => {
    expect(value('{{ $json.items[0].price }}')).toBe(2)
    expect(value('  {{ $json.items[0].price }}\n')).toBe(2)
  })
  test('more than one, or text around it, makes text', () => {
    expect(value('{{ 1 }}{{ 2 }}')).toBe('12')
    expect(value('{{ 1 }} {{ 2 }}')).toBe('1 2')
    expect(value('n={{ $json.items[0].price }}')).toBe('n=2')
  })
  test('null and undefined become nothing, objects JSON, dates ISO text', () => {
    expect(value('<{{ null }}{{ undefined }}{{ $json.missing }}>')).toBe('<>')
    expect(value('{{ {a: [1]} }}!')).toBe('{"a":[1]}!')
    expect(value('at {{ DateTime.fromMillis(0).toUTC() }}')).toBe('at 1970-01-01T00:00:00.000Z')
  })
  test('braces inside texts, objects, templates, comments and patterns do not end an expression', () => {
    expect(value("{{ '}}' }}")).toBe('}}')
    expect(value('{{ {a:{b:1}}}}')).toEqual({ a: { b: 1 } })
    expect(value('{{ `${ `}}` }` }}')).toBe('}}')
    expect(value('{{ 1 /* }} */ }}')).toBe(1)
    expect(value('{{ "a}}b".split(/}}/) }} }}')).toBe('["a","b"] }}')
  })
  test('parentheses may stand around the whole', () => {
    expect(value('{{ (1 + 2) }}')).toBe(3)
    expect(value('{{ ({ a: { b: 1 } }) }}')).toEqual({ a: { b: 1 } })
    expect(value('n={{ ( /* ) */ ((")")) /* ( */ ) }}')).toBe('n=)')
    expect(problemsOf('{{ (1)) }}').map((each) => each.message)).toEqual(['Unexpected ")" after the expression.'])
    expect(problemsOf('{{ (1, 2) }}').map((each) => each.code)).toEqual(['expression.not-allowed'])
  })
  test('containsExpression', () => {
    expect(containsExpression('{{ 1 }}')).toBe(true)
    expect(containsExpression('{ 1 } }}')).toBe(false)
  })
})

describe('other nodes', () => {
  test.each([
    "{{ $('a').item.json.user.name }}",
    "{{ $('Node A').first().json.user.name }}",
    "{{ $('Node A').last().json['user'].name }}",
    '{{ $node["Node A"].json.user.name }}',
    '{{ $node.a.json.user.name }}',
    '{{ $input.item.json.user.name }}',
    '{{ $input.first().json.user.name }}',
    '{{ $input.last().json.user.name }}',
  ])('%s is the value of the message', (text) => {
    expect(value(text)).toBe('Ann')
    expect(parsed(text).ir).toEqual(parsed('{{ $json.user.name }}').ir)
  })

  test('a node that is not directly before, none at all, and one of several', () => {
    expect(problemsOf("{{ $('Far away').item.json.x }}")).toMatchObject([
      { code: 'expression.not-upstream', place: { range: { start: 3, end: 26 } } },
    ])
    expect(problemsOf("{{ $('Node B').item.json.x }}")).toMatchObject([
      { code: 'expression.unknown-node', remedy: 'Did you mean Node A?' },
    ])
    const two = { ...testScope, upstream: testScope.nodes }
    expect(problemsOf("{{ $('a').item.json.x }}", two)).toMatchObject([
      { code: 'expression.several-upstream', remedy: expect.stringContaining('$json') },
    ])
    expect(problemsOf('{{ $input.item.json.x }}', two)).toEqual([])
  })

  test.each([
    '{{ $input.all() }}',
    "{{ $('a').all()[0].json }}",
    '{{ $input.item }}',
    "{{ $('a') }}",
    "{{ $('a').params }}",
  ])('%s is a problem with a remedy', (text) => {
    expect(problemsOf(text)[0]).toMatchObject({
      code: 'expression.not-allowed',
      remedy: expect.stringMatching(/\$json|json/),
    })
  })
})

describe('problems', () => {
  /** Each problem with the piece of the text that its range covers. */
  function found(text: string): readonly (readonly [code: string, piece: string])[] {
    return problemsOf(text).map((each) => {
      const range = each.place.range ?? { start: 0, end: 0 }
      expect(each.message).toMatch(/\.$/)
      expect(each.remedy).toMatch(/[.?]$/)
      return [each.code, text.slice(range.start, range.end)] as const
    })
  }

  const cases: readonly (readonly [text: string, ...problems: (readonly [code: string, piece: string])[]])[] = [
    ['a {{ foo }} b', ['expression.unknown-name', 'foo']],
    ['{{ $jsn.a }}', ['expression.unknown-name', '$jsn']],
    ['{{ $json.a.foo(1) }}', ['expression.unknown-method', 'foo']],
    ['{{ Math.foo(1) }}', ['expression.unknown-function', 'Math.foo']],
    ['{{ Math.random() }}', ['expression.unknown-function', 'Math.random']],
    ['{{ $execution.resumeUrl }}', ['expression.unknown-name', 'resumeUrl']],
    ['{{ $env }}', ['expression.not-allowed', '$env']],
    ['{{ $env[$json.name] }}', ['expression.not-allowed', '$env']],
    ['{{ Math }}', ['expression.not-allowed', 'Math']],
    ['{{ new Date() }}', ['expression.not-allowed', 'new Date()']],
    ['{{ $json.a = 1 }}', ['expression.not-allowed', '$json.a = 1']],
    ['{{ delete $json.a }}', ['expression.not-allowed', 'delete $json.a']],
    ['{{ $json.list.push(1) }}', ['expression.unknown-method', 'push']],
    ['{{ $json.list.map($json.f) }}', ['expression.not-allowed', '$json.f']],
    ['{{ $json.list.map((x) => { return x }) }}', ['expression.not-allowed', '{ return x }']],
    ['{{ $json.list.map((x = 1) => x) }}', ['expression.not-allowed', 'x = 1']],
    ['{{ $json.a.trim(1, 2) }}', ['expression.arguments', '$json.a.trim(1, 2)']],
    ['{{ $json.a.match("x") }}', ['expression.regex', '"x"']],
    ['{{ /a/ }}', ['expression.regex', '/a/']],
    ['{{ [1,,2] }}', ['expression.not-allowed', '[1,,2]']],
    ['{{ 1n }}', ['expression.not-allowed', '1n']],
    ['{{ $json.a?.() }}', ['expression.not-allowed', '$json.a?.()']],
    ['{{ }}', ['expression.syntax', '{{ }}']],
    ['x {{ 1', ['expression.syntax', '{{ 1']],
    ['{{ 1 2 }}', ['expression.syntax', '2 ']],
    ['{{ $json.a; }}', ['expression.syntax', '; ']],
    ['{{ $json. }} and {{ foo }}', ['expression.syntax', '}'], ['expression.unknown-name', 'foo']],
    [
      '{{ foo + $json.a.bar() }} {{ $json.constructor }}',
      ['expression.unknown-name', 'foo'],
      ['expression.unknown-method', 'bar'],
      ['expression.forbidden-name', 'constructor'],
    ],
  ]
  for (const [text, ...problems] of cases) test(text, () => expect(found(text)).toEqual(problems))

  test('limits', () => {
    expect(problemsOf(`{{ '${'x'.repeat(10_001)}' }}`)).toMatchObject([{ code: 'expression.too-long' }])
    expect(problemsOf('x'.repeat(1_000_001))).toMatchObject([{ code: 'expression.too-long' }])
    expect(problemsOf('{{1}}'.repeat(1_001))).toMatchObject([{ code: 'expression.too-long' }])
    expect(problemsOf(`{{ ${'['.repeat(150)}${']'.repeat(150)} }}`)).toMatchObject([{ code: 'expression.too-deep' }])
    expect(problemsOf(`{{ ${'('.repeat(4_900)}1${')'.repeat(4_900)} }}`)).toMatchObject([
      { code: 'expression.too-deep' },
    ])
    expect(problemsOf(`{{ ${'!'.repeat(9_000)}1 }}`)).toMatchObject([{ code: 'expression.too-deep' }])
    expect(problemsOf(`{{ ${'['.repeat(90)}${']'.repeat(90)} }}`)).toEqual([])
  })

  test('foreign names say what to write instead', () => {
    expect(problemsOf('{{ $itemIndex }}')[0]?.remedy).toMatch(/stateful/)
    expect(problemsOf('{{ $jmespath($json, "a") }}')[0]?.remedy).toMatch(/map, filter/)
  })
})

describe('what is known about an expression', () => {
  test('roots and names that it reads', () => {
    const expression = parsed('{{ $vars.b + $vars.a + $env.REGION }} {{ $json.x }} {{ $vars[$json.y] }}')
    expect(expression).toMatchObject({
      roots: ['env', 'json', 'vars'],
      envNames: ['REGION'],
      varNames: ['*', 'a', 'b'],
    })
  })
  test('a pure path', () => {
    for (const text of ['{{ $json.a.b[0] }}', '{{ $json }}', '{{ $json?.a?.b }}', '{{ $vars.x }}'])
      expect(parsed(text).pure).toBe(true)
    for (const text of [
      '{{ $json.a + 1 }}',
      '{{ $json.a[$json.b] }}',
      '{{ $now }}',
      'x {{ $json.a }}',
      '{{ $json.a.trim() }}',
    ])
      expect(parsed(text).pure).toBe(false)
  })
  test('the IR is JSON and runs after a round trip', () => {
    const expression = parsed('{{ [1e999, NaN].concat($json.items.map((i) => i.price)).at(-1) + `${/a/g.test("a")}` }}')
    const stored: unknown = JSON.parse(JSON.stringify(expression))
    expect(stored).toEqual(expression)
    expect(compileExpression(expression)(testInput(json))).toBe('4true')
  })
  test('the result of parsing is a value or all problems', () => {
    expect(parseExpression('{{ 1 }}', testScope)).toMatchObject({ ok: true, warnings: [] })
  })
})
