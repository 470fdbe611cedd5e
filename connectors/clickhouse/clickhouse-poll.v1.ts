import { z } from 'zod'
import type { NodeContext } from '../../core/define.ts'
import { define, startExpression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { lineRecords } from '../../core/flow/line-records.ts'
import { openRecordSource } from '../../core/flow/record-source.ts'
import { connectionFields, openConnection, settingsField } from './connection.ts'
import { columnName, isTable, tableName } from './identifier.ts'
import { TablePoll } from './table-poll.ts'

const schema = z.strictObject({
  ...connectionFields,
  table: startExpression(tableName).describe('`table` or `database.table`, without quotes.'),
  columns: z
    .array(columnName)
    .min(1)
    .max(1_000)
    .optional()
    .describe('What is read, `column` and `tieBreak` included; all columns when left out.'),
  column: columnName.describe(
    'The column that grows: rows are read in its order. A whole number, moment, text, UUID, address or enum, never null.',
  ),
  tieBreak: columnName
    .optional()
    .describe('A second column that tells rows with the same value of `column` apart, and grows among them.'),
  where: z
    .string()
    .min(1)
    .max(10_000)
    .refine((text) => !text.includes('{{'), 'holds an expression; a condition is fixed text')
    .optional()
    .describe('A condition in SQL, such as `at < now() - 10`: rows that come late are waited for so long.'),
  from: z
    .enum(['start', 'end'])
    .default('start')
    .describe('With the rows that are there, or only with those that come.'),
  after: startExpression(z.union([z.string().max(1_000), z.number()]))
    .optional()
    .describe('Only rows with a greater value of `column`, for example `{{ $vars.since }}`; moments as ISO text.'),
  everyMs: z
    .int()
    .min(10)
    .max(86_400_000)
    .default(1_000)
    .describe('How long it waits when it has read all. Where more is there, it goes on at once.'),
  rowsMax: z.int().min(1).max(1_000_000).default(10_000).describe('Rows of one query.'),
  rowBytesMax: z.int().min(1).max(50_000_000).default(1_000_000).describe('A larger row goes to the dead-letter.'),
  tiesMax: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe('Without `tieBreak`: rows of one value of `column` that are remembered; more fail the execution.'),
  timeoutMs: z.int().min(1).max(3_600_000).default(30_000).describe('How long one query may take.'),
  settings: settingsField,
})

/** A table that grows, as a stream. */
export const clickhousePollV1 = define({
  name: 'clickhouse.poll',
  version: 1,
  summary: 'Reads the rows of a ClickHouse table in the order of a column, and then those that are added.',
  notes:
    'It reads each row once that is there when it comes by, in the order of `column`; rows that share a value are not lost. A row that is added ' +
    'later with a smaller value than the last one read is not seen: hold back with `where`. A server that is away is waited for. ' +
    'Whole numbers of 64 bits and more come as text, moments as `2026-01-01T00:00:00Z`.',
  inputs: [],
  outputs: ['out'],
  freshValues: true,
  outside: true,
  config: schema,
  check: (config) => [
    ...[config.column, ...(config.tieBreak === undefined ? [] : [config.tieBreak])]
      .filter((name) => config.columns !== undefined && !config.columns.includes(name))
      .map((name) => ({
        field: 'columns',
        message: `${name} is not among the columns, and rows are read by it`,
        remedy: `Add ${name} to \`columns\`, or leave them out.`,
      })),
    ...(config.from === 'end' && config.after !== undefined
      ? [{ field: 'after', message: '`from: end` and `after` are two beginnings', remedy: 'Keep one of them.' }]
      : []),
  ],
  examples: [
    {
      title: 'Events in the order of their time and id, ten seconds late so that none is missed',
      config: {
        url: 'http://127.0.0.1:8123',
        username: 'reader',
        password: '{{ $env.CLICKHOUSE_PASSWORD }}',
        table: 'analytics.events',
        column: 'at',
        tieBreak: 'id',
        where: 'at < now() - 10',
      },
      input: [],
      output: null,
    },
    {
      title: 'What is added from now on',
      config: { url: 'http://127.0.0.1:8123', table: 'orders', column: 'id', from: 'end', everyMs: 200 },
      input: [],
      output: null,
    },
  ],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: async (config, context) => {
      const table = tableOf(context.value(config.table), context)
      const poll = new TablePoll({
        table,
        columns: config.columns ?? null,
        column: config.column,
        tieBreak: config.tieBreak ?? null,
        where: config.where ?? null,
        node: context.node,
        connection: openConnection(config, context),
        from: config.from,
        after: config.after === undefined ? null : afterOf(context.value(config.after), context),
        everyMs: config.everyMs,
        rowsMax: config.rowsMax,
        tiesMax: config.tiesMax,
        timeoutMs: config.timeoutMs,
        settings: {
          date_time_output_format: 'iso',
          output_format_json_quote_64bit_integers: true,
          cancel_http_readonly_queries_on_client_close: true,
          max_execution_time: Math.ceil(config.timeoutMs / 1_000),
          ...config.settings,
        },
        clock: context.host.clock,
        log: context.host.log,
      })
      const lineBytesMax = Math.min(config.rowBytesMax, context.gate.limit.bytes)
      const reader = lineRecords({ format: 'ndjson', where: table, node: context.node, lineBytesMax })
      const source = openRecordSource(poll, reader, context)
      return {
        closed: (ticket, failure) => source.closed?.(ticket, failure),
        again: (ticket) => source.again?.(ticket) ?? null,
        pause: () => source.pause(),
        resume: () => source.resume(),
        close: async () => {
          poll.close()
          await source.close()
        },
      }
    },
  },
})

function tableOf(table: unknown, context: NodeContext): string {
  if (typeof table === 'string' && isTable(table)) return table
  throw new NodeError('clickhouse.bad-config', `table of ${context.node} gives ${JSON.stringify(table)}, not a name`)
}

function afterOf(value: unknown, context: NodeContext): string {
  if (typeof value === 'string' || typeof value === 'number') return String(value)
  throw new NodeError(
    'clickhouse.bad-config',
    `after of ${context.node} gives ${JSON.stringify(value)}, not text or a number`,
  )
}
