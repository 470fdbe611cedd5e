import { z } from 'zod'
import { literal } from '../../core/compile/loop-builder.ts'
import { define, expression } from '../../core/define.ts'

const fieldName = z
  .string()
  .min(1)
  .max(128)
  .refine((name) => !['__proto__', 'constructor', 'prototype'].includes(name), 'this field name is not allowed')

/** Makes an object of fields. */
export const setV1 = define({
  name: 'set',
  version: 1,
  summary: 'Makes a new value of named fields, each a constant or an expression.',
  notes: 'With `into: merge` the fields join the old value; with `into: NAME` they become its field of that name.',
  inputs: ['in'],
  outputs: ['out'],
  makesResult: true,
  config: z.strictObject({
    fields: z
      .record(fieldName, expression(z.json()))
      .refine((fields) => Object.keys(fields).length <= 500, 'at most 500 fields')
      .describe('Field names with their values.'),
    remove: z.array(fieldName).max(500).default([]).describe('Fields to leave out; useful with `into: merge`.'),
  }),
  examples: [
    {
      title: 'Pick and compute fields',
      config: { fields: { id: '{{ $json.id }}', gross: '{{ $json.net * 1.2 }}', source: 'shop' } },
      input: [{ id: 7, net: 10, secret: 'x' }],
      output: { out: [{ id: 7, gross: 12, source: 'shop' }] },
    },
    {
      title: 'Add a field to what is there',
      config: { fields: { large: '{{ $json.total > 100 }}' }, remove: ['note'] },
      into: 'merge',
      input: [{ total: 150, note: 'n' }],
      output: { out: [{ total: 150, large: true }] },
    },
    {
      title: 'Keep the old value and put the new one beside it',
      config: { fields: { name: '{{ $json.first + " " + $json.last }}' } },
      into: 'person',
      input: [{ first: 'Ada', last: 'Lovelace' }],
      output: { out: [{ first: 'Ada', last: 'Lovelace', person: { name: 'Ada Lovelace' } }] },
    },
  ],
  face: {
    kind: 'inline',
    build: (config, loop) => {
      const entries = Object.entries(config.fields).map(([key, value]) => ({
        key,
        value: value.ir?.ir ?? literal(value.constant),
      }))
      loop.become({ op: 'object', entries })
      if (config.remove.length > 0) loop.omit(config.remove)
      loop.emit()
    },
  },
})
