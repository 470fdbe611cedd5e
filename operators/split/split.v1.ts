import { z } from 'zod'
import { define, expression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'

/** One message per element of a list. */
export const splitV1 = define({
  name: 'split',
  version: 1,
  summary: 'Makes one message of each element of a list.',
  notes: 'A list of more than `elementsMax` fails as a whole and goes to the error port; nothing of it is sent.',
  inputs: ['in'],
  outputs: ['out'],
  makesResult: true,
  config: z.strictObject({
    list: expression(z.array(z.json())).describe('The list, for example `{{ $json.items }}`.'),
    elementsMax: z.int().min(1).max(1024).default(1024).describe('The longest list that is taken apart.'),
  }),
  examples: [
    {
      title: 'One message per item',
      config: { list: '{{ $json.items }}' },
      input: [{ items: ['a', 'b'] }, { items: [] }],
      output: { out: ['a', 'b'] },
    },
    {
      title: 'Keep the order beside each item',
      config: { list: '{{ $json.items }}' },
      into: 'item',
      input: [{ id: 1, items: ['a', 'b'] }],
      output: {
        out: [
          { id: 1, items: ['a', 'b'], item: 'a' },
          { id: 1, items: ['a', 'b'], item: 'b' },
        ],
      },
    },
  ],
  face: {
    kind: 'kernel',
    make: (config, context) => {
      const read = context.reader(config.list)
      return (message, emit, scope) => {
        const list: unknown = read(message, scope)
        if (!Array.isArray(list))
          throw new NodeError('split.not-a-list', `the list is ${list === null ? 'null' : typeof list}, not a list`)
        if (list.length > config.elementsMax)
          throw new NodeError(
            'split.too-long',
            `the list has ${list.length} elements, the limit is ${config.elementsMax}`,
          )
        for (const element of list) emit(context.result(message, element))
      }
    },
  },
})
