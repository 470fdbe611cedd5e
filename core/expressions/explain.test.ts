// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the expressions under test are texts
import { expect, test } from 'vitest'
import { describeIr } from './describe.ts'
import { explainFailure } from './explain.ts'
import { parsed, testInput } from './testing.ts'

const json = { user: { name: null }, items: [{ a: { b: 1 } }, {}], n: 5, text: 'five' }

test.each([
  [
    '{{ $json.user.address.city }}',
    '$json.user.address is undefined, so $json.user.address.city cannot be read. Write $json.user.address?.city if it may be missing.',
  ],
  [
    '{{ $json.user.name.trim() + 1 }}',
    '$json.user.name is null, which has no method trim. Write $json.user.name?.trim() if it may be missing.',
  ],
  ['{{ $json.n.trim() }}', '$json.n is a number, which has no method trim.'],
  [
    '{{ $json.list[0] }}',
    '$json.list is undefined, so $json.list[0] cannot be read. Write $json.list?.[0] if it may be missing.',
  ],
  [
    '{{ $json.items.map((item) => item.a.b) }}',
    'item.a is undefined, so item.a.b cannot be read. Write item.a?.b if it may be missing.',
  ],
  ['{{ (null).a }}', 'null has no fields.'],
  ['{{ undefined.trim() }}', 'undefined has no method trim.'],
  [
    '{{ ($json.n ? null : 1).b }}',
    '$json.n ? null : 1 is null, so ($json.n ? null : 1).b cannot be read. Write ($json.n ? null : 1)?.b if it may be missing.',
  ],
  ['{{ $json.text.toNumber() }}', '$json.text is a text that is not a number.'],
  ['Hi {{ $json.x.y }}', '$json.x is undefined, so $json.x.y cannot be read. Write $json.x?.y if it may be missing.'],
])('%s', (text, sentence) => {
  expect(explainFailure(parsed(text).ir, testInput(json))).toBe(sentence)
})

test('nothing is said about what does not fail, or fails for another reason', () => {
  expect(explainFailure(parsed('{{ $json.n }}').ir, testInput(json))).toBeNull()
  expect(explainFailure(parsed("{{ 'x'.repeat(1e9) }}").ir, testInput(json))).toBeNull()
})

test.each([
  '{{ $json.a?.b["c d"][0].map((x, y) => x.a + (y * 2)) }}',
  '{{ { a: 1, [$json.k]: [...$json.l, -1], ...$json.m } }}',
  '{{ [(-$json.a).abs(), (5).toFixed(2), ($json.a + 1).round(), ({ a: 1 }).a] }}',
  '{{ $json.a ? typeof $json.b === "x" : /a+/g.test(`<${$json.c}>`) }}',
])('describeIr writes what was written: %s', (text) => {
  expect(`{{ ${describeIr(parsed(text).ir)} }}`).toBe(text)
})
