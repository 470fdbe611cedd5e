import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JsonReader } from './json-reader.ts'

const parse = (bytes: Buffer, start: number, end: number): unknown => JSON.parse(bytes.toString('utf8', start, end))

/** What a reader says of a text that stands between others, as records do in a batch. */
function ending(reader: { read: typeof parse }, record: Uint8Array): unknown {
  const bytes = Buffer.concat([Buffer.from('{"a":1,'), record, Buffer.from('"b"],}1 2')])
  try {
    return { value: reader.read(bytes, 7, 7 + record.length) }
  } catch (thrown) {
    return { thrown: thrown instanceof Error ? thrown.message : thrown }
  }
}

function learned(sample: string): { readonly reader: JsonReader; parsed(): number } {
  let parsed = 0
  const reader = new JsonReader((...where) => {
    parsed += 1
    return parse(...where)
  })
  for (let i = 0; i < 16; i++) ending(reader, Buffer.from(sample))
  parsed = 0
  return { reader, parsed: () => parsed }
}

const plain = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.constantFrom(
    true,
    false,
    null,
    -0,
    1e300,
    5e-324,
    2 ** 53,
    0.1,
    123456789012345,
    1234567890123456,
    0.000001,
    1e21,
  ),
)
const { record } = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, plain, fc.array(plain, { maxLength: 4 }), tie('record')),
  record: fc.dictionary(fc.string({ minLength: 0, maxLength: 6 }), tie('value'), { maxKeys: 6 }),
}))
const blanks = fc.constantFrom(undefined, 0, 1, 2, '\t')

/** Bytes of the heap after a collection of garbage. */
function collected(): number {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  if (typeof collect === 'function') collect()
  return process.memoryUsage().heapUsed
}

describe('a reader of JSON that has learned a shape', () => {
  it('reads records of the shape without the parser', () => {
    const { reader, parsed } = learned('{"id": "a", "n": 1, "in": {"list": [{"x": 1}, {"x": 2}], "none": []}}')
    const text = '{"id": "b", "n": -2.5e3, "in": {"list": [{"x": true}], "none": []}}'
    expect(ending(reader, Buffer.from(text))).toEqual({ value: JSON.parse(text) })
    const other = '{"id": "ö\\n", "n": null, "in": null}'
    expect(ending(reader, Buffer.from(other))).toEqual({ value: JSON.parse(other) })
    expect(parsed()).toBe(0)
  })

  it('gives what the parser gives, of any record and any other of its shape', () => {
    fc.assert(
      fc.property(record, fc.infiniteStream(plain), blanks, (sample, others, indent) => {
        const { reader } = learned(JSON.stringify(sample, null, indent))
        const changed: unknown = JSON.parse(JSON.stringify(sample), (_key, value: unknown) =>
          typeof value === 'object' && value !== null ? value : others.next().value,
        )
        for (const each of [sample, changed]) {
          const bytes = Buffer.from(JSON.stringify(each, null, indent))
          expect(ending(reader, bytes)).toStrictEqual(ending({ read: parse }, bytes))
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('gives what the parser gives, of records with any bytes changed, taken out or put in', () => {
    const where = fc.record({ at: fc.nat(), drop: fc.nat(3), put: fc.uint8Array({ maxLength: 3 }) })
    const signs = [...'{}[]",:\\ \n-+.0123456789eEtfnu'].map((sign) => Buffer.from(sign))
    const bytes = [0x00, 0x1f, 0x7f, 0x80, 0xc3, 0xff].map((byte) => Buffer.from([byte]))
    const telling = fc.constantFrom(...signs, ...bytes, Buffer.from('ä'))
    const edit = fc.record({ at: fc.nat(), drop: fc.nat(2), put: telling })
    fc.assert(
      fc.property(
        record,
        blanks,
        fc.array(fc.oneof(where, edit), { minLength: 1, maxLength: 3 }),
        (sample, indent, edits) => {
          const text = JSON.stringify(sample, null, indent)
          const { reader } = learned(text)
          let bytes = Buffer.from(text)
          for (const { at, drop, put } of edits) {
            const place = at % (bytes.length + 1)
            bytes = Buffer.concat([bytes.subarray(0, place), put, bytes.subarray(Math.min(bytes.length, place + drop))])
          }
          expect(ending(reader, bytes)).toStrictEqual(ending({ read: parse }, bytes))
        },
      ),
      { numRuns: 3_000 },
    )
  })

  it('keeps several shapes, and gives up for a while where there are too many', () => {
    let parsed = 0
    const reader = new JsonReader((...at) => {
      parsed += 1
      return parse(...at)
    })
    const read = (text: string): unknown => reader.read(Buffer.from(text), 0, Buffer.byteLength(text))
    for (let i = 0; i < 1_000; i++) {
      expect(read(`{"kind":"a","n":${i}}`)).toEqual({ kind: 'a', n: i })
      expect(read(`{"kind":"b","text":"${i}","more":[${i}]}`)).toEqual({ kind: 'b', text: String(i), more: [i] })
    }
    expect(parsed).toBeLessThan(100)
    for (let i = 0; i < 5_000; i++) expect(read(`{"k${i}":${i}}`)).toEqual({ [`k${i}`]: i })
  })

  it('keeps nothing of a record but what is kept of it', () => {
    const text = (n: number): string => `{"id":"order-${1e9 + n}","note":"${'x'.repeat(8_000)}"}`
    const { reader, parsed } = learned(text(0))
    const ids: unknown[] = []
    const before = collected()
    for (let n = 0; n < 5_000; n++) {
      const bytes = Buffer.from(text(n))
      ids.push((reader.read(bytes, 0, bytes.length) as { id: string }).id)
    }
    expect(parsed()).toBe(0)
    expect(collected() - before).toBeLessThan(5_000_000)
    expect(ids[4_999]).toBe('order-1000004999')
  })

  it.each([
    '{"__proto__":{"x":1},"a":1}',
    '{"a":1,"a":2}',
    '{"\\u0061":1,"a":2}',
    '{"\\u005f_proto__":1}',
    '{"constructor":{"prototype":1}}',
    '{"2":1,"1":2,"a":{"0":1}}',
    '[[1,"a"],[2,"b"]]',
    '"text"',
    '{"\u2028":"\u2029"}',
    '{"$`\'":1}',
  ])('reads %s as the parser does', (text) => {
    const { reader } = learned(text)
    const value = reader.read(Buffer.from(text), 0, Buffer.byteLength(text))
    const expected: unknown = JSON.parse(text)
    expect(value).toEqual(expected)
    expect(JSON.stringify(value)).toBe(JSON.stringify(expected))
  })
})
