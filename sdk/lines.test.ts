import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ValueCutter } from './lines.ts'

function cut(format: 'ndjson' | 'sse', text: string, cuts: readonly number[]): readonly unknown[] {
  const cutter = new ValueCutter(format)
  const values: unknown[] = []
  let at = 0
  for (const length of cuts) {
    values.push(...cutter.push(text.slice(at, at + length)))
    at += length
  }
  values.push(...cutter.push(text.slice(at)), ...cutter.end())
  return values
}

describe('the values of a streamed answer', () => {
  it('do not depend on where its pieces are cut', () => {
    const values = fc.array(
      fc.jsonValue().filter((value) => !Object.is(value, -0)),
      { maxLength: 6 },
    )
    fc.assert(
      fc.property(values, fc.array(fc.nat(20), { maxLength: 12 }), (list, cuts) => {
        const texts = list.map((value) => JSON.stringify(value))
        const expected = texts.map((text) => JSON.parse(text))
        expect(cut('ndjson', texts.map((text) => `${text}\r\n`).join(''), cuts)).toStrictEqual(expected)
        expect(cut('ndjson', texts.join('\n\n'), cuts)).toStrictEqual(expected)
        expect(
          cut('sse', texts.map((text) => `: note\nid: 7\nevent: x\ndata: ${text}\n\n`).join(''), cuts),
        ).toStrictEqual(expected)
      }),
    )
  })

  it('that are no JSON are an error that names them', () => {
    expect(() => cut('ndjson', '{"a":\n', [])).toThrow(expect.objectContaining({ code: 'answer.broken' }))
  })
})
