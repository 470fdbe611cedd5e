import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { dateFunctions } from './date-methods.ts'
import { methodTables } from './dispatch.ts'
import { compileExpression, evaluate } from './evaluate.ts'
import { functionCalls } from './function-calls.ts'
import { functions } from './functions.ts'
import { languageTables } from './language-tables.ts'
import { methods } from './methods.ts'
import { forbiddenNames } from './names.ts'
import { bothWays, ending, parsed, testInput } from './testing.ts'

describe('the list of methods', () => {
  test('is what the run time has, receiver by receiver', () => {
    const listed = methods.flatMap((spec) => spec.on.map((kind) => `${kind}.${spec.name}`)).sort()
    const made = Object.entries(methodTables).flatMap(([kind, table]) =>
      Object.keys(table).map((name) => `${kind}.${name}`),
    )
    expect(made.sort()).toEqual(listed)
    expect(new Set(methods.map((spec) => spec.name)).size).toBe(methods.length)
  })
  test('and so is the list of functions; Date.now alone is the batch itself', () => {
    const made = [...Object.keys(functionCalls), ...Object.keys(dateFunctions), 'Date.now']
    expect(made.sort()).toEqual(functions.map((spec) => spec.name).sort())
  })
  test('holds no name that leads to a prototype', () => {
    expect(methods.filter((spec) => forbiddenNames.has(spec.name))).toEqual([])
  })
  test('the example on the page has no problems and gives what it says', async () => {
    const page = await readFile(new URL('../../docs/expressions.md', import.meta.url), 'utf8')
    const example = [...(/```yaml\n(.*?)```/s.exec(page)?.[1] ?? '').matchAll(/"(.*\{\{.*)"/g)].map(
      (found) => found[1] ?? '',
    )
    const input: unknown = JSON.parse(/--input '(.*)'/.exec(page)?.[1] ?? '')
    const values = example.map((text) => compileExpression(parsed(text))(testInput(input)))
    expect(values).toEqual([true, 'ADA', 6, 'a1', '2024-05-01', expect.stringMatching(/^Order 7 of 2023-11-1[45]$/)])
  })
  test('docs/expressions.md shows it as it is', async () => {
    const page = await readFile(new URL('../../docs/expressions.md', import.meta.url), 'utf8')
    expect(
      page.includes(languageTables()),
      'replace the tables in docs/expressions.md by what languageTables() answers',
    ).toBe(true)
  })
})

test.each([
  ['{{ [1, 2].chunk(0) }}', 'chunk needs a size of 1 or more, not 0.'],
  ['{{ [1, 2].chunk("two") }}', 'chunk needs a size of 1 or more, not "two".'],
  ['{{ (1.5).toFixed(101) }}', 'toFixed needs 0 to 100 digits, not 101.'],
  ['{{ (1.5).toPrecision(0) }}', 'toPrecision needs 1 to 100 digits, not 0.'],
  ['{{ (1.5).toExponential(-1) }}', 'toExponential needs 0 to 100 digits, not -1.'],
  ['{{ (15).toString(1) }}', 'toString needs a base from 2 to 36, not 1.'],
  ['{{ "a".normalize("NFX") }}', 'normalize needs NFC, NFD, NFKC or NFKD, not "NFX".'],
  ['{{ "a".localeCompare("b", 5) }}', 'localeCompare needs a language such as "de-DE", not 5.'],
  ['{{ decodeURIComponent("%C3%A9-%C3%28") }}', 'decodeURIComponent cannot read "%C3%28": that encodes no character.'],
  ['{{ decodeURI("50%") }}', 'decodeURI cannot read "%": that encodes no character.'],
  [
    '{{ encodeURIComponent("\\ud83d") }}',
    'Half a character (a lone UTF-16 surrogate) has no encoding; cut texts between characters.',
  ],
  ['{{ Array.from(null) }}', 'Array.from needs a list, a text or { length: 3 }, not null.'],
  ['{{ Object.keys($json.none) }}', 'undefined has no fields to list.'],
  ['{{ DateTime.fromISO(5) }}', 'DateTime.fromISO needs a text, not a number.'],
  ['{{ $now.diff({}) }}', 'diff needs a date, milliseconds or ISO text, not an object.'],
  ['{{ $now.startOf(5) }}', /; this is 5\.$/],
])('%s fails with a message that shows the value', (text, message) => {
  const { ir, text: compiled } = bothWays(parsed(text), testInput({}))
  expect(compiled).toMatchObject({ message: typeof message === 'string' ? message : expect.stringMatching(message) })
  expect(ir).toEqual(compiled)
})

describe('methods of the language itself', () => {
  const json = {
    list: [3, 1, 2, 3],
    rows: [{ id: 1, tag: 'a' }, { id: 2, tag: 'b' }, { id: 3, tag: 'a' }, null],
    date: new Date(0),
    at: '2024-01-31T12:00:00Z',
  }
  const cases: readonly (readonly [text: string, value: unknown])[] = [
    ['{{ [$json.list.first(), $json.list.last(), $json.list.sum(), $json.list.average()] }}', [3, 3, 9, 2.25]],
    [
      '{{ [$json.list.min(), $json.list.max(), $json.list.unique(), $json.list.chunk(3)] }}',
      [1, 3, [3, 1, 2], [[3, 1, 2], [3]]],
    ],
    ['{{ [$json.rows.pluck("tag"), ["", null, 0].compact()] }}', [['a', 'b', 'a'], [0]]],
    [
      '{{ [[].isEmpty(), "".isEmpty(), {}.isEmpty(), $json.list.isNotEmpty(), "a".isNotEmpty(), $json.isNotEmpty()] }}',
      [true, true, true, true, true, true],
    ],
    [
      '{{ ["the mill race".toTitleCase(), "12.5".toNumber(), (1.256).round(2), (1.5).floor(), (1.5).ceil(), (-1).abs()] }}',
      ['The Mill Race', 12.5, 1.26, 1, 2, 1],
    ],
    ['{{ [(1e307).round(2), (1e21).round(2), (1234.5).round(400), (0).round(400)] }}', [1e307, 1e21, 1234.5, 0]],
    [
      '{{ [(9007199254740993).round(3), (-4503599627370495.5).round(), (3.3000000000000003).round(1)] }}',
      [9007199254740992, -4503599627370495, 3.3],
    ],
    [
      '{{ [(1234.5).round(-2), (350).round(-2), (1e21).round(-2), (1234).round(-400), (2.7).round("x")] }}',
      [1200, 400, 1e21, 0, 3],
    ],
    ['{{ Object.groupBy($json.list, (x) => x > 1 ? "big" : "small") }}', { big: [3, 2, 3], small: [1] }],
    ['{{ Array.from({ length: 3 }, (x, i) => i * 2) }}', [0, 2, 4]],
    ['{{ [1, 2, 3].reduceRight((all, x, i) => all + x + ":" + i + " ", "") }}', '3:2 2:1 1:0 '],
    ['{{ [1, 2, 3].toSpliced(1, 1, "a", "b") }}', [1, 'a', 'b', 3]],
    ['{{ $json.date.toISOString() + $json.date.getUTCFullYear() }}', '1970-01-01T00:00:00.000Z1970'],
    ['{{ $json.date.toDateTime().toUTC().toISODate() }}', '1970-01-01'],
    ['{{ $json.at.toDateTime().toUTC().plus({ months: 1 }).toISODate() }}', '2024-02-29'],
    ['{{ $json.at.toDateTime().toUTC().endOf("month").toFormat("yyyy-MM-dd HH:mm") }}', '2024-01-31 23:59'],
    ['{{ $json.at.toDateTime().diff(DateTime.fromISO("2024-01-30T12:00:00Z"), "hours").as("days") }}', 1],
    ['{{ $json.at.toDateTime().setZone("Europe/Berlin").hour }}', 13],
    [
      '{{ $json.at.toDateTime().setZone("utc").toLocaleString("en-GB", { month: "long", day: "numeric" }) }}',
      '31 January',
    ],
    [
      '{{ $json.at.toDateTime().toUTC().toLocaleString({ month: "long", day: "numeric" }, { locale: "fr" }) }}',
      '31 janvier',
    ],
    ['{{ $json.at.toDateTime().equals($json.at) }}', true],
    ['{{ DateTime.fromISO($json.at) > DateTime.fromISO("2023-01-01") }}', true],
    ['{{ Duration.fromISO("PT90M").shiftTo("hours", "minutes").toObject() }}', { hours: 1, minutes: 30 }],
    ['{{ "a-b".replace("-", "$&$&") + "aXbX".replaceAll("X", ".") }}', 'a--ba.b.'],
    ['{{ "k=v; q=w".matchAll(/(\\w)=(\\w)/g).map((found) => found[1] + found[2]) }}', ['kv', 'qw']],
    ['{{ "abc".substr(-2, 1) }}', 'b'],
  ]
  test.each(cases)('%s', (text, value) => {
    const expression = parsed(text)
    expect(compileExpression(expression)(testInput(json))).toEqual(value)
    expect(evaluate(expression.ir, testInput(json))).toEqual(value)
  })

  test.each([
    ['{{ "x".toNumber() }}', 'TypeError'],
    ['{{ $now.startOf("fortnight") }}', 'TypeError'],
    ['{{ $now.plus("a day") }}', 'TypeError'],
    ['{{ DateTime.fromISO(5) }}', 'TypeError'],
    ['{{ $json.list.trim() }}', 'TypeError'],
    ['{{ "".repeat(1e999) }}', 'RangeError'],
    ['{{ "a".localeCompare("b", [1e999]) }}', 'TypeError'],
    ['{{ "a".localeCompare("b", null) }}', 'TypeError'],
    ['{{ $json.list.push }}', undefined],
    ['{{ "a".repeat(2000000) }}', 'expression.too-large'],
    ['{{ $json.rows.map((row) => row.id) }}', 'TypeError'],
  ])('%s fails with %s', (text, error) => {
    const end = ending(() => compileExpression(parsed(text))(testInput(json)))
    expect('error' in end ? end.error : end.value).toBe(error)
  })
})
