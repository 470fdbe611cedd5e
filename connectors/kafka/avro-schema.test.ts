import avro from 'avsc'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { avroReader } from './avro-schema.ts'

const tree: avro.Schema = {
  type: 'record',
  name: 'Node',
  fields: [
    { name: 'name', type: 'string' },
    { name: 'weights', type: { type: 'array', items: 'double' } },
    { name: 'nothing', type: { type: 'array', items: 'null' } },
    { name: 'children', type: { type: 'map', values: 'Node' } },
    { name: 'either', type: ['null', 'int', { type: 'array', items: 'int' }] },
  ],
}

const type = avro.Type.forSchema(tree)
const reader = avroReader(JSON.stringify(tree), [])

interface Node {
  readonly name: string
  readonly weights: readonly number[]
  readonly nothing: readonly null[]
  readonly children: Readonly<Record<string, Node>>
  readonly either: null | number | readonly number[]
}

const { node } = fc.letrec<{ node: Node }>((tie) => ({
  node: fc.record({
    name: fc.string(),
    weights: fc.array(fc.double({ noNaN: true }), { maxLength: 5 }),
    nothing: fc.array(fc.constant(null), { maxLength: 5 }),
    children: fc.oneof({ maxDepth: 3 }, fc.constant({}), fc.dictionary(fc.string(), tie('node'), { maxKeys: 2 })),
    either: fc.oneof(fc.constant(null), fc.integer(), fc.array(fc.integer(), { maxLength: 3 })),
  }),
}))

test('reads what the library writes', () => {
  fc.assert(
    fc.property(node, (value) => {
      expect(JSON.stringify(reader.read(type.toBuffer(value)))).toBe(
        JSON.stringify(type.fromBuffer(type.toBuffer(value))),
      )
    }),
    { numRuns: 200 },
  )
})

test('garbage is an error with a code, at once and in little memory', () => {
  const whole = type.toBuffer({ name: 'n', weights: [1, 2], nothing: [null], children: {}, either: [1] })
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(whole.length), fc.nat(255)), { maxLength: 4 }),
      fc.nat(whole.length),
      (changes, length) => {
        const broken = Buffer.from(whole.subarray(0, length))
        for (const [at, byte] of changes) if (at < broken.length) broken[at] = byte
        try {
          reader.read(broken)
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'kafka.not-avro' })
        }
      },
    ),
    { numRuns: 2_000 },
  )
})

test.each([
  ['a list', { type: 'array', items: 'int' }, /says that it has/],
  ['a map', { type: 'map', values: 'int' }, /says that it has/],
  ['a list of nothings', { type: 'array', items: 'null' }, /says that it has/],
  ['a list of empty records', { type: 'array', items: { type: 'record', name: 'E', fields: [] } }, /says that it has/],
  ['a list of lists', { type: 'array', items: { type: 'array', items: 'string' } }, /says that it has/],
])('%s that claims hundreds of millions of items is refused', (_what, schema, error) => {
  const before = performance.now()
  const bytes = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f, 0xfe, 0xff, 0xff, 0xff, 0x0f])
  expect(() => avroReader(JSON.stringify(schema), []).read(bytes)).toThrow(error)
  expect(performance.now() - before).toBeLessThan(500)
})

test('a map may have any key, and changes no prototype', () => {
  const schema = { type: 'map', values: { type: 'map', values: 'int' } } as const
  const bytes = avro.Type.forSchema(schema).toBuffer(JSON.parse('{"__proto__":{"polluted":1}}'))
  const value = avroReader(JSON.stringify(schema), []).read(bytes)
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
  expect(Reflect.get({}, 'polluted')).toBe(undefined)
})

test('a schema that is none, or means harm, is refused', () => {
  const field = (name: string): string => JSON.stringify({ type: 'record', name: 'R', fields: [{ name, type: 'int' }] })
  for (const text of [
    '{',
    '{"type":"nonsense"}',
    field('__proto__'),
    field('a;b'),
    field('a = process.exit() //'),
    '42',
    '[]x',
  ]) {
    expect(() => avroReader(text, [])).toThrow(expect.objectContaining({ code: 'kafka.bad-schema' }))
  }
  expect(avroReader('int', []).read(Buffer.from([4]))).toBe(2)
})
