import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { define, defineVersions } from '../core/define.ts'
import { catalogue, Nodes } from '../nodes.ts'
import { filterV1 } from '../operators/filter/filter.v1.ts'
import { root } from './source-files.ts'

/** What every released version promised, by `name@version`: the schema of its config, its ports, its examples. */
const path = join(root, 'test/released.json')
const released: Record<string, unknown> = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : {}

const definitions = catalogue.types.flatMap((type) => Object.values(type.versions))
const promiseOf = (definition: (typeof definitions)[number]): unknown =>
  JSON.parse(
    JSON.stringify({
      config: withoutWords(z.toJSONSchema(definition.config, { io: 'input', unrepresentable: 'any' })),
      inputs: definition.inputs,
      outputs: typeof definition.outputs === 'function' ? 'by config' : definition.outputs,
      face: definition.face.kind,
      examples: definition.examples.map(({ config, into, input, output }) => ({ config, into, input, output })),
    }),
  )

/** Descriptions may become better; what is allowed may not change. */
function withoutWords(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withoutWords)
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([key, value]) => !(key === 'description' && typeof value === 'string'))
      .map(([key, value]) => [key, withoutWords(value)]),
  )
}

describe('released versions', () => {
  test.each(definitions.map((definition) => [`${definition.name}@${definition.version}`, definition] as const))(
    '%s keeps its schema and its examples',
    (name, definition) => {
      const known = released[name]
      if (known === undefined && process.env.MILLRACE_RELEASE === '1') {
        released[name] = promiseOf(definition)
        writeFileSync(
          path,
          `${JSON.stringify(Object.fromEntries(Object.entries(released).sort(([a], [b]) => a.localeCompare(b))), null, 1)}\n`,
        )
        return
      }
      expect(known, `${name} is new: run the tests once with MILLRACE_RELEASE=1 to release it`).toBeDefined()
      expect(
        promiseOf(definition),
        `${name} is released: add version ${definition.version + 1} and leave this one as it is`,
      ).toEqual(known)
    },
  )

  test('no released version was taken away', () => {
    const present = new Set(definitions.map((definition) => `${definition.name}@${definition.version}`))
    expect(Object.keys(released).filter((name) => !present.has(name))).toEqual([])
  })
})

describe('defineVersions', () => {
  const version = (name: string, number: number) =>
    define({
      name,
      version: number,
      summary: 's',
      inputs: [],
      outputs: [],
      config: z.strictObject({}),
      examples: [],
      face: { kind: 'inline', build: () => undefined },
    })

  test('knows each version and the latest by type', () => {
    const type = defineVersions({ 1: version('a', 1), 2: version('a', 2) }, { latest: 2 })
    expectTypeOf(type.latest).toEqualTypeOf<2>()
    expectTypeOf(Nodes.V1.Filter).toEqualTypeOf(filterV1)
    expectTypeOf(Nodes.Latest.Filter).toEqualTypeOf(filterV1)
    expect(Nodes.Latest.Filter).toBe(filterV1)
    expect(Nodes.V1.HttpRequest.name).toBe('http.request')
  })

  test('a latest that is not there, or none, is a type error and throws', () => {
    // @ts-expect-error there is no version 3
    expect(() => defineVersions({ 1: version('a', 1) }, { latest: 3 })).toThrow(/latest/)
    // @ts-expect-error the latest is missing
    expect(() => defineVersions({ 1: version('a', 1) }, {})).toThrow(/latest/)
    // @ts-expect-error a node type that does not exist has no name here
    expect(Nodes.V1.Nothing).toBeUndefined()
  })

  test('versions that do not agree with their numbers or names throw when they are loaded', () => {
    expect(() => defineVersions({ 1: version('a', 2) }, { latest: 1 })).toThrow(/version 1 of a/)
    expect(() => defineVersions({ 1: version('a', 1), 2: version('b', 2) }, { latest: 2 })).toThrow(/version 2/)
    expect(() => defineVersions({ 1: version('a', 1), 2: version('a', 2) }, { latest: 1 })).toThrow(
      /highest version is 2/,
    )
  })
})
