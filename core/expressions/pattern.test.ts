import { describe, expect, test } from 'vitest'
import { compileExpression } from './evaluate.ts'
import { analysePattern } from './pattern.ts'
import { ending, parsed, testInput } from './testing.ts'

describe('analysePattern', () => {
  const safe: readonly (readonly [source: string, flags: string, degree: number])[] = [
    ['^abc$', '', 0],
    ['abc', 'g', 1],
    ['^\\d{4}-\\d{2}-\\d{2}$', '', 0],
    ['colou?r', 'i', 1],
    ['https?:\\/\\/', '', 1],
    ['^\\s+', '', 1],
    ['\\s+$', '', 2],
    ['^[a-z]+@[a-z]+\\.[a-z]+$', '', 1],
    ['[\\w.]+@\\w+', '', 2],
    ['^.*x', '', 1],
    ['^.*foo.*bar', '', 2],
    ['"[^"]*"', 'g', 2],
    ['^(?:\\d{1,3}\\.){3}\\d{1,3}$', '', 0],
    ['(?:foo|bar|qux)+', '', 2],
    ['^(?=.*\\d)(?=.*[a-z]).{8,64}$', '', 1],
    ['(?<year>\\d{4})', 'u', 1],
    ['[^\\W\\d]+', '', 2],
    ['\\u0041\\x42\\cA[\\]\\-a-z]', '', 1],
  ]
  test.each(safe)('/%s/%s grows with the power %i', (source, flags, degree) => {
    expect(() => new RegExp(source, flags)).not.toThrow()
    expect(analysePattern(source, flags)).toEqual({ ok: true, degree })
  })

  test.each([
    ['(a+)+', ''],
    ['(a*)*', ''],
    ['(a|a)+', ''],
    ['(a|ab)*c', ''],
    ['([a-z]|\\w)+', ''],
    ['(K|k)+', 'i'],
    ['(\\s|\\u00a0)+', ''],
    ['(a?)+', ''],
    ['(a?){50}', ''],
    ['(ab?)+b', ''],
    ['(.*,)+', ''],
    ['(a{2,30}){2,30}', ''],
    ['a*a*a*a*b', ''],
    ['(.)\\1', ''],
    ['(?<x>.)\\k<x>', ''],
    ['(?=(a+)+)b', ''],
    ['(?i:a)', ''],
    ['a', 'v'],
    ['a?'.repeat(20), ''],
  ])('/%s/%s is refused', (source, flags) => {
    expect(analysePattern(source, flags)).toMatchObject({ ok: false })
  })
})

describe('running a pattern', () => {
  const json = { space: ' '.repeat(16_384), long: 'a'.repeat(70_000) }
  const run = (text: string) => ending(() => compileExpression(parsed(text))(testInput(json)))

  test('on the longest text that its worst case allows ends in time', () => {
    const start = performance.now()
    expect(run('{{ $json.space.search(/\\s+x/) }}')).toEqual({ value: -1 })
    expect(run("{{ 'a'.repeat(900).search(/a.*a.*x/) }}")).toEqual({ value: -1 })
    expect(performance.now() - start).toBeLessThan(5_000)
  })
  test('on a longer one is refused', () => {
    expect(run('{{ $json.long.search(/b/) }}')).toMatchObject({ error: 'expression.too-large' })
    expect(run('{{ $json.long.slice(0, 20000).search(/a+b/) }}')).toMatchObject({ error: 'expression.too-large' })
  })
  test('begins anew each time, though a global pattern remembers', () => {
    const expression = compileExpression(parsed('{{ [1, 2, 3].map(() => /a/g.test("a")) }}'))
    expect(expression(testInput(null))).toEqual([true, true, true])
    expect(expression(testInput(null))).toEqual([true, true, true])
  })
})
