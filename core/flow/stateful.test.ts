import { expect, test } from 'vitest'
import { timedRun } from '../../operators/timed.fixture.ts'

// Each gives something while it takes one of its values, and then has more to take, or has what it took still to keep; the last two at the end.
test.for([
  ['aggregate', { count: 2, waitMs: 100 }, [1, 2, 3]],
  ['aggregate', { count: 9, waitMs: 100, by: '{{ $json }}', keysMax: 1 }, [1, 2]],
  ['debounce', { waitMs: 100, by: '{{ $json }}', keysMax: 1 }, [1, 2, 3]],
  ['debounce', { waitMs: 100, by: '{{ $json }}', keysMax: 1 }, [1, 2]],
  ['summarize', { everyMs: 1, time: 'message', fields: { n: { as: 'count' } } }, [1, 2, 3]],
  ['throttle', { count: 1, everyMs: 100 }, [1, 2, 3]],
  ['aggregate', { count: 9, by: '{{ $json }}' }, [1, 2, 3]],
  ['debounce', { waitMs: 1_000, by: '{{ $json }}' }, [1, 2, 3]],
] as const)(
  '%s %j, killed by what it gives, keeps and gives nothing more of the batch',
  async ([type, config, values]) => {
    const run = await timedRun({ type: `${type}@1`, config }, [[0, ...values]], {
      ports: [],
      nodes: {
        note: { type: 'log@1', config: { text: 'now' } },
        read: { type: 'timed.reader@1', config: { as: 'read' } },
      },
      edges: ['subject -> note', 'note -> read'],
      endMs: 500,
      killOnLog: true,
      timeOf: Number,
    })
    expect(run.out.read).toHaveLength(1)
    expect(run).toMatchObject({ outcome: 'stopped', faults: [], closed: [] })
  },
)
