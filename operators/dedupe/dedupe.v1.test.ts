import fc from 'fast-check'
import { expect, test } from 'vitest'
import { timedRun } from '../timed.fixture.ts'

const dedupe = (config: object) => ({ type: 'dedupe@1', config: { by: '{{ $json }}', ...config } })

test('a key is known for so long since it last passed, and passes again then', async () => {
  const given: [number, string][] = [0, 60, 99, 100, 150, 205].map((at) => [at, 'a'])
  const run = await timedRun(dedupe({ windowMs: 100 }), given)
  expect(run.out.out).toEqual(['0: "a"', '100: "a"', '205: "a"'])
})

test('a key that passes again is the newest: another one is forgotten before it', async () => {
  const given: [number, string][] = [
    [0, 'a'],
    [10, 'b'],
    [100, 'a'],
    [105, 'c'],
    [109, 'a'],
  ]
  const run = await timedRun(dedupe({ windowMs: 100, keysMax: 2 }), given)
  expect(run.out.out).toEqual(['0: "a"', '10: "b"', '100: "a"', '105: "c"'])
})

test('no more keys are known than may be: the ones that passed last', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('a', 'b', 'c', 'd')),
      fc.integer({ min: 1, max: 3 }),
      async (keys, keysMax) => {
        const run = await timedRun(dedupe({ keysMax }), [[0, ...keys]])
        let known: string[] = []
        const passed = keys.filter((key) => {
          if (known.includes(key)) return false
          known = [...known, key].slice(-keysMax)
          return true
        })
        expect(run.out.out).toEqual(passed.map((key) => `0: ${JSON.stringify(key)}`))
      },
    ),
    { numRuns: 100 },
  )
})
