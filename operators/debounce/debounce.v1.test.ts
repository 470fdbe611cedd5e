import { expect, test } from 'vitest'
import { timedRun } from '../timed.fixture.ts'

const debounce = (config: object) => ({ type: 'debounce@1', config })

test('passes the last value when it has been quiet long enough', async () => {
  const run = await timedRun(
    debounce({ waitMs: 100 }),
    [
      [0, 'a'],
      [60, 'b'],
      [130, 'c'],
      [300, 'd'],
    ],
    { endMs: 900 },
  )
  expect(run.out.out).toEqual(['230: "c"', '400: "d"'])
  expect(run.closed).toEqual(['230: "a"', '230: "b"', '230: "c"', '400: "d"'])
  expect(run).toMatchObject({ outcome: 'done', faults: [] })
})

test('passes one at the latest after waitMsMax, quiet or not', async () => {
  const beats = Array.from({ length: 10 }, (_, index): [number, number] => [index * 40, index])
  const run = await timedRun(debounce({ waitMs: 100, waitMsMax: 150 }), beats, { endMs: 900 })
  expect(run.out.out).toEqual(['150: 3', '310: 7', '460: 9'])
})

test('keys are quiet each for itself, and more than keysMax make the oldest pass early', async () => {
  const run = await timedRun(
    debounce({ waitMs: 100, by: '{{ $json[0] }}', keysMax: 2 }),
    [
      [0, 'a1'],
      [50, 'b1'],
      [60, 'a2'],
      [70, 'c1'],
    ],
    { endMs: 900 },
  )
  expect(run.out.out).toEqual(['70: "a2"', '150: "b1"', '170: "c1"'])
})

test('at the end what waits passes at once; a kill lets nothing pass', async () => {
  expect((await timedRun(debounce({ waitMs: 100 }), [[0, 'a']], { endMs: 20 })).out.out).toEqual(['20: "a"'])
  const killed = await timedRun(debounce({ waitMs: 100 }), [[0, 'a']], { endMs: 900, killMs: 20 })
  expect(killed).toMatchObject({ outcome: 'stopped', faults: [], closed: [], out: { out: [] } })
})
