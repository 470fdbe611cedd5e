import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readPoolFrame, readRunnerFrame } from './frames.ts'

describe('frames', () => {
  test('whatever arrives is a frame or nothing, and never throws', () => {
    const kinds = fc.constantFrom(
      'value',
      'done',
      'failed',
      'own',
      'ready',
      'unready',
      'start',
      'taken',
      'progress',
      'log',
      'x',
    )
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.tuple(kinds, fc.anything(), fc.anything(), fc.anything())), (data) => {
        for (const frame of [readRunnerFrame(data), readPoolFrame(data)]) {
          if (frame !== null) expect(Array.isArray(data) && frame[0] === data[0]).toBe(true)
        }
      }),
    )
  })

  test('a runner cannot name our own process group, or the first process, as its child', () => {
    for (const pid of [-5, 0, 1, 1.5, Number.NaN, '77']) expect(readRunnerFrame(['own', pid])).toBeNull()
    expect(readRunnerFrame(['own', 77])).toEqual(['own', 77])
  })
})
