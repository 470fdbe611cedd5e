import { describe, expect, test } from 'vitest'
import { message } from '../flow/message.ts'
import type { SampleReport } from '../pipeline.ts'
import type { VirtualClock } from '../testing.ts'
import { virtualClock } from '../testing.ts'
import { excerpt } from './excerpt.ts'
import { Sampler, sampleFilter } from './sampler.ts'

const limits = { perSecondMax: 10, examinedPerSecondMax: 100, valueCharsMax: 100, filter: null }
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => message({ n: from + index }, 'k', 7))

const pass = (clock: VirtualClock, ms: number): Promise<boolean> => {
  const end = clock.now() + ms
  return clock.runUntil(() => clock.now() >= end)
}

describe('a sampler', () => {
  test('takes a burst of up to a second’s worth, then what time gives back, and counts the rest', async () => {
    const clock = virtualClock(0)
    const reports: SampleReport[] = []
    const sampler = new Sampler(limits, clock, (report) => reports.push(report))
    sampler.take(numbers(0, 25))
    await pass(clock, 100)
    expect(reports).toEqual([
      { samples: Array.from({ length: 10 }, (_, n) => ({ value: { n }, key: 'k', time: 7 })), missed: 15 },
    ])
    sampler.take(numbers(25, 30))
    await pass(clock, 100)
    expect(reports[1]).toEqual({ samples: [{ value: { n: 25 }, key: 'k', time: 7 }], missed: 4 })
    await pass(clock, 5_000)
    expect(reports).toHaveLength(2)
    sampler.close()
    sampler.take(numbers(0, 1))
    await pass(clock, 5_000)
    expect(reports).toHaveLength(2)
  })

  test('with a filter looks at a bounded number; what it looked at and did not want is not missed', async () => {
    const clock = virtualClock(0)
    const reports: SampleReport[] = []
    const sampler = new Sampler({ ...limits, filter: '$json.n % 50 == 1' }, clock, (report) => reports.push(report))
    sampler.take(numbers(0, 150))
    await pass(clock, 100)
    expect(reports).toEqual([{ samples: [1, 51].map((n) => ({ value: { n }, key: 'k', time: 7 })), missed: 50 }])
    sampler.close()
  })

  test('a filter that fails on a message passes it by; one that cannot be read says why', () => {
    const matches = sampleFilter('{{ $json.a.b > 1 && $key == "k" }}')
    expect(matches(message({ a: { b: 2 } }, 'k'))).toBe(true)
    expect(matches(message({}, 'k'))).toBe(false)
    expect(() => sampleFilter('$json.')).toThrow(/the filter "\$json\.".*[^.]$/)
    expect(() => sampleFilter('$vars.x == 1')).toThrow('reads $vars: it knows only $json, $key and $meta')
  })
})

describe('an excerpt', () => {
  test.each([
    ['small values are whole', { a: [1, 'x', null, true] }, { a: [1, 'x', null, true] }],
    ['text is cut', 'x'.repeat(300), `${'x'.repeat(100)}… (300 characters)`],
    ['bytes show their beginning', new Uint8Array([1, 255]), { bytes: 2, hex: '01ff' }],
    [
      'what JSON lacks becomes something that it has',
      { big: 12n, at: new Date(0), f: () => 1 },
      { big: '12', at: '1970-01-01T00:00:00.000Z', f: null },
    ],
  ])('%s', (_, value, shown) => expect(excerpt(value, 100)).toEqual(shown))

  test('what is left out says how much it was, however it lies', () => {
    expect(
      excerpt(
        Array.from({ length: 1_000 }, () => 1),
        40,
      ),
    ).toEqual([1, 1, 1, 1, '… 996 more'])
    const wide = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`field-${n}`, n]))
    expect(excerpt(wide, 40)).toMatchObject({ 'field-0': 0, '…': expect.stringMatching(/^99\d more fields$/) })
    let deep: unknown = 1
    for (let n = 0; n < 1_000; n++) deep = [deep]
    expect(JSON.stringify(excerpt(deep, 100_000)).length).toBeLessThan(100)
    const long = JSON.stringify(excerpt({ list: Array.from({ length: 100 }, () => 'y'.repeat(1_000)) }, 2_000))
    expect(long.length).toBeLessThan(4_000)
  })

  test('a field that is called __proto__ stays a field', () => {
    const shown = excerpt(JSON.parse('{"__proto__":{"polluted":1}}'), 100)
    expect(JSON.stringify(shown)).toBe('{"__proto__":{"polluted":1}}')
  })
})
