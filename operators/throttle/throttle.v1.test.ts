import fc from 'fast-check'
import { expect, test } from 'vitest'
import { timedRun } from '../timed.fixture.ts'

const throttle = (config: object) => ({ type: 'throttle@1', config })

const arrivals = fc
  .array(fc.record({ afterMs: fc.nat(60), count: fc.integer({ min: 1, max: 5 }) }), { minLength: 1, maxLength: 12 })
  .map((rows) => {
    let at = 0
    let n = 0
    return rows.map(({ afterMs, count }): [number, ...number[]] => {
      at += afterMs
      return [at, ...Array.from({ length: count }, () => n++)]
    })
  })

const timesOf = (lines: readonly string[] | undefined): readonly number[] =>
  (lines ?? []).map((line) => Number(line.split(': ')[0]))

/** Intervals begin with the first message that passes after the last one is over. */
function mostInAnInterval(times: readonly number[], everyMs: number): number {
  let begin = Number.NEGATIVE_INFINITY
  let count = 0
  let most = 0
  for (const time of times) {
    if (time - begin >= everyMs) {
      begin = time
      count = 0
    }
    most = Math.max(most, ++count)
  }
  return most
}

test('waiting: no interval lets more pass than it may, all pass in order, and none waits longer than the rate asks', async () => {
  await fc.assert(
    fc.asyncProperty(
      arrivals,
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 5, max: 50 }),
      async (given, count, everyMs) => {
        const run = await timedRun(throttle({ count, everyMs }), given)
        const values = given.flatMap(([, ...each]) => each)
        expect(run.out.out?.map((line) => Number(line.split(': ')[1]))).toEqual(values)
        expect(mostInAnInterval(timesOf(run.out.out), everyMs)).toBeLessThanOrEqual(count)
        // The model: intervals follow each other as long as somebody waits.
        const at = given.flatMap(([time, ...each]) => each.map(() => Number(time)))
        let begin = Number.NEGATIVE_INFINITY
        let passed = 0
        const expected = at.map((arrived) => {
          let now = Math.max(arrived, begin)
          if (now - begin >= everyMs) {
            begin = now
            passed = 0
          } else if (passed >= count) {
            now = begin + everyMs
            begin = now
            passed = 0
          }
          passed += 1
          return now
        })
        expect(timesOf(run.out.out)).toEqual(expected)
        expect(run).toMatchObject({ outcome: 'done', faults: [] })
      },
    ),
    { numRuns: 150 },
  )
})

test('dropping: what comes when the interval is full is gone, and settled', async () => {
  const run = await timedRun(throttle({ count: 2, everyMs: 100, mode: 'drop' }), [
    [0, 1, 2, 3],
    [50, 4],
    [100, 5],
    [199, 6, 7],
  ])
  expect(run.out.out).toEqual(['0: 1', '0: 2', '100: 5', '199: 6'])
  expect(run.closed).toHaveLength(4)
  expect(run).toMatchObject({ outcome: 'done', faults: [] })
})

test('a kill lets go of what waits: nothing more passes, and no mark is left behind it', async () => {
  const run = await timedRun(throttle({ count: 1, everyMs: 100 }), [[0, 1, 2, 3]], { killMs: 150 })
  expect(run.out.out).toEqual(['0: 1', '100: 2'])
  expect(run).toMatchObject({ outcome: 'stopped', faults: [], closed: [] })
})
