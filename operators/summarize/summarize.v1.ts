import { z } from 'zod'
import { define, expression } from '../../core/define.ts'
import { batch } from '../../core/flow/batch.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { message } from '../../core/flow/message.ts'
import type { Receipt } from '../../core/flow/receipt.ts'
import { stateful } from '../../core/flow/stateful.ts'
import type { Period } from './periods.ts'
import { Periods } from './periods.ts'
import { RunningValues, summaries } from './running-values.ts'

/** Results in one batch; a period with more keys leaves as several. */
const batchMessagesMax = 1_024
/** A time that is further ahead of this machine's clock is a mistake, and would make everything after it late. */
const aheadMsMax = 60_000

const fieldName = z
  .string()
  .min(1)
  .max(128)
  .refine((name) => !['__proto__', 'constructor', 'prototype'].includes(name), 'this field name is not allowed')
  .refine((name) => !['key', 'from', 'to'].includes(name), 'key, from and to are set by the node itself')

/** Many messages of a period become one per key. */
export const summarizeV1 = define({
  name: 'summarize',
  version: 1,
  summary:
    'Sums up the messages of each key and period of time in one: first, last, least, greatest, sum, count, average.',
  notes:
    'It gives `{ key, from, to, … }` for each key that had messages, when the period is over, in the order in which the keys first came, and at the end what is left. ' +
    'Periods begin at whole multiples of `everyMs` since 1970. It keeps running values and no messages, so its memory follows the number of keys. ' +
    'With `time: arrival` a period is over by this machine’s clock; with `time: message` it is over when a message has come whose time is `latenessMs` past its end. ' +
    'A message that comes later than that leaves by the `error` port, and so does one whose time is more than a minute ahead of the clock. ' +
    'What is summed up does not hold back the source, but is not committed before its result has arrived; until then the source keeps what ' +
    'it would send again, so long periods at high rates cost memory.',
  inputs: ['in'],
  outputs: ['out'],
  stateful: true,
  config: z.strictObject({
    by: expression(z.union([z.string(), z.number()]))
      .optional()
      .describe(
        'The key, for example `{{ $json.symbol }}`; without it there is one result for all, and its `key` is null.',
      ),
    everyMs: z.int().min(1).max(86_400_000).describe('How long a period is, in milliseconds.'),
    time: z
      .enum(['arrival', 'message'])
      .default('arrival')
      .describe('Which period a message belongs to: that of the moment when it comes, or that of its own time.'),
    latenessMs: z
      .int()
      .min(0)
      .max(86_400_000)
      .default(0)
      .describe('With `time: message`: how much older than the newest a message may be.'),
    fields: z
      .record(
        fieldName,
        z.strictObject({
          as: z
            .enum(summaries)
            .describe(
              '`first` and `last` take any value, `count` counts those that are not null, the others take numbers.',
            ),
          of: expression(z.json())
            .optional()
            .describe('What is summed up; null takes no part. The whole value when left out.'),
        }),
      )
      .refine((fields) => Object.keys(fields).length <= 100, 'at most 100 fields')
      .describe('The fields of the result.'),
    keysMax: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(10_000)
      .describe(
        'Keys that may be open at once, over all open periods; a message of one more leaves by the error port.',
      ),
  }),
  check: (config) =>
    config.time === 'arrival' && config.latenessMs > 0
      ? [
          {
            field: 'latenessMs',
            message: 'nothing is late by the time of its arrival',
            remedy: 'Remove latenessMs, or set `time: message`.',
          },
        ]
      : [],
  examples: [
    {
      title: 'Candles of a second per symbol',
      config: {
        by: '{{ $json.symbol }}',
        everyMs: 1000,
        fields: {
          open: { as: 'first', of: '{{ $json.price }}' },
          high: { as: 'max', of: '{{ $json.price }}' },
          low: { as: 'min', of: '{{ $json.price }}' },
          close: { as: 'last', of: '{{ $json.price }}' },
          volume: { as: 'sum', of: '{{ $json.size }}' },
          trades: { as: 'count' },
        },
      },
      input: [
        { symbol: 'A', price: 10, size: 1 },
        { symbol: 'B', price: 5, size: 2 },
        { symbol: 'A', price: 12.5, size: 4 },
        { symbol: 'A', price: 11, size: 1 },
      ],
      output: {
        out: [
          {
            ...{ key: 'A', from: 1_700_000_000_000, to: 1_700_000_001_000 },
            ...{ open: 10, high: 12.5, low: 10, close: 11, volume: 6, trades: 3 },
          },
          {
            ...{ key: 'B', from: 1_700_000_000_000, to: 1_700_000_001_000 },
            ...{ open: 5, high: 5, low: 5, close: 5, volume: 2, trades: 1 },
          },
        ],
      },
    },
    {
      title: 'What all messages of a minute come to, by their own times',
      config: {
        everyMs: 60_000,
        time: 'message',
        latenessMs: 5000,
        fields: { mean: { as: 'average' }, n: { as: 'count' } },
      },
      input: [1, 2, null, 6],
      output: { out: [{ key: null, from: 1_699_999_980_000, to: 1_700_000_040_000, mean: 3, n: 3 }] },
    },
  ],
  face: {
    kind: 'stream',
    make: (config, context) => {
      const { everyMs, latenessMs } = config
      const byArrival = config.time === 'arrival'
      const keyOf = config.by === undefined ? null : context.reader<unknown>(config.by)
      const values = new RunningValues(config.fields, context)
      const openCell = (): ReturnType<typeof values.open> => values.open()
      const { clock } = context.host
      return stateful(context, 1, (scope, emit) => {
        const periods = new Periods(everyMs, config.keysMax)
        let cancelTimer: (() => void) | null = null
        /** The batch at hand, whose first message read the clock for all. */
        let at: Receipt | null = null
        let now = 0
        /** Periods that end here or before are over. */
        let watermark = Number.NEGATIVE_INFINITY

        const give = ({ from, cells, pane }: Period): void => {
          // Its only message may have found no room.
          if (cells.size === 0) return pane.drop()
          const results = Array.from(cells, ([key, cell]) => {
            const value: Record<string, unknown> = { key, from, to: from + everyMs }
            values.write(cell, value)
            return message(value, key === null ? null : String(key), from)
          })
          const receipt = pane.close(results.length)
          const batches = Math.ceil(results.length / batchMessagesMax)
          if (batches > 1) receipt.retain(batches - 1)
          for (let cut = 0; cut < results.length; cut += batchMessagesMax)
            emit(0, batch(results.slice(cut, cut + batchMessagesMax), receipt, scope))
        }
        const giveUntil = (time: number): void => {
          for (let over = periods.over(time); over !== null; over = periods.over(time)) give(over)
        }
        const tick = (): void => {
          cancelTimer = null
          at = null
          giveUntil(Math.max(clock.now(), now))
          plan()
        }
        const plan = (): void => {
          const { oldest } = periods
          if (cancelTimer !== null || oldest === undefined) return
          cancelTimer = clock.after(Math.max(0, oldest.from + everyMs - clock.now()), tick)
        }
        const begin = (receipt: Receipt): void => {
          at = receipt
          // A clock that is set back does not reopen a period.
          now = byArrival ? Math.max(now, clock.now()) : clock.now()
          if (byArrival) giveUntil(now)
        }

        return {
          take(each, receipt) {
            if (receipt !== at) begin(receipt)
            const time = byArrival ? now : each.time
            const from = Math.floor(time / everyMs) * everyMs
            if (!byArrival) {
              if (from + everyMs <= watermark) throw late(time, watermark)
              if (!(time <= now + aheadMsMax)) throw ahead(time, now)
            }
            const key = keyOf === null ? null : checkKey(keyOf(each, scope))
            values.read(each, scope)
            const period = periods.at(from)
            values.add(periods.cell(period, key, openCell))
            if (period.held !== receipt) {
              period.pane.hold(receipt)
              period.held = receipt
            }
            if (byArrival) plan()
            else if (time - latenessMs > watermark) {
              watermark = time - latenessMs
              giveUntil(watermark)
            }
          },
          flush() {
            giveUntil(Number.POSITIVE_INFINITY)
            cancelTimer?.()
            cancelTimer = null
          },
          close() {
            cancelTimer?.()
            cancelTimer = null
            periods.drop()
          },
        }
      })
    },
  },
})

function checkKey(key: unknown): string | number {
  if (typeof key === 'string' || (typeof key === 'number' && Number.isFinite(key))) return key
  throw new NodeError('summarize.no-key', `the key is ${JSON.stringify(key) ?? 'missing'}; it must be text or a number`)
}

function late(time: number, watermark: number): NodeError {
  const text = `its period was over: the message is of ${when(time)}, and those before ${when(watermark)} are given`
  return new NodeError('summarize.late', `${text}; raise latenessMs to wait longer`)
}

function ahead(time: number, now: number): NodeError {
  const text = `the message is of ${when(time)}, more than ${aheadMsMax / 1000} s ahead of the clock (${when(now)})`
  return new NodeError('summarize.ahead', `${text}; correct its time where it is made`)
}

function when(time: number): string {
  return Math.abs(time) <= 8.64e15 ? new Date(time).toISOString() : String(time)
}
