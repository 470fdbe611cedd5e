import { z } from 'zod'
import { define, expression } from '../../core/define.ts'
import { failureOf } from '../../core/flow/failure.ts'
import { message } from '../../core/flow/message.ts'

const one = { messages: 1, bytes: 0 }

/** A clock's beat. */
export const intervalV1 = define({
  name: 'interval',
  version: 1,
  summary: 'Gives a message every so many milliseconds.',
  notes:
    'The value is `{ n, time }`: the number of the beat, from 0, and the moment it was due, as milliseconds since 1970. ' +
    'Beats keep to their times: one that comes late does not shift the next. A beat cannot wait for a flow that is behind; ' +
    '`overflow` says what becomes of it, and the gap in `n` shows how many were left out.',
  inputs: [],
  outputs: ['out'],
  freshValues: true,
  config: z.strictObject({
    everyMs: z.int().min(1).max(86_400_000).describe('Milliseconds from beat to beat.'),
    count: z
      .int()
      .min(0)
      .max(1_000_000_000)
      .default(0)
      .describe('Beats in all, those left out included; 0 for no end.'),
    first: z
      .enum(['now', 'later'])
      .default('later')
      .describe('Whether the first beat is at the start or one `everyMs` after it.'),
    overflow: z
      .enum(['coalesce', 'drop'])
      .default('coalesce')
      .describe(
        'When the flow is behind: `coalesce` gives the latest beat as soon as there is room, `drop` leaves it out.',
      ),
    value: expression(z.json())
      .optional()
      .describe('The value of each; `$json` is `{ n, time }`. Without it: just that.'),
  }),
  examples: [
    {
      title: 'Three beats, a second apart',
      config: { everyMs: 1000, count: 3, first: 'now', value: '{{ $json.n }}' },
      input: [],
      output: { out: [0, 1, 2] },
    },
    { title: 'Ask a service every minute', config: { everyMs: 60_000, first: 'now' }, input: [], output: null },
  ],
  face: {
    kind: 'stream-trigger',
    pausable: false,
    open: async (config, context) => {
      const { clock } = context.host
      const { everyMs, count } = config
      const read = context.readerOrValue(config.value)
      const scope = context.streamScope
      const begin = clock.now() + (config.first === 'now' ? 0 : everyMs)
      let next = 0
      let ticket = 0
      /** The latest beat that found no room. */
      let waiting: number | null = null
      let open = true
      let paused = false
      let cancelTimer = (): void => {}

      /** Sends a beat; false when the gate is shut. */
      const send = (n: number): boolean => {
        if (!context.gate.take(one)) return false
        const time = begin + n * everyMs
        const beat = message({ n, time }, null, time, null)
        context.emit(0, [message(read(beat, scope), null, time, null)], scope, ticket++, one)
        return true
      }
      const guarded = (work: () => void) => (): void => {
        try {
          if (open) work()
        } catch (thrown) {
          close()
          context.fail(failureOf(thrown, context.node))
        }
      }
      const endIfOver = (): void => {
        if (count === 0 || next < count || waiting !== null) return
        close()
        context.complete()
      }
      const beat = guarded(() => {
        // After a pause of the machine many beats are due at once: the latest stands for them.
        const due = Math.floor((clock.now() - begin) / everyMs)
        const n = count === 0 ? due : Math.min(due, count - 1)
        if (n >= next && !paused) {
          next = n + 1
          waiting = send(n) || config.overflow === 'drop' ? null : n
        }
        endIfOver()
        if (open && (count === 0 || next < count)) plan()
      })
      const plan = (): void => {
        cancelTimer = clock.after(Math.max(0, begin + Math.max(next, 0) * everyMs - clock.now()), beat)
      }
      const gateWatch = context.gate.open$.subscribe((isOpen) => {
        if (isOpen && waiting !== null) clock.soon(catchUp)
      })
      const catchUp = guarded(() => {
        if (waiting === null || paused || !send(waiting)) return
        waiting = null
        endIfOver()
      })
      const close = (): void => {
        open = false
        cancelTimer()
        gateWatch.unsubscribe()
      }
      plan()
      return {
        pause: () => {
          paused = true
          cancelTimer()
        },
        resume: () => {
          if (!paused || !open) return
          paused = false
          // There may have come room for what waits, and it may be the last.
          catchUp()
          beat()
        },
        close: async () => close(),
      }
    },
  },
})
