import type { Readable } from 'node:stream'
import { z } from 'zod'
import type { Expression, NodeContext } from '../../core/define.ts'
import { define, expression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'
import type { Settings } from './connection.ts'
import { connectionFields, openConnection, settingsField } from './connection.ts'
import { readRows } from './read-rows.ts'

/** What a query gives. */
export const clickhouseQueryV1 = define({
  name: 'clickhouse.query',
  version: 1,
  summary: 'Asks ClickHouse a query for each message and gives the rows as they come, or all at once.',
  notes:
    'The query is fixed text. What comes from a message is bound as a parameter (`{id:UInt64}`) and is never part of the SQL. ' +
    'Whole numbers of 64 bits and more come as text, since JavaScript would round them; moments come as `2026-01-01T00:00:00Z`. ' +
    'A query that is no longer wanted is cancelled at the server too.',
  inputs: ['in'],
  outputs: ['out'],
  makesResult: true,
  outside: true,
  config: z.strictObject({
    ...connectionFields,
    query: z
      .string()
      .min(1)
      .max(100_000)
      .refine((text) => !text.includes('{{'), 'holds an expression; bind its value: `{name:Type}`, and `parameters`')
      .describe('SQL without FORMAT, with parameters as `{name:Type}`.'),
    parameters: z
      .record(z.string().regex(/^[A-Za-z_]\w{0,99}$/, 'not the name of a parameter'), expression(z.json()))
      .default({})
      .describe(
        'Values by name: text, numbers, booleans, null, lists. A moment is ISO text: bind it as `{at:String}` and read it with `parseDateTimeBestEffort`.',
      ),
    rows: z
      .enum(['each', 'all', 'first'])
      .default('each')
      .describe(
        '`each`: a message per row. `all`: one message with a list. `first`: one message with the first row, or null.',
      ),
    rowsMax: z.int().min(1).max(1_000_000_000).default(100_000).describe('An answer with more rows is an error.'),
    rowBytesMax: z.int().min(1).max(100_000_000).default(1_000_000).describe('A row that is larger is an error.'),
    bytesMax: z
      .int()
      .min(1)
      .max(1_000_000_000_000)
      .default(100_000_000)
      .describe('An answer that is larger is an error.'),
    timeoutMs: z
      .int()
      .min(1)
      .max(86_400_000)
      .default(30_000)
      .describe('How long a query and the reading of its rows may take.'),
    concurrency: z.int().min(1).max(64).default(4).describe('Queries under way at once.'),
    settings: settingsField,
  }),
  examples: [
    {
      title: 'The customer of an order, kept beside it',
      config: {
        url: 'http://127.0.0.1:8123',
        query: 'SELECT name, country FROM customers WHERE id = {id:UInt64}',
        parameters: { id: '{{ $json.customer }}' },
        rows: 'first',
      },
      into: 'customer',
      input: [{ id: 1, customer: 7 }],
      output: null,
    },
    {
      title: 'A message for each row of a report',
      config: {
        url: 'http://127.0.0.1:8123',
        username: 'reader',
        password: '{{ $env.CLICKHOUSE_PASSWORD }}',
        query:
          'SELECT symbol, max(price) AS high FROM trades WHERE at >= parseDateTimeBestEffort({since:String}) GROUP BY symbol ORDER BY symbol',
        parameters: { since: '{{ $json.since }}' },
      },
      input: [{ since: '2026-01-01T00:00:00Z' }],
      output: null,
    },
  ],
  face: {
    kind: 'expand',
    limits: (config) => ({ concurrency: config.concurrency, timeoutMs: config.timeoutMs, inFlightMax: 1_000 }),
    make: (config, context) => {
      const connection = openConnection(config, context)
      const parametersOf = parameterReader(config.parameters, context)
      const settings: Settings = {
        date_time_output_format: 'iso',
        output_format_json_quote_64bit_integers: true,
        // Whoever has gone, or waits no longer, leaves no query behind.
        cancel_http_readonly_queries_on_client_close: true,
        max_execution_time: Math.ceil(config.timeoutMs / 1_000),
        ...config.settings,
      }
      return async function* (message, signal, scope) {
        const parameters = parametersOf(message, scope)
        let answer: Readable | null = null
        try {
          answer = await connection.query({ sql: config.query, parameters, settings }, signal)
          if (config.rows === 'each') {
            for await (const rows of readRows(answer, config)) yield rows.map((row) => context.result(message, row))
          } else if (config.rows === 'all') {
            const all: unknown[] = []
            for await (const rows of readRows(answer, config)) for (const row of rows) all.push(row)
            yield context.result(message, all)
          } else yield context.result(message, await firstOf(readRows(answer, config)))
        } catch (thrown) {
          throw connection.failed(thrown, signal)
        } finally {
          answer?.destroy()
        }
      }
    },
  },
})

async function firstOf(pages: AsyncIterable<readonly unknown[]>): Promise<unknown> {
  for await (const rows of pages) return rows[0]
  return null
}

/** Makes what gives a message's parameters. It throws a NodeError for one that has no value. */
function parameterReader(
  parameters: Readonly<Record<string, Expression<unknown>>>,
  context: NodeContext,
): (message: Message, scope: Scope) => Readonly<Record<string, unknown>> {
  const readers = Object.entries(parameters).map(([name, value]) => ({ name, read: context.reader(value) }))
  return (message, scope) =>
    Object.fromEntries(
      readers.map(({ name, read }) => {
        const value = read(message, scope)
        if (value !== undefined) return [name, value]
        throw new NodeError(
          'clickhouse.bad-parameter',
          `the parameter ${name} has no value; give null where you mean that`,
        )
      }),
    )
}
