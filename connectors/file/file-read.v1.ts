import { basename } from 'node:path'
import { z } from 'zod'
import type { NodeContext } from '../../core/define.ts'
import { define, startExpression } from '../../core/define.ts'
import { lineRecords } from '../../core/flow/line-records.ts'
import type { RecordReader } from '../../core/flow/record-source.ts'
import { openRecordSource } from '../../core/flow/record-source.ts'
import { followFile } from './follow-file.ts'
import { isPacked } from './packed-file.ts'
import { pathAtStart } from './place.ts'
import { openBytes } from './read-file.ts'
import { wholeText } from './whole-text.ts'

const schema = z.strictObject({
  path: startExpression(z.string().min(1).max(4096)).describe(
    'The file, in a folder that this host allows. One that ends in `.gz` is unpacked.',
  ),
  format: z
    .enum(['ndjson', 'lines', 'csv', 'text'])
    .default('ndjson')
    .describe(
      '`ndjson`: JSON per line. `lines`: text per line. `csv`: an object per row. `text`: the whole file as one text.',
    ),
  header: z
    .union([z.boolean(), z.array(z.string().min(1).max(200)).min(1).max(1_000)])
    .default(true)
    .describe(
      'CSV: the first row of the file names the columns, also for `from: end`; or their names, where the first row is data; or `false` for arrays.',
    ),
  skipRows: z
    .int()
    .min(0)
    .max(1_000)
    .default(0)
    .describe('CSV: rows at the beginning that are passed over, as a header that names of your own replace.'),
  delimiter: z.string().length(1).default(',').describe('CSV: what stands between columns.'),
  recordBytesMax: z
    .int()
    .min(1)
    .max(100_000_000)
    .default(1_000_000)
    .describe('A longer line, row or text goes to the dead-letter.'),
  follow: z.boolean().default(false).describe('Goes on with what is written to the file later, without end.'),
  from: z
    .enum(['start', 'end'])
    .default('start')
    .describe('Where it begins to read; `end` only makes sense with `follow`.'),
  pollMs: z
    .int()
    .min(10)
    .max(60_000)
    .default(500)
    .describe('How often a followed file is looked at, besides when the system reports a change.'),
})

type Config = z.infer<typeof schema>

/** A file as a stream. */
export const fileReadV1 = define({
  name: 'file.read',
  version: 1,
  summary: 'Reads a file record by record: NDJSON, lines, CSV or the whole text, and follows it while it grows.',
  notes:
    'It reads no faster than the flow takes it. A record that cannot be read goes to the dead-letter with its line number, and the rest goes on. ' +
    'A followed file may be cut short or replaced (as log rotation does): reading goes on at the beginning of what is there then, ' +
    'after the rest of what was there before. CSV is read as RFC 4180 has it; a quote where none may stand is text, and a row with too few or too many columns goes to the dead-letter. Lines that are not UTF-8 are read with U+FFFD in place of the wrong bytes; JSON must be UTF-8.',
  inputs: [],
  outputs: ['out'],
  freshValues: true,
  outside: true,
  config: schema,
  check: (config) => [
    ...(config.skipRows > 0 && config.format !== 'csv'
      ? [
          {
            field: 'skipRows',
            message: `only CSV has rows, and the format is ${config.format}`,
            remedy: 'Leave it out, or use `format: csv`.',
          },
        ]
      : []),
    ...(config.from === 'end' && !config.follow
      ? [
          {
            field: 'from',
            message: 'reading from the end of a file that is not followed gives nothing',
            remedy: 'Set `follow: true`, or leave `from` out.',
          },
        ]
      : []),
    ...(config.follow && config.format === 'text'
      ? [
          {
            field: 'follow',
            message: 'a whole text has no end while it is followed',
            remedy: 'Use `format: lines`, or leave `follow` out.',
          },
        ]
      : []),
    ...(config.follow && isPacked(config.path.constant ?? '')
      ? [
          {
            field: 'follow',
            message: 'a packed file cannot be followed',
            remedy: 'Follow the file before it is packed.',
          },
        ]
      : []),
  ],
  examples: [
    { title: 'Orders, one JSON object per line', config: { path: 'orders.ndjson' }, input: [], output: null },
    {
      title: 'A CSV file with a header',
      config: { path: 'cities.csv.gz', format: 'csv', delimiter: ';' },
      input: [],
      output: null,
    },
    {
      title: 'A CSV file with names of your own in place of its header',
      config: { path: 'cities.csv', format: 'csv', header: ['city', 'people'], skipRows: 1 },
      input: [],
      output: null,
    },
    {
      title: 'What is logged from now on',
      config: { path: 'app.log', format: 'lines', follow: true, from: 'end' },
      input: [],
      output: null,
    },
  ],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: async (config, context) => {
      const path = pathAtStart(context, config.path, 'read')
      const recordBytesMax = Math.min(config.recordBytesMax, context.gate.limit.bytes)
      const reader = await readerOf(config, path, recordBytesMax, context)
      // Opened last: nobody would close it if anything failed after it.
      const bytes = config.follow
        ? await followFile(path, { from: config.from, pollMs: config.pollMs, clock: context.host.clock })
        : await openBytes(path)
      return openRecordSource(bytes, reader, context)
    },
  },
})

/** The CSV parser is loaded only by those who read CSV. */
async function readerOf(
  config: Config,
  path: string,
  recordBytesMax: number,
  context: NodeContext,
): Promise<RecordReader> {
  const where = basename(path)
  const options = { where, node: context.node, lineBytesMax: recordBytesMax }
  switch (config.format) {
    case 'csv': {
      const { delimiter, header, skipRows } = config
      const beginning =
        config.from === 'end' && (header === true || skipRows > 0)
          ? await (await import('./csv-header.ts')).readBeginning(
              await openBytes(path),
              where,
              { header, skipRows },
              { delimiter, recordBytesMax },
            )
          : null
      return (await import('./csv-records.ts')).csvRecords({
        where,
        node: context.node,
        recordBytesMax,
        header,
        skipRows,
        beginning,
        delimiter,
        followed: config.follow,
      })
    }
    case 'text':
      return wholeText({ where, node: context.node, textBytesMax: recordBytesMax })
    default:
      return lineRecords({ ...options, format: config.format })
  }
}
