import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { watchArrival } from './arrival.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** A body of 1,000 bytes that comes at one byte a millisecond in pieces of `pieceMs`: when was it told, and what? */
function steady(pieceMs: number, withinMs: number): readonly (readonly number[])[] {
  const told: number[][] = []
  let nowMs = 0
  const came = watchArrival(1000, withinMs, (received, expectedMs) => told.push([nowMs, received, expectedMs]))
  for (; nowMs < 1000; ) {
    vi.advanceTimersByTime(pieceMs)
    nowMs += pieceMs
    came(nowMs)
  }
  return told
}

it('tells once, with the first piece after which the rest is expected within the time', () => {
  expect(steady(10, 300)).toEqual([[700, 700, 300]])
  expect(steady(10, 305)).toEqual([[700, 700, 300]])
  expect(steady(250, 300)).toEqual([[750, 750, 250]])
})

it('tells at once where the whole body takes less, but does not judge by the first 20 ms', () => {
  expect(steady(5, 60_000)).toEqual([[20, 20, 980]])
})

it('does not tell of a body that is complete', () => {
  expect(steady(1000, 60_000)).toEqual([])
})

it('judges anew with each piece, since lines become slower and faster', () => {
  const told: number[] = []
  const came = watchArrival(1000, 100, (_, expectedMs) => told.push(expectedMs))
  vi.advanceTimersByTime(19)
  came(900)
  vi.advanceTimersByTime(981)
  came(905)
  expect(told).toEqual([])
  vi.advanceTimersByTime(10)
  came(950)
  expect(told).toHaveLength(1)
  expect(told[0]).toBeCloseTo(53.2, 1)
})
