import { z } from 'zod'
import { define, expression } from '../../core/define.ts'

/** Each thing once. */
export const dedupeV1 = define({
  name: 'dedupe',
  version: 1,
  summary: 'Drops messages whose key was seen before.',
  notes:
    'It remembers the last `keysMax` keys, each for `windowMs`; a key that was forgotten passes again. The memory is lost when the execution ends.',
  inputs: ['in'],
  outputs: ['out'],
  stateful: true,
  config: z.strictObject({
    by: expression(z.union([z.string(), z.number()])).describe('The key, for example `{{ $json.id }}`.'),
    keysMax: z
      .int()
      .min(1)
      .max(10_000_000)
      .default(100_000)
      .describe('Keys remembered; beyond it the oldest is forgotten.'),
    windowMs: z
      .int()
      .min(0)
      .max(2_592_000_000)
      .default(0)
      .describe('How long a key is remembered; 0 for as long as there is room.'),
  }),
  examples: [
    {
      title: 'Each id once',
      config: { by: '{{ $json.id }}' },
      input: [{ id: 1 }, { id: 2 }, { id: 1 }],
      output: { out: [{ id: 1 }, { id: 2 }] },
    },
    {
      title: 'Only the last key is remembered',
      config: { by: '{{ $json }}', keysMax: 1 },
      input: ['a', 'a', 'b', 'a'],
      output: { out: ['a', 'b', 'a'] },
    },
  ],
  face: {
    kind: 'kernel',
    make: (config, context) => {
      const keyOf = context.reader(config.by)
      const seenIn = context.state(() => new Map<unknown, number>())
      const { clock } = context.host
      return (message, emit, scope) => {
        const seen = seenIn(scope)
        const key: unknown = keyOf(message, scope)
        const now = config.windowMs > 0 ? clock.now() : 0
        const before = seen.get(key)
        if (before !== undefined && (config.windowMs === 0 || now - before < config.windowMs)) return
        // Deleted first, so that the map's order stays the order of arrival.
        seen.delete(key)
        seen.set(key, now)
        if (seen.size > config.keysMax) seen.delete(seen.keys().next().value)
        emit(message)
      }
    },
  },
})
