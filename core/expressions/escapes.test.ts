// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the expressions under test are texts
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compileExpression, evaluate } from './evaluate.ts'
import { parseExpression } from './parse.ts'
import { ending, testInput, testScope } from './testing.ts'

/*
 * Ways out of expression languages, those published for n8n and others, and ways to hang one. Each must end in a problem
 * (the code is given) or in a clean error or harmless value at run time (`clean`), in bounded time, compiled and interpreted.
 */
const escapes: readonly (readonly [text: string, outcome: string])[] = [
  // Functions and constructors
  [
    "{{ (function(){ return this.process.mainModule.require('child_process').execSync('id') })() }}",
    'expression.not-allowed',
  ],
  ["{{ (() => process.mainModule.require('child_process').execSync('id').toString())() }}", 'expression.not-allowed'],
  ["{{ $json.constructor.constructor('return process')() }}", 'expression.forbidden-name'],
  ["{{ ''.constructor.constructor('return process')() }}", 'expression.forbidden-name'],
  ["{{ [].concat.constructor('return this')() }}", 'expression.forbidden-name'],
  ["{{ [].map((x) => x)['constructor'] }}", 'expression.forbidden-name'],
  ['{{ (1)[`constructor`] }}', 'expression.forbidden-name'],
  ["{{ $json['con' + 'structor']['con' + 'structor']('return process')() }}", 'expression.not-allowed'],
  ["{{ $json['con' + 'structor'] }}", 'clean'],
  ["{{ $json[['constructor']] }}", 'clean'],
  ["{{ $json[[['__proto__']]] }}", 'clean'],
  ["{{ $json['__pro'.concat('to__')] }}", 'clean'],
  ["{{ $json[`${'__proto'}__`] }}", 'clean'],
  ["{{ $json[{ toString: 'constructor' }] }}", 'clean'],
  ["{{ $json[{ toString: () => 'constructor' }] }}", 'expression.not-allowed'],
  ["{{ $json[{ valueOf: () => 'constructor', toString: null }] }}", 'expression.not-allowed'],
  ["{{ $json[{ [Symbol.toPrimitive]: () => 'constructor' }] }}", 'expression.unknown-name'],
  ['{{ $json[$json.keyObject] }}', 'clean'],
  ['{{ $json[String.fromCharCode(99, 111, 110, 115, 116, 114, 117, 99, 116, 111, 114)] }}', 'clean'],
  ["{{ $json['constructo' + ['r'].join('')] }}", 'clean'],
  ["{{ ['constructor'].map((name) => $json[name]) }}", 'clean'],
  ["{{ ['__proto__'].map((name) => ({ ...$json })[name]) }}", 'clean'],
  ["{{ ['constructor'].map((name) => ((x) => x)[name]) }}", 'expression.not-allowed'],
  ['{{ [[]].map(({ constructor: c }) => c) }}', 'expression.forbidden-name'],
  ["{{ [[]].map(({ ['constructor']: c }) => c) }}", 'expression.not-allowed'],
  ['{{ [[]].map(({ a: { constructor } }) => constructor) }}', 'expression.not-allowed'],
  ['{{ [1].map((x = this) => x) }}', 'expression.not-allowed'],
  ["{{ [1].map((x, y = Function('return this')()) => y) }}", 'expression.not-allowed'],
  ['{{ [1].map((...all) => all) }}', 'expression.not-allowed'],
  ['{{ $json.\\u0063onstructor }}', 'expression.forbidden-name'],
  ['{{ $json["\\x63onstructor"] }}', 'expression.forbidden-name'],
  ['{{ $json?.constructor?.constructor?.("return this") }}', 'expression.not-allowed'],
  ['{{ $json.items?.map?.call?.($json) }}', 'expression.not-allowed'],
  ["{{ ''.sub.call.call({}['toString'], 'x') }}", 'expression.unknown-method'],
  ["{{ ''.sub.constructor }}", 'expression.forbidden-name'],
  ["{{ 'x'.at.apply('y') }}", 'expression.unknown-method'],
  ['{{ [].filter.bind([], $json) }}', 'expression.unknown-method'],
  ['{{ $json.items.map.name }}', 'clean'],
  ['{{ $json.items.map === undefined }}', 'clean'],
  ['{{ $json.items.map(alert) }}', 'expression.not-allowed'],
  ['{{ $json.items.map(eval) }}', 'expression.not-allowed'],
  ['{{ [1].map(() => this) }}', 'expression.not-allowed'],
  ['{{ [1].map(() => arguments) }}', 'expression.unknown-name'],
  ['{{ [1].map(() => new.target) }}', 'expression.syntax'],
  ['{{ [1].map(async () => 1) }}', 'expression.not-allowed'],
  ['{{ [1].map(function () { return this }) }}', 'expression.not-allowed'],
  ['{{ this }}', 'expression.not-allowed'],
  ['{{ this.constructor }}', 'expression.not-allowed'],
  ["{{ new Function('return process')() }}", 'expression.not-allowed'],
  ["{{ Function('return process')() }}", 'expression.unknown-name'],
  ["{{ eval('1') }}", 'expression.unknown-name'],
  ["{{ setTimeout('1') }}", 'expression.unknown-name'],
  ['{{ globalThis }}', 'expression.unknown-name'],
  ['{{ process.env }}', 'expression.unknown-name'],
  ["{{ require('fs') }}", 'expression.unknown-name'],
  ["{{ import('node:fs') }}", 'expression.not-allowed'],
  ['{{ import.meta }}', 'expression.syntax'],
  ['{{ window.location }}', 'expression.unknown-name'],
  ['{{ Buffer.from("x") }}', 'expression.unknown-name'],
  ['{{ input }}', 'expression.unknown-name'],
  ['{{ env }}', 'expression.unknown-name'],
  ['{{ c0 }}', 'expression.unknown-name'],
  ['{{ $p0 }}', 'expression.unknown-name'],
  // Prototypes and properties
  ['{{ $json.__proto__ }}', 'expression.forbidden-name'],
  ['{{ $json.items.__proto__.polluted }}', 'expression.forbidden-name'],
  ['{{ $json.prototype }}', 'expression.forbidden-name'],
  ['{{ { __proto__: { polluted: 1 } } }}', 'expression.forbidden-name'],
  ['{{ { "__proto__": { polluted: 1 } } }}', 'expression.forbidden-name'],
  ['{{ { ["__proto__"]: { polluted: 1 } } }}', 'expression.forbidden-name'],
  ['{{ { ["__pro" + "to__"]: { polluted: 1 } } }}', 'clean'],
  ['{{ Object.assign({}, JSON.parse(\'{"__proto__":{"polluted":1}}\')) }}', 'clean'],
  ['{{ ({ ...JSON.parse(\'{"__proto__":{"polluted":1}}\') }).polluted }}', 'clean'],
  ['{{ Object.fromEntries([["__proto__", { polluted: 1 }]]) }}', 'clean'],
  ['{{ Object.groupBy([1], () => "__proto__") }}', 'clean'],
  ['{{ [$json].pluck("__proto__") }}', 'clean'],
  ['{{ "__proto__" in $json || "constructor" in $json }}', 'clean'],
  ['{{ $json.hasOwnProperty("__proto__") }}', 'clean'],
  ['{{ Object.prototype.polluted = 1 }}', 'expression.not-allowed'],
  ['{{ Object.prototype }}', 'expression.not-allowed'],
  ["{{ Object.defineProperty({}, 'a', { get: () => 1 }) }}", 'expression.unknown-function'],
  ['{{ Object.getPrototypeOf($json) }}', 'expression.unknown-function'],
  ['{{ Object.setPrototypeOf({}, $json) }}', 'expression.unknown-function'],
  ['{{ Object.getOwnPropertyDescriptor($json, "a") }}', 'expression.unknown-function'],
  ['{{ Object["getPrototypeOf"]($json) }}', 'expression.unknown-function'],
  ['{{ Object["get" + "PrototypeOf"]($json) }}', 'expression.not-allowed'],
  ['{{ $json.__defineGetter__("a", () => 1) }}', 'expression.forbidden-name'],
  ['{{ $json.__lookupGetter__("__proto__") }}', 'expression.forbidden-name'],
  ['{{ { get a() { return process } }.a }}', 'expression.not-allowed'],
  ['{{ { set a(x) {} } }}', 'expression.not-allowed'],
  ['{{ { a() { return this } }.a() }}', 'expression.not-allowed'],
  ['{{ { f: () => 1 } }}', 'expression.not-allowed'],
  ['{{ Reflect.get($json, "a") }}', 'expression.unknown-name'],
  ['{{ new Proxy({}, {}) }}', 'expression.not-allowed'],
  ['{{ [...new Proxy([], {})] }}', 'expression.not-allowed'],
  ['{{ Error.prepareStackTrace = (e, s) => s }}', 'expression.not-allowed'],
  ['{{ Error.captureStackTrace($json) }}', 'expression.unknown-name'],
  ['{{ Symbol.iterator }}', 'expression.unknown-name'],
  ['{{ $json[Symbol.iterator] }}', 'expression.unknown-name'],
  // Syntax
  ['{{ with ($json) { a } }}', 'expression.syntax'],
  ['{{ var a = 1 }}', 'expression.syntax'],
  ['{{ class { static { process } } }}', 'expression.not-allowed'],
  ['{{ `${1}` `x` }}', 'expression.not-allowed'],
  ['{{ String.raw`x` }}', 'expression.not-allowed'],
  ['{{ $json.a.trim`x` }}', 'expression.not-allowed'],
  ['{{ (1, eval)("1") }}', 'expression.not-allowed'],
  ['{{ $json.a++ }}', 'expression.not-allowed'],
  ['{{ $json.a ||= 1 }}', 'expression.not-allowed'],
  ['{{ void 0 }}', 'expression.not-allowed'],
  ['{{ $json instanceof Object }}', 'expression.not-allowed'],
  ['{{ #a in $json }}', 'expression.syntax'],
  ['{{ (async () => await 1)() }}', 'expression.not-allowed'],
  ['{{ (function* () { yield 1 })() }}', 'expression.not-allowed'],
  ['{{ 1 }; process.exit() //}}', 'expression.syntax'],
  ['{{ 1 // }}\n}}', 'expression.syntax'],
  ["{{ $json['a\\']; process.exit(); //'] }}", 'clean'],
  ['{{ $json["\\u2028process.exit()"] }}', 'clean'],
  // Functions as data, and natives that take functions
  ["{{ 'x'.replace('x', () => process) }}", 'expression.not-allowed'],
  ["{{ 'x'.replace('x', $meta.handler) }}", 'clean'],
  ['{{ JSON.parse("{}", (key, value) => this) }}', 'expression.not-allowed'],
  ['{{ JSON.stringify($json, (key, value) => value) }}', 'expression.not-allowed'],
  ['{{ $meta.handler() }}', 'expression.unknown-method'],
  ['{{ $meta.handler.call($json) }}', 'expression.unknown-method'],
  ['{{ $meta.handler.constructor }}', 'expression.forbidden-name'],
  ["{{ $meta.handler['constr' + 'uctor'] }}", 'clean'],
  ['{{ $json.map((x) => x) }}', 'clean'],
  ['{{ $json.trim() }}', 'clean'],
  ['{{ [$now].map((now) => now.constructor) }}', 'expression.forbidden-name'],
  ['{{ $now.toISO.constructor }}', 'expression.forbidden-name'],
  ['{{ $now.toISO }}', 'clean'],
  ['{{ $now.loc.clone }}', 'clean'],
  ['{{ $now.reconfigure({ zone: "utc" }) }}', 'expression.unknown-method'],
  ['{{ { ...$now } }}', 'clean'],
  ['{{ Object.values($now) }}', 'clean'],
  ['{{ $env.PATH }}', 'clean'],
  ['{{ $env.constructor }}', 'expression.forbidden-name'],
  ['{{ $vars.__proto__ }}', 'expression.forbidden-name'],
  // Time and memory
  ["{{ 'a'.repeat(1e9) }}", 'clean'],
  ["{{ ''.repeat(1e9) }}", 'clean'],
  ["{{ 'a'.repeat(1e6).repeat(1e6) }}", 'clean'],
  ["{{ 'a'.padStart(1e9) }}", 'clean'],
  ["{{ 'a'.padEnd(1e9, 'xyz') }}", 'clean'],
  ['{{ Array.from({ length: 1e9 }) }}', 'clean'],
  ['{{ Array.from({ length: 1e6 }).map(() => Array.from({ length: 1e6 })) }}', 'clean'],
  ['{{ Array.from({ length: 1e5 }).fill("x".repeat(1e6)).join("") }}', 'clean'],
  ['{{ Array.from({ length: 1e5 }).fill("x".repeat(1e6)) + "" }}', 'clean'],
  ['{{ [Array.from({ length: 1e5 }).fill($json)].map(JSON.stringify) }}', 'expression.not-allowed'],
  ['{{ JSON.stringify(Array.from({ length: 1e6 }).fill($json)) }}', 'clean'],
  ['{{ Array.from({ length: 1e6 }).fill($json) }}', 'clean'],
  [
    '{{ [1,2,3,4,5,6,7,8,9].map((a) => $json.list.map((b) => $json.list.map((c) => $json.list.map((d) => d)))) }}',
    'clean',
  ],
  ["{{ $json.list.reduce((text) => text + text, 'x') }}", 'clean'],
  ['{{ $json.list.reduce((text) => `${text}${text}`, "x") }}', 'clean'],
  ['{{ $json.list.reduce((all) => [...all, ...all], [1]) }}', 'clean'],
  ['{{ $json.list.reduce((all) => [all, all], [1]) }}', 'clean'],
  ['{{ $json.list.reduce((all) => ({ a: all, b: all }), 1) }}', 'clean'],
  ['{{ JSON.stringify($json.list.reduce((all) => [all, all], [1])).length }}', 'clean'],
  ['{{ $json.list.reduce((all) => [all, all], [1]) + "" }}', 'clean'],
  ['{{ $json.list.reduce((all) => [all, all], [1]) == "1" }}', 'clean'],
  ['{{ $json[$json.list.reduce((all) => [all, all], [1])] }}', 'clean'],
  ['{{ -$json.list.reduce((all) => [all, all], [1]) }}', 'clean'],
  ['{{ Math.max($json.list.reduce((all) => [all, all], [1])) }}', 'clean'],
  ['{{ $json.list.reduce((all) => [all, all], [1]).flat(99).length }}', 'clean'],
  ['{{ $json.list.reduce((all) => [all, all], [1]).join("") }}', 'clean'],
  ['a {{ $json.list.reduce((all) => [all, all], [1]) }}', 'clean'],
  [`{{ [$json]${'.map((x) => [x, x])'.repeat(60)} }}`, 'clean'],
  [`{{ [1]${'.flatMap((x) => [x, x])'.repeat(60)} }}`, 'clean'],
  ['{{ $json.list.reduce((all) => all.concat(all), [1]) }}', 'clean'],
  ["{{ $json.list.reduce((text) => text.replaceAll('x', 'xx'), 'x') }}", 'clean'],
  ["{{ 'x'.repeat(1e6).replaceAll('x', '$&'.repeat(1e5)) }}", 'clean'],
  ["{{ 'x'.repeat(1e5).replaceAll('x', \"$'\") }}", 'clean'],
  ["{{ 'x'.repeat(1e6).split('').map((c) => 'x'.repeat(1e6).split('')) }}", 'clean'],
  ["{{ $json.list.map(() => 'x'.repeat(1e6).toUpperCase()) }}", 'clean'],
  ["{{ $json.list.map(() => $json.list.map(() => 'x'.repeat(1e6) === 'x'.repeat(1e6))) }}", 'clean'],
  ['{{ $json.list.sort(() => $json.list.sort(() => $json.list.sort(() => 1))) }}', 'clean'],
  ['{{ $json.list.toSorted((a, b) => ({})) }}', 'clean'],
  ['{{ $json.text.match(/(a+)+$/) }}', 'expression.regex'],
  ['{{ $json.text.match(/(a|a)*$/) }}', 'expression.regex'],
  ['{{ $json.text.match(/(a|aa)+$/) }}', 'expression.regex'],
  ['{{ $json.text.match(/(a*)*b/) }}', 'expression.regex'],
  ['{{ $json.text.match(/(?:a{1,3})+b/) }}', 'expression.regex'],
  ['{{ $json.text.match(/(\\w|\\d)+$/) }}', 'expression.regex'],
  ['{{ $json.text.match(/a*a*a*a*a*b/) }}', 'expression.regex'],
  [`{{ $json.text.match(/${'a?'.repeat(50)}${'a'.repeat(50)}/) }}`, 'expression.regex'],
  [`{{ $json.text.match(/${'(a|a)'.repeat(30)}b/) }}`, 'expression.regex'],
  ['{{ $json.text.match(/(.)\\1/) }}', 'expression.regex'],
  ['{{ $json.text.match(/(?=(a+)+b)/) }}', 'expression.regex'],
  [`{{ $json.text.match(/${'x'.repeat(201)}/) }}`, 'expression.regex'],
  ['{{ $json.text.match($json.pattern) }}', 'expression.regex'],
  ['{{ $json.text.match(...[$json.pattern]) }}', 'expression.regex'],
  ['{{ $json.text.search("(a+)+$") }}', 'expression.regex'],
  ['{{ $json.text.split($json.pattern) }}', 'clean'],
  ['{{ $json.text.replace(/a+b/g, "") }}', 'clean'],
  ['{{ $json.list.map(() => $json.text.slice(0, 1e4).replace(/a+b/g, "")) }}', 'clean'],
  [`{{ ${'$json.text.slice(0, 16000).search(/a+b/) + '.repeat(80)}0 }}`, 'clean'],
  [`{{ ${'['.repeat(5_000)}${']'.repeat(5_000)} }}`, 'expression.too-deep'],
  [`{{ ${'!'.repeat(9_990)}1 }}`, 'expression.too-deep'],
  [`{{ ${'a => '.repeat(1_500)}1 }}`, 'expression.'],
  [`{{ ${'1 ? 1 : '.repeat(1_200)}1 }}`, 'expression.too-deep'],
  [`{{ ${'1 + '.repeat(2_000)}1 }}`, 'expression.too-deep'],
  [`{{ $json${'.a'.repeat(4_000)} }}`, 'expression.too-deep'],
  [`{{ ${'"x" + '.repeat(90)}$json.text }}`, 'clean'],
  ['{{ (1.5).toString(1e9) }}', 'clean'],
  ['{{ (1.5).toFixed(1e9) }}', 'clean'],
  ['{{ (1).toLocaleString("xx-invalid-locale-name-that-is-long") }}', 'clean'],
  ['{{ $now.toFormat("y".repeat(1e5)) }}', 'clean'],
  ['{{ DateTime.fromFormat("1".repeat(1e5), "y") }}', 'clean'],
  ['{{ $now.plus({ days: 1e300 }) }}', 'clean'],
  ['{{ $json.deep + "" }}', 'clean'],
  ['{{ JSON.stringify($json.deep) }}', 'clean'],
  ['{{ [$json.deep].map((x) => JSON.stringify(x)) }}', 'clean'],
  ['{{ JSON.parse("[".repeat(1e6)) }}', 'clean'],
  ['{{ Math.max(...Array.from({ length: 1e6 })) }}', 'clean'],
  ['{{ [1].chunk(0) }}', 'clean'],
  ['{{ "x".normalize("boom") }}', 'clean'],
  ['{{ decodeURIComponent("%") }}', 'clean'],
]

/** Far more than any of them needs, on a busy machine too; what hangs takes hours. */
const msMax = 15_000

const json = {
  a: { b: 1 },
  items: [{ a: 1 }],
  map: 'own map',
  trim: 'own trim',
  keyObject: { toString: 'constructor' },
  list: Array.from({ length: 1_000 }, (_, index) => index),
  text: 'a'.repeat(60_000),
  pattern: '(a+)+$',
  deep: JSON.parse(`${'['.repeat(5_000)}${']'.repeat(5_000)}`),
}
const meta = { handler: (): string => globalThis.process.title }

/** Everything that hangs off the built-in prototypes, to see that nothing was added, removed or replaced. */
function builtIns(): readonly unknown[] {
  return [Object, Function, Array, String, Number, Date, RegExp, Error, Promise].flatMap((owner) => [
    ...Object.entries(Object.getOwnPropertyDescriptors(owner)).map(([name, { value }]) => [owner, name, value]),
    ...Object.entries(Object.getOwnPropertyDescriptors(owner.prototype)).map(([name, { value }]) => [
      owner,
      name,
      value,
    ]),
  ])
}

let before: readonly unknown[] = []
beforeAll(() => {
  before = builtIns()
})
afterAll(() => {
  expect(builtIns()).toEqual(before)
  expect(Reflect.get({}, 'polluted')).toBeUndefined()
})

test('the list is long enough and names each text once', () => {
  expect(escapes.length).toBeGreaterThan(150)
  expect(new Set(escapes.map(([text]) => text)).size).toBe(escapes.length)
})

for (const [text, outcome] of escapes) {
  test(`${text.slice(0, 90).replaceAll('\n', '⏎')} → ${outcome}`, () => {
    const start = performance.now()
    const result = parseExpression(text, testScope)
    if (outcome !== 'clean') {
      expect(result.ok).toBe(false)
      const codes = result.ok ? [] : result.problems.map((each) => each.code)
      expect(
        codes.some((code) => code.startsWith(outcome)),
        codes.join(', '),
      ).toBe(true)
    } else {
      expect(result).toMatchObject({ ok: true })
      if (!result.ok) return
      const { value } = result
      for (const run of [
        () => compileExpression(value)(testInput(json, meta)),
        () => evaluate(value.ir, testInput(json, meta)),
      ]) {
        const end = ending(run)
        if ('error' in end) {
          expect(end.message).not.toMatch(/\n|\.ts|node:/)
          expect(end.error).toMatch(/^(expression\.|TypeError|RangeError|SyntaxError|URIError)/)
        } else expect(holdsCode(end.value, 0)).toBe(false)
      }
    }
    expect(performance.now() - start).toBeLessThan(msMax)
  })
}

/** True when a function, or a prototype that others share, can be reached as data. */
function holdsCode(value: unknown, depth: number): boolean {
  if (typeof value === 'function' || typeof value === 'symbol') return true
  if (typeof value !== 'object' || value === null || depth > 20) return false
  if (value === Object.prototype || value === Array.prototype || value === globalThis || value === process) return true
  return Object.values(value)
    .slice(0, 50)
    .some((each) => holdsCode(each, depth + 1))
}
