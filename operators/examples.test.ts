import { describe, expect, test } from 'vitest'
import { runExample } from '../core/testing.ts'
import { catalogue } from '../nodes.ts'

/** Every example of every node type is a test, however batches are cut, compiled and interpreted. */
for (const type of catalogue.types)
  for (const definition of Object.values(type.versions))
    describe(`${definition.name}@${definition.version}`, () => {
      test.each(definition.examples)('$title: the config is valid', (example) => {
        expect(definition.config.safeParse(example.config)).toMatchObject({ success: true })
      })
      for (const example of definition.examples) {
        if (example.output === null) continue
        for (const interpret of [false, true])
          test.each([1, 2, 7, 1024])(
            `${example.title}, ${interpret ? 'interpreted' : 'compiled'}, batches of %i`,
            async (cut) => {
              const run = await runExample(definition, example, catalogue.types, cut, { interpret })
              expect(run.faults).toEqual([])
              expect(run.outcome).toMatchObject({ state: 'done', unsettled: 0 })
              expect(run.collected).toMatchObject(example.output ?? {})
              expect(Object.keys(run.collected).sort()).toEqual(Object.keys(example.output ?? {}).sort())
              expect(run.deadLetters).toEqual([])
            },
          )
      }
    })
