import { expect, test } from 'vitest'
import { timedRun } from '../timed.fixture.ts'

test('passes each message on after its time, never before one that came earlier', async () => {
  const run = await timedRun({ type: 'delay@1', config: { delayMs: '{{ $json }}' } }, [
    [0, 50, 10],
    [20, 100, 1],
  ])
  expect(run.out.out).toEqual(['50: 50', '50: 10', '120: 100', '120: 1'])
  expect(run).toMatchObject({ outcome: 'done', faults: [] })
})

test('a delay that is none goes to the error port', async () => {
  const run = await timedRun({ type: 'delay@1', config: { delayMs: '{{ $json }}' } }, [[0, 'soon', -1, 3_600_001, 5]])
  expect(run.out.error).toEqual(['0: delay.invalid "soon"', '0: delay.invalid -1', '0: delay.invalid 3600001'])
  expect(run.out.out).toEqual(['5: 5'])
})

test('a kill ends the wait at once', async () => {
  const run = await timedRun({ type: 'delay@1', config: { delayMs: 60000 } }, [[0, 1]], { killMs: 10 })
  expect(run).toMatchObject({ outcome: 'stopped', faults: [], out: { out: [] } })
})
