import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { timedRun } from '../timed.fixture.ts'

const summarize = (config: object) => ({ type: 'summarize@1', config })
const begin = 1_700_000_000_000

/** `time: key from n…`, with times from 0. */
const resultShape = z.looseObject({
  key: z.union([z.string(), z.number(), z.null()]),
  from: z.number(),
  to: z.number(),
})
function short(lines: readonly string[] | undefined): readonly string[] {
  return (lines ?? []).map((line) => {
    const [time = '', rest = ''] = line.split(/: (.*)/s)
    const { key, from, to, ...fields } = resultShape.parse(JSON.parse(rest))
    return `${time}: ${key} ${from - begin}-${to - begin} ${Object.values(fields)
      .map((each) => JSON.stringify(each))
      .join(' ')}`
  })
}

const ofN = { of: '{{ $json.n }}' }
const byK = '{{ $json.k }}'

describe('by arrival', () => {
  test('a period is given when it is over by the clock, once for each key; the rest at the end', async () => {
    const run = await timedRun(
      summarize({ by: byK, everyMs: 100, fields: { sum: { as: 'sum', ...ofN }, n: { as: 'count' } } }),
      [
        [10, { k: 'a', n: 1 }],
        [20, { k: 'b', n: 2 }, { k: 'a', n: 4 }],
        [99, { k: 'a', n: 8 }],
        [100, { k: 'a', n: 16 }],
        [340, { k: 'b', n: 32 }],
      ],
      { endMs: 350 },
    )
    expect(short(run.out.out)).toEqual([
      '100: a 0-100 13 3',
      '100: b 0-100 2 1',
      '200: a 100-200 16 1',
      '350: b 300-400 32 1',
    ])
    expect(run).toMatchObject({ outcome: 'done', faults: [] })
  })

  test('no period is given where nothing came, and no timer runs', async () => {
    const run = await timedRun(
      summarize({ everyMs: 10, fields: { n: { as: 'count' } } }),
      [
        [5, 1],
        [95, 2],
      ],
      { endMs: 200 },
    )
    expect(short(run.out.out)).toEqual(['10: null 0-10 1', '100: null 90-100 1'])
  })

  test('what is summed up is committed with its result, batch by batch, not before', async () => {
    const run = await timedRun(
      summarize({ everyMs: 100, fields: { n: { as: 'count' } } }),
      [
        [0, 1],
        [10, 2],
        [150, 3],
      ],
      { endMs: 500 },
    )
    expect(run.closed).toEqual(['100: 1', '100: 2', '200: 3'])
  })

  test('a kill drops what is open: nothing is given, nothing is committed, no timer is left', async () => {
    const run = await timedRun(summarize({ everyMs: 100, fields: { n: { as: 'count' } } }), [[0, 1]], {
      endMs: 500,
      killMs: 50,
    })
    expect(run).toMatchObject({ outcome: 'stopped', faults: [], closed: [], out: { out: [] } })
  })

  test('each way of summing up, of numbers, of nothing, and of nulls alone', async () => {
    const fields = Object.fromEntries(
      ['first', 'last', 'min', 'max', 'sum', 'count', 'average'].map((as) => [as, { as, ...ofN }]),
    )
    const run = await timedRun(summarize({ by: byK, everyMs: 100, fields }), [
      [
        0,
        { k: 'a', n: 2.5 },
        { k: 'b', n: null },
        { k: 'a', n: -1 },
        { k: 'a', n: null },
        { k: 'a', n: 6 },
        { k: 'b' },
      ],
    ])
    expect(short(run.out.out)).toEqual(['0: a 0-100 2.5 6 -1 6 7.5 3 2.5', '0: b 0-100 null null null null 0 0 null'])
  })

  test('a value that is no number leaves by the error port and changes nothing, and so does a message without a key', async () => {
    const run = await timedRun(
      summarize({ by: byK, everyMs: 100, fields: { n: { as: 'count' }, sum: { as: 'sum', ...ofN } } }),
      [[0, { k: 'a', n: 1 }, { k: 'a', n: 'x' }, { n: 1 }, { k: 'a', n: 2 }]],
    )
    expect(run.out.error).toEqual(['0: summarize.not-a-number {"k":"a","n":"x"}', '0: summarize.no-key {"n":1}'])
    expect(short(run.out.out)).toEqual(['0: a 0-100 2 3'])
    expect(run.faults).toEqual([])
  })

  test('a key too many leaves by the error port; those that are open go on', async () => {
    const run = await timedRun(
      summarize({ by: '{{ $json }}', everyMs: 100, keysMax: 2, fields: { n: { as: 'count' } } }),
      [
        [0, 'a', 'b', 'c', 'a'],
        [100, 'c'],
      ],
    )
    expect(run.out.error).toEqual(['0: summarize.too-many-keys "c"'])
    expect(short(run.out.out)).toEqual(['100: a 0-100 2', '100: b 0-100 1', '100: c 100-200 1'])
    expect(run.faults).toEqual([])
  })

  test('a period of very many keys leaves in several batches under one receipt', async () => {
    const all = Array.from({ length: 3000 }, (_, n) => n)
    const run = await timedRun(
      summarize({ by: '{{ $json }}', everyMs: 100, fields: { n: { as: 'count' } } }),
      [[0, ...all]],
      { endMs: 200 },
    )
    expect(run.out.out).toHaveLength(3000)
    expect(run).toMatchObject({ outcome: 'done', faults: [] })
  })
})

describe('by the time of the message', () => {
  const timeOf = (value: unknown): number => z.object({ t: z.number() }).parse(value).t

  test('a period is over when a message has come that is so much later; what is older is refused', async () => {
    const run = await timedRun(
      summarize({ everyMs: 100, time: 'message', latenessMs: 50, fields: { n: { as: 'count' } } }),
      [[0, { t: 10 }, { t: 120 }, { t: 90 }, { t: 149 }, { t: 95 }, { t: 150 }, { t: 99 }, { t: 100 }]],
      { timeOf },
    )
    expect(short(run.out.out)).toEqual(['0: null 0-100 3', '0: null 100-200 4'])
    expect(run.out.error).toEqual(['0: summarize.late {"t":99}'])
  })

  test('a time from the future does not make all others late', async () => {
    const run = await timedRun(
      summarize({ everyMs: 100, time: 'message', fields: { n: { as: 'count' } } }),
      [[0, { t: 10 }, { t: 86_400_000 }, { t: 20 }]],
      { timeOf },
    )
    expect(run.out.error).toEqual(['0: summarize.ahead {"t":86400000}'])
    expect(short(run.out.out)).toEqual(['0: null 0-100 2'])
  })
})

const messages = fc.array(
  fc.record({
    k: fc.constantFrom('a', 'b', 'c'),
    t: fc.integer({ min: -500, max: 2000 }),
    n: fc.integer({ min: -9, max: 9 }),
  }),
  { maxLength: 40 },
)

test('whatever the keys, the times, the lateness and the cuts: what a naive model gives, in its order, with every receipt ended once', async () => {
  await fc.assert(
    fc.asyncProperty(
      messages,
      fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 10 }),
      fc.constantFrom(1, 7, 100, 1000),
      fc.constantFrom(0, 10, 150, 5000),
      async (sent, cuts, everyMs, latenessMs) => {
        const given: [number, ...unknown[]][] = []
        for (let at = 0; at < sent.length; ) {
          const cut = cuts[given.length % cuts.length] ?? 1
          given.push([given.length, ...sent.slice(at, at + cut)])
          at += cut
        }
        const fields = {
          open: { as: 'first', ...ofN },
          high: { as: 'max', ...ofN },
          sum: { as: 'sum', ...ofN },
          mean: { as: 'average', ...ofN },
        }
        const config = { by: byK, everyMs, time: 'message', latenessMs, fields }
        const run = await timedRun(summarize(config), given, {
          timeOf: (value) => z.object({ t: z.number() }).parse(value).t,
        })
        const expected = naive(sent, everyMs, latenessMs)
        expect(short(run.out.out).map((line) => line.slice(line.indexOf(': ') + 2))).toEqual(expected.out)
        expect(run.out.error?.map((line) => line.slice(line.indexOf('{')))).toEqual(expected.late)
        expect(run).toMatchObject({ outcome: 'done', faults: [] })
        expect(run.closed).toHaveLength(given.length)
      },
    ),
    { numRuns: 150 },
  )
})

interface Sent {
  readonly k: string
  readonly t: number
  readonly n: number
}

/** Keeps all messages of all periods and sums them up when they are over. */
function naive(
  sent: readonly Sent[],
  everyMs: number,
  latenessMs: number,
): { readonly out: string[]; readonly late: string[] } {
  const out: string[] = []
  const late: string[] = []
  let open: { readonly from: number; readonly all: Sent[] }[] = []
  const give = (until: number): void => {
    open.sort((a, b) => a.from - b.from)
    for (const { from, all } of open.filter((each) => each.from + everyMs <= until))
      for (const key of new Set(all.map((each) => each.k))) {
        const values = all.filter((each) => each.k === key).map((each) => each.n)
        const sum = values.reduce((a, b) => a + b, 0)
        out.push(`${key} ${from}-${from + everyMs} ${values[0]} ${Math.max(...values)} ${sum} ${sum / values.length}`)
      }
    open = open.filter((each) => each.from + everyMs > until)
  }
  let newest = Number.NEGATIVE_INFINITY
  for (const each of sent) {
    // Whole multiples of the period since 1970, not since the test began.
    const from = Math.floor((begin + each.t) / everyMs) * everyMs - begin
    if (from + everyMs <= newest - latenessMs) {
      late.push(JSON.stringify(each))
      continue
    }
    const period = open.find((one) => one.from === from)
    if (period === undefined) open.push({ from, all: [each] })
    else period.all.push(each)
    newest = Math.max(newest, each.t)
    give(newest - latenessMs)
  }
  give(Number.POSITIVE_INFINITY)
  return { out, late }
}
