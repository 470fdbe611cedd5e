import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FunctionSpec } from './functions.ts'
import { functions } from './functions.ts'
import type { MethodSpec } from './methods.ts'
import { methods } from './methods.ts'
import { parseExpression } from './parse.ts'
import { bothWays, ending, testInput, testScope } from './testing.ts'

/*
 * Random expressions over random values, run as text, as IR, and (where the language claims to be JavaScript) by
 * JavaScript itself.
 */

const names = ['a', 'b', 'list', 'text', 'n', 'map', 'length', 'link', 'x y']
const patterns = ['/a/', '/[a-c]+/g', '/^\\s*$/', '/(\\w)-(\\d)/', '/b|c/gi', '/x{2,3}/', '/,/']
const texts = ['', 'a', 'a-1', 'abcabc', ' x ', '12', 'length', '2024-02-29T10:00:00Z', 'day', 'day-✓', '[1,{"a":2}]']
const operators = [
  '+',
  '-',
  '*',
  '/',
  '%',
  '**',
  '==',
  '!=',
  '===',
  '!==',
  '<',
  '<=',
  '>',
  '>=',
  '&',
  '|',
  '^',
  '<<',
  '>>',
  '>>>',
]

const literal = fc.oneof(
  fc.constantFrom(
    '0',
    '1',
    '2',
    '-1',
    '3.5',
    '1e21',
    'true',
    'false',
    'null',
    'undefined',
    'NaN',
    'Infinity',
    '[]',
    '({})',
  ),
  fc.constantFrom(...texts).map((text) => JSON.stringify(text)),
)
const dateRoots = [
  '$now',
  '$today',
  'DateTime.fromMillis(0)',
  'Duration.fromObject({ hours: 3 })',
  'DateTime.fromISO("2024-01-31")',
]
const ownRoots = [
  '$vars.rate',
  '$vars.none',
  '$key',
  '$meta.trace',
  '$meta',
  '$request?.path',
  '$env.REGION',
  '$execution.id',
  ...dateRoots,
]

/** Arguments for a method or function: callbacks where it wants them, patterns where it takes them. */
function argumentsFor(
  spec: MethodSpec | FunctionSpec,
  value: fc.Arbitrary<string>,
  body: fc.Arbitrary<string>,
  params: readonly string[],
): fc.Arbitrary<string> {
  return fc
    .integer({ min: spec.argsMin, max: Math.min(spec.argsMax, spec.argsMin + 2) })
    .chain((count) =>
      fc.tuple(
        ...Array.from({ length: count }, (_, index) => {
          if (index === spec.callback)
            return fc.tuple(fc.constantFrom(...params), body).map(([names, text]) => `${names} => ${text}`)
          const pattern = index === 0 && 'regex' in spec ? spec.regex : 'no'
          if (pattern === 'must') return fc.constantFrom(...patterns)
          const plain = fc.oneof(
            { weight: 6, arbitrary: value },
            { weight: 1, arbitrary: value.map((text) => `...[${text}]`) },
          )
          return pattern === 'maybe' ? fc.oneof(fc.constantFrom(...patterns), plain) : plain
        }),
      ),
    )
    .map((args) => args.join(', '))
}

/** Texts of expressions, from these methods and functions, with these names beside the message's value. */
function expressions(
  roots: readonly string[],
  allMethods: readonly MethodSpec[],
  allFunctions: readonly FunctionSpec[],
  params: readonly string[],
): fc.Arbitrary<string> {
  const path = fc
    .tuple(
      fc.constantFrom('$json', ...roots),
      fc.array(fc.tuple(fc.constantFrom(...names, '0', '1'), fc.boolean()), { maxLength: 2 }),
    )
    .map(([root, keys]) =>
      keys.reduce((text, [key, optional]) => {
        if (/^\w+$/.test(key) && !/^\d/.test(key)) return `${text}${optional ? '?.' : '.'}${key}`
        return `${text}${optional ? '?.' : ''}[${/^\d/.test(key) ? key : JSON.stringify(key)}]`
      }, root),
    )
  const tree = fc.letrec<{ value: string; body: string }>((tie) => {
    const value = tie('value')
    const all = (part: fc.Arbitrary<string>): fc.Arbitrary<string>[] => [
      fc
        .tuple(part, fc.constantFrom(...operators), part)
        .map(([left, operator, right]) => `((${left}) ${operator} (${right}))`),
      fc
        .tuple(part, fc.constantFrom('&&', '||', '??'), part)
        .map(([left, operator, right]) => `((${left}) ${operator} (${right}))`),
      fc.tuple(part, part, part).map(([test, yes, no]) => `(${test} ? ${yes} : ${no})`),
      fc
        .tuple(fc.constantFrom('!', '-', '+', '~', 'typeof '), part)
        .map(([operator, operand]) => `(${operator}(${operand}))`),
      fc.tuple(part, part).map(([object, key]) => `(${object})[${key}]`),
      fc.tuple(part, part).map(([object, key]) => `(${object})?.[${key}]?.a`),
      fc.tuple(part, fc.constantFrom(...names)).map(([object, key]) => `(${object})?.[${JSON.stringify(key)}]`),
      fc.array(part, { maxLength: 3 }).map((items) => `[${items.join(', ')}]`),
      fc.tuple(part, part, part).map(([a, b, c]) => `({ a: ${a}, [${b}]: ${c}, ...(${a}) })`),
      fc.tuple(part, part).map(([a, b]) => `\`<\${${a}}|\${${b}}>\``),
      fc
        .tuple(part, fc.constantFrom(...allMethods), fc.boolean())
        .chain(([receiver, spec, optional]) =>
          argumentsFor(spec, part, tie('body'), params).map(
            (args) => `(${receiver})${optional ? '?.' : '.'}${spec.name}(${args})`,
          ),
        ),
      fc
        .constantFrom(...allFunctions)
        .chain((spec) => argumentsFor(spec, part, tie('body'), params).map((args) => `${spec.name}(${args})`)),
    ]
    return {
      value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, literal, path, ...all(value)),
      body: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constantFrom('x', 'y', 'x?.a', 'x + y', '[x, x]'),
        literal,
        path,
        ...all(fc.oneof(fc.constant('x'), value)),
      ),
    }
  })
  return tree.value
}

const leaf = fc.oneof(
  fc.constantFrom(...texts),
  fc.integer({ min: -5, max: 50 }),
  fc.double(),
  fc.boolean(),
  fc.constant(null),
)
const inner = fc.oneof(
  leaf,
  fc.array(leaf, { maxLength: 4 }),
  fc.dictionary(fc.constantFrom(...names), leaf, { maxKeys: 4 }),
)
const jsonValue = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.dictionary(fc.constantFrom(...names), fc.oneof(inner, fc.array(inner, { maxLength: 4 })), {
      minKeys: 3,
    }),
  },
  { weight: 1, arbitrary: leaf },
  { weight: 1, arbitrary: fc.array(inner, { maxLength: 4 }) },
)

describe('an expression', () => {
  test('does the same as text and as IR: values and errors', () => {
    let ran = 0
    fc.assert(
      fc.property(
        expressions(ownRoots, methods, functions, ['(x)', '(x, y)', '([x, y])', '({ a: x, b: y })']),
        jsonValue,
        fc.boolean(),
        (text, json, mixed) => {
          const result = parseExpression(mixed ? `a {{ ${text} }} {{ $json.b }}` : `{{ ${text} }}`, testScope)
          if (!result.ok) return
          ran += 1
          const input = testInput(structuredClone(json), { trace: 't' })
          const ways = bothWays(result.value, input)
          expect(ways.text).toStrictEqual(ways.ir)
          expect(input.json).toStrictEqual(structuredClone(json))
        },
      ),
      { numRuns: 3_000 },
    )
    expect(ran).toBeGreaterThan(1_000)
  })

  test('answers what JavaScript answers, where it answers at all', () => {
    // Left out: what the language has of its own, what JavaScript does in place, what depends on the prototype, and
    // patterns of parameters, which the language reads when they are used.
    const own = new Set([
      'sort',
      'reverse',
      'fill',
      'toString',
      'toLocaleString',
      'hasOwnProperty',
      'matchAll',
      'exec',
      'valueOf',
      'keys',
      'values',
    ])
    const native = [String.prototype, Array.prototype, Number.prototype]
    const javaScriptMethods = methods.filter(
      (spec) => !own.has(spec.name) && native.some((prototype) => spec.name in prototype) && !spec.on.includes('date'),
    )
    const ownFunctions = /^(Date|Duration|\$|Object\.groupBy|Object\.assign)/
    const javaScriptFunctions = functions.filter((spec) => !ownFunctions.test(spec.name))
    let answered = 0
    fc.assert(
      fc.property(
        expressions([], javaScriptMethods, javaScriptFunctions, ['(x)', '(x, y)']),
        jsonValue,
        (text, json) => {
          fc.pre(!/\.(map|link)\b(?!\()|"(map|link)"|in /.test(text))
          const result = parseExpression(`{{ ${text} }}`, testScope)
          if (!result.ok) return
          const ours = bothWays(result.value, testInput(structuredClone(json))).text
          if ('error' in ours) return
          answered += 1
          const theirs = ending(() => new Function('$json', `"use strict"; return (${text})`)(structuredClone(json)))
          expect(theirs).toEqual(ours)
        },
      ),
      { numRuns: 3_000 },
    )
    expect(answered).toBeGreaterThan(500)
  })
})
