import fc from 'fast-check'
import { expect, test } from 'vitest'
import { timedRun } from '../timed.fixture.ts'

const cases = [
  { port: 'two', where: '{{ $json.n % 2 === 0 }}' },
  { port: 'three', where: '{{ $json.n % 3 === 0 }}' },
  { port: 'two', where: '{{ $json.n % 7 === 0 }}' },
  { port: 'deep', where: '{{ $json.n === 30 ? $json.a.b === 1 : false }}' },
]
const ports = ['two', 'three', 'deep', 'otherwise', 'error']
const numbersOf = (lines: readonly string[] | undefined): readonly number[] =>
  (lines ?? []).map((line) => Number(/"n":(\d+)/.exec(line)?.[1]))

test.each(['first', 'all'] as const)(
  '%s: each message takes the ports of the cases that hold, in order',
  async (mode) => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 29 }), { maxLength: 20 }), async (values) => {
        const run = await timedRun(
          { type: 'switch@1', config: { cases, mode } },
          [[0, ...values.map((n) => ({ n }))]],
          { ports },
        )
        const expected: Record<string, number[]> = { two: [], three: [], otherwise: [] }
        for (const n of values) {
          const hold = [n % 2 === 0 ? ['two'] : [], n % 3 === 0 ? ['three'] : [], n % 7 === 0 ? ['two'] : []].flat()
          const taken = mode === 'all' ? hold : hold.slice(0, 1)
          for (const port of taken.length === 0 ? ['otherwise'] : taken) expected[port]?.push(n)
        }
        expect(Object.fromEntries(Object.keys(expected).map((port) => [port, numbersOf(run.out[port])]))).toEqual(
          expected,
        )
        expect(run).toMatchObject({ outcome: 'done', faults: [] })
      }),
      { numRuns: 60 },
    )
  },
)

test('all: when one case cannot be told, the message goes to no port but the error port', async () => {
  const run = await timedRun({ type: 'switch@1', config: { cases, mode: 'all' } }, [[0, { n: 30 }, { n: 6 }]], {
    ports,
  })
  expect(ports.map((port) => numbersOf(run.out[port]))).toEqual([[6], [6], [], [], [30]])
})
