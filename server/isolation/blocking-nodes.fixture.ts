import { z } from 'zod'
import { define, defineVersions } from '../../core/define.ts'

/** A chain grows in small pieces. One huge allocation at once can end the process before Node can end its thread. */
let held: unknown = null

/** A node as a careless person might write it: it blocks its thread, or eats its memory, when the value says so. */
const careless = define({
  name: 'test.careless',
  version: 1,
  summary: 'Blocks or hoards when asked.',
  inputs: ['in'],
  outputs: ['out'],
  config: z.strictObject({}),
  examples: [],
  face: {
    kind: 'kernel',
    make: () => (message, emit) => {
      const { value } = message
      while (value === 'block');
      while (value === 'hoard') held = { before: held, number: Math.random() }
      emit(message)
    },
  },
})

export const nodeTypes = [defineVersions({ 1: careless }, { latest: 1 })]
