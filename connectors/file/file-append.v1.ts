import { z } from 'zod'
import type { WriteFailure } from '../../core/define.ts'
import { define, expression, startExpression } from '../../core/define.ts'
import { failureOf } from '../../core/flow/failure.ts'
import { jsonOf } from '../../core/json/json-text.ts'
import { AppendedFile } from './appended-file.ts'
import { cellsOf, csvLine } from './csv-line.ts'
import { lineOf } from './line-of.ts'
import { pathAtStart } from './place.ts'

/** Lines at the end of a file. */
export const fileAppendV1 = define({
  name: 'file.append',
  version: 1,
  summary: 'Appends each message to a file as a line: NDJSON, text or CSV.',
  notes:
    'Messages that come together are written together, in their order. A line that an earlier crash or a full disk left unfinished ' +
    'is ended first, so that it spoils no other. The file is opened at the first message and stays open; ' +
    'its folder is made if it is missing. A packed file is read through then, and each write is a part that can be unpacked by itself: it packs well where many messages come together. One file has one writer: do not append to it from two nodes.',
  inputs: ['in'],
  outputs: [],
  outside: true,
  config: z.strictObject({
    path: startExpression(z.string().min(1).max(4096)).describe(
      'The file, in a folder that this host allows. One that ends in `.gz` is packed.',
    ),
    format: z
      .enum(['ndjson', 'lines', 'csv'])
      .default('ndjson')
      .describe(
        '`ndjson`: JSON per line, in which bytes are base64. `lines`: text, or bytes that are UTF-8, per line, with no line end in it. `csv`: a row per message, which is an object, or a list with a value for each column; other values fail.',
      ),
    value: expression(z.json()).optional().describe('What is appended; the whole value when left out.'),
    columns: z
      .array(z.string().min(1).max(200))
      .min(1)
      .max(1_000)
      .optional()
      .describe('CSV: the fields that become columns, in this order. A new file begins with their names.'),
    delimiter: z.string().length(1).default(',').describe('CSV: what stands between columns.'),
    durable: z
      .enum(['none', 'batch'])
      .default('none')
      .describe('`batch` waits until the disk has each write, so that not even a power cut loses it.'),
    rotateBytes: z
      .int()
      .min(0)
      .max(1_000_000_000_000)
      .default(0)
      .describe(
        'A file that has grown so large is renamed to `NAME.1`, `NAME.1` to `NAME.2` and so on, a packed `NAME.gz` to `NAME.1.gz`; 0 for never.',
      ),
    rotatedFilesMax: z.int().min(1).max(1_000).default(5).describe('Renamed files that are kept; the oldest goes.'),
  }),
  check: (config) =>
    config.format === 'csv' && config.columns === undefined
      ? [{ field: 'columns', message: 'CSV needs the names of its columns', remedy: 'Add `columns: [id, name]`.' }]
      : [],
  examples: [
    { title: 'A packed file', config: { path: 'orders.ndjson.gz' }, input: [{ id: 1 }], output: null },
    { title: 'Keep what failed', config: { path: 'bad.ndjson' }, input: [{ id: 1 }], output: null },
    {
      title: 'A CSV file of two columns',
      config: { path: 'totals.csv', format: 'csv', columns: ['id', 'total'] },
      input: [{ id: 1, total: 9.5 }],
      output: null,
    },
  ],
  face: {
    kind: 'sink',
    limits: () => ({ messagesMax: 1024, waitMsMax: 0, timeoutMs: 30_000, concurrency: 1 }),
    make: (config, context) => {
      const read = context.readerOrValue(config.value)
      const { columns } = config
      const file = new AppendedFile(pathAtStart(context, config.path, 'write'), {
        durable: config.durable === 'batch',
        firstLine: columns === undefined || config.format !== 'csv' ? '' : csvLine(columns, config.delimiter),
        rotateBytes: config.rotateBytes,
        rotatedFilesMax: config.rotatedFilesMax,
      })
      const encode = (value: unknown): string => {
        if (config.format === 'ndjson') return `${jsonOf(value)}\n`
        if (config.format === 'lines') return lineOf(value)
        return csvLine(cellsOf(value, columns ?? []), config.delimiter)
      }
      return {
        async write(messages, _signal, scopeOf) {
          const failures: WriteFailure[] = []
          let text = ''
          for (let index = 0; index < messages.length; index++) {
            const message = messages[index]
            if (message === undefined) continue
            try {
              text += encode(read(message, scopeOf(index)))
            } catch (thrown) {
              failures.push({ index, failure: failureOf(thrown, context.node) })
            }
          }
          if (text !== '') await file.append(text)
          return failures
        },
        close: () => file.close(),
      }
    },
  },
})
