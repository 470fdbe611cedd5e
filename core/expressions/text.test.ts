import { describe, expect, test } from 'vitest'
import type { Ir } from './ir.ts'
import { parsed } from './testing.ts'
import { expressionText } from './text.ts'

/** The text of an expression and what it holds by reference. */
function written(ir: Ir): { readonly text: string; readonly env: readonly unknown[] } {
  const env: unknown[] = []
  const text = expressionText(ir, {
    json: 'v',
    message: 'm',
    batch: 'b',
    env: (value) => `c${env.push(value) - 1}`,
    local: (name) => `l_${name}`,
  })
  return { text, env }
}

describe('expressionText', () => {
  test('a path is a path, as a person would write it', () => {
    expect(written(parsed('{{ $json.user.items[0].name }}').ir).text).toBe('v.user.items[0].name')
    expect(written(parsed('{{ $vars.rate }}').ir).text).toBe('b.vars.rate')
    expect(written(parsed('{{ $key }}').ir).text).toBe('m.key')
  })
  test('an optional path too, and its brackets end it', () => {
    expect(written(parsed('{{ $json?.user?.["a b"]?.[0] }}').ir).text).toBe('(v?.user?.["a b"]?.[0])')
    expect(written(parsed('{{ ($json?.a.b).c }}').ir).text).toBe('(v?.a.b).c')
    expect(written(parsed('{{ $json.a?.map.b }}').ir).text).not.toContain('?.')
  })
  test('an expression that cannot loop has no fuel in it', () => {
    expect(written(parsed("{{ $json.name.toUpperCase() + ' ' + $json.list.length }}").ir).text).toBe(
      '((c0(v.name) + " ") + v.list.length)',
    )
    expect(written(parsed('{{ $json.list.map((x) => x) }}').ir).text).toMatch(/\.left = \d+/)
  })
  test('short texts are quoted, long ones and odd names enter by reference', () => {
    const long = 'x'.repeat(65)
    const { text, env } = written(parsed(`{{ ['"; process.exit() //', '${long}', $json['a b'], $json.${long}] }}`).ir)
    expect(text).toBe('["\\"; process.exit() //", c0, v["a b"], v[c0]]')
    expect(env).toEqual([long])
  })
  test('constants that are no primitives enter by reference, and locals by the name that the loop gave them', () => {
    const constant = { a: 1 }
    const ir: Ir = {
      op: 'array',
      items: [
        { op: 'constant', value: constant },
        { op: 'constant', value: -1 },
        { op: 'local', name: 'row' },
      ],
    }
    expect(written(ir)).toEqual({ text: '[c0, (-1), l_row]', env: [constant] })
  })
  test.each<Ir>([
    { op: 'get', object: { op: 'root', name: 'json' }, key: 'constructor', optional: false },
    { op: 'object', entries: [{ key: '__proto__', value: { op: 'undefined' } }] },
    { op: 'call', name: 'eval', args: [] },
    { op: 'method', object: { op: 'root', name: 'json' }, name: 'call', args: [], optional: false },
  ])('IR that no check has let through is refused: %j', (ir) => {
    expect(() => written(ir)).toThrow()
  })
  test('stored IR with an operator that is none is refused', () => {
    const stored: Ir = JSON.parse(JSON.stringify(parsed('{{ 1 - 2 }}').ir).replace('"-"', '"-process.exit()-"'))
    expect(() => written(stored)).toThrow(/operator/)
  })
})
