import { z } from 'zod'
import { define, expression, startExpression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Settings } from './connection.ts'
import { connectionFields, openConnection, settingsField } from './connection.ts'
import { columnName, isTable, quotedColumn, quotedTable, tableName } from './identifier.ts'
import { Inserter } from './inserter.ts'
import { namesOf, rowWriter } from './row-text.ts'

const marginMs = 1_000

/** Rows into a table. */
export const clickhouseInsertV1 = define({
  name: 'clickhouse.insert',
  version: 1,
  summary: 'Inserts messages into a ClickHouse table, many at a time.',
  notes:
    'Give it `onError: { retry: { attemptsMax: 100 } }`: then a server that is away only slows the flow. A repeated insert is the same to the ' +
    'byte and carries the same deduplication token, so a table that deduplicates takes it once. A row that the server refuses fails alone. Bytes are written as base64.',
  inputs: ['in'],
  outputs: [],
  outside: true,
  config: z.strictObject({
    ...connectionFields,
    table: startExpression(tableName).describe('`table` or `database.table`, without quotes.'),
    columns: z
      .union([
        z.array(columnName).min(1).max(1_000),
        z.record(columnName, expression(z.json())).refine((all) => Object.keys(all).length > 0, 'names no column'),
      ])
      .optional()
      .describe(
        'Names of fields of the value, or columns with an expression for each. Left out: the value is the row, and its fields are the columns.',
      ),
    rowsMax: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(5_000)
      .describe('An insert is begun at so many rows; `inFlightMax` of the settings must be larger …'),
    waitMsMax: z.int().min(0).max(600_000).default(1_000).describe('… or when the oldest has waited so long.'),
    bytesMax: z
      .int()
      .min(1_000)
      .max(256_000_000)
      .default(64_000_000)
      .describe('Bytes of one insert; more rows go in a second one. A row that is larger fails.'),
    concurrency: z.int().min(1).max(64).default(2).describe('Inserts under way at once; 1 keeps the order.'),
    timeoutMs: z.int().min(1).max(3_600_000).default(30_000).describe('How long one insert may take.'),
    deduplicate: z
      .boolean()
      .default(true)
      .describe('Sends the token by which a table knows a repeated insert. Needs ClickHouse 22.2 or later.'),
    unknownFields: z
      .enum(['fail', 'skip'])
      .default('fail')
      .describe('What becomes of a row with a field that the table has no column for.'),
    settings: settingsField,
  }),
  check: (config) => [
    ...('insert_deduplication_token' in config.settings
      ? [
          {
            field: 'settings.insert_deduplication_token',
            message: 'a table that deduplicates would take the first insert only, since all would have this token',
            remedy: 'Leave it out: each insert gets a token of its own.',
          },
        ]
      : []),
    ...(isOff(config.settings.wait_for_async_insert)
      ? [
          {
            field: 'settings.wait_for_async_insert',
            message: 'the server would answer before it has written the rows, and lose those of which it has not',
            remedy: 'Leave it out; rows are collected here already.',
          },
        ]
      : []),
  ],
  examples: [
    {
      title: 'Events as they are, with retries',
      config: {
        url: 'http://127.0.0.1:8123',
        username: 'writer',
        password: '{{ $env.CLICKHOUSE_PASSWORD }}',
        table: 'analytics.events',
      },
      input: [{ at: '2026-01-01T00:00:00Z', user: 'u1', name: 'opened' }],
      output: null,
    },
    {
      title: 'An expression for each column, in large inserts',
      config: {
        url: 'http://127.0.0.1:8123',
        table: 'orders',
        columns: { id: '{{ $json.id }}', eur: '{{ $json.total * 0.92 }}', note: '{{ $json.note ?? "" }}' },
        rowsMax: 50_000,
        waitMsMax: 5_000,
      },
      input: [{ id: 1, total: 10 }],
      output: null,
    },
  ],
  face: {
    kind: 'sink',
    limits: (config) => ({
      messagesMax: config.rowsMax,
      waitMsMax: config.waitMsMax,
      timeoutMs: config.timeoutMs + marginMs,
      concurrency: config.concurrency,
    }),
    make: (config, context) => {
      const connection = openConnection(config, context)
      const table: unknown = context.value(config.table)
      if (typeof table !== 'string' || !isTable(table))
        throw new NodeError(
          'clickhouse.bad-config',
          `table of ${context.node} gives ${JSON.stringify(table)}, not a name`,
        )
      const names = namesOf(config.columns)
      const listed = names === null ? '' : ` (${names.map(quotedColumn).join(', ')})`
      const statement = `INSERT INTO ${quotedTable(table)}${listed} FORMAT JSONEachRow`
      const settings: Settings = {
        // What JavaScript writes for a moment in time is read as one.
        date_time_input_format: 'best_effort',
        input_format_skip_unknown_fields: config.unknownFields === 'skip',
        // Rows are collected here already; a server that collects them again knows tokens only when told so.
        ...(config.deduplicate ? { async_insert: false } : {}),
        ...config.settings,
      }
      return new Inserter({
        node: context.node,
        clock: context.host.clock,
        rowOf: rowWriter(config.columns, context),
        send: (insert, signal) => {
          const token: Settings = config.deduplicate ? { insert_deduplication_token: insert.token } : {}
          return connection.insert(statement, insert.body, { ...settings, ...token }, signal)
        },
        bytesMax: config.bytesMax,
        timeoutMs: config.timeoutMs,
      })
    },
  },
})

/** How a document may switch a setting off. */
function isOff(setting: string | number | boolean | null | undefined): boolean {
  return setting === false || setting === 0 || setting === '0' || setting === 'false'
}
