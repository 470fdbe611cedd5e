import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { Subject } from 'rxjs'
import { afterAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { define, defineVersions } from '../../core/define.ts'
import type { Batch } from '../../core/flow/batch.ts'
import { createFiles } from '../../server/files.ts'
import type { RealFlow, RealFlowOptions } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'

const folder = mkdtempSync(join(tmpdir(), 'millrace-file-'))
afterAll(() => rmSync(folder, { recursive: true }))
const files = createFiles({ allowed: [folder] })
let names = 0

function write(content: string | Uint8Array, ending = 'txt'): string {
  const path = join(folder, `f${++names}.${ending}`)
  writeFileSync(path, content)
  return path
}

function flow(
  config: Readonly<Record<string, unknown>>,
  options: RealFlowOptions & { readonly settings?: Readonly<Record<string, unknown>> } = {},
): Promise<RealFlow> {
  const document = {
    millrace: 1,
    name: 't',
    settings: options.settings ?? {},
    nodes: { in: { type: 'file.read@1', config }, out: { type: 'test.keep@1' } },
    edges: ['in -> out'],
  }
  return realFlow(document, { ...options, host: { files, ...options.host } })
}

const listsOpenFiles = existsSync('/proc/self/fd')

/** Whether this process has the file open, as far as the system tells. */
function isOpen(path: string): boolean {
  if (!listsOpenFiles) return false
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      return false
    }
  })
}

async function readAll(
  config: Readonly<Record<string, unknown>>,
  options: Parameters<typeof flow>[1] = {},
): Promise<{ kept: unknown[]; letters: string[]; state: string; failure: string | null }> {
  const run = await flow(config, options)
  const { outcome, faults } = await run.finish()
  expect(faults).toEqual([])
  return {
    kept: run.kept,
    letters: run.deadLetters.map((letter) => `${letter.failure.code}: ${letter.failure.message}`),
    state: outcome.state,
    failure: outcome.failure === null ? null : `${outcome.failure.code}: ${outcome.failure.message}`,
  }
}

describe('records', () => {
  test('NDJSON gives values in order; lines that are not JSON go to the dead-letter with their numbers', async () => {
    const path = write('{"a":1}\r\n\n  \nnope\n{"b":\n[2]\n"three"\nnull')
    const read = await readAll({ path })
    expect(read.kept).toEqual([{ a: 1 }, [2], 'three', null])
    expect(read.letters).toEqual([
      expect.stringMatching(/^record.invalid: line 4 of f\d+.txt is not JSON: "nope"$/),
      expect.stringMatching(/^record.invalid: line 5 of f\d+.txt is not JSON: "\{\\"b\\":"$/),
    ])
    expect(read.state).toBe('done')
  })

  test('lines keep empty ones, and an empty file is no line', async () => {
    expect((await readAll({ path: write('a\n\nb\r\nc'), format: 'lines' })).kept).toEqual(['a', '', 'b', 'c'])
    expect((await readAll({ path: write(''), format: 'lines' })).kept).toEqual([])
  })

  test('a huge line is left out, and the lines around it are read', async () => {
    const path = write(`{"a":1}\n"${'x'.repeat(3_000_000)}"\n{"b":2}\n`)
    const read = await readAll({ path, recordBytesMax: 100_000 })
    expect(read.kept).toEqual([{ a: 1 }, { b: 2 }])
    expect(read.letters).toEqual([
      expect.stringMatching(/too-long: line 2 of .* has 3000002 bytes; the limit is 100000/),
    ])
  })

  test('binary rubbish harms nothing', async () => {
    const rubbish = new Uint8Array(300_000).map((_, index) => (index * 7919 + (index >> 3)) & 255)
    const read = await readAll({ path: write(Buffer.concat([rubbish, Buffer.from('\n{"a":1}\n')])) })
    expect(read.kept.filter((value) => typeof value === 'object')).toEqual([{ a: 1 }])
    expect(read.letters.length).toBeGreaterThan(100)
    expect(read.state).toBe('done')
  })

  test('JSON with wrong UTF-8 is not taken for something else', async () => {
    const path = write(Buffer.concat([Buffer.from('"'), Buffer.from([0xff, 0xfe]), Buffer.from('"\n"ä"\n')]))
    const read = await readAll({ path })
    expect(read.kept).toEqual(['ä'])
    expect(read.letters).toEqual([expect.stringContaining('line 1')])
  })

  test('a whole text, up to its limit', async () => {
    expect((await readAll({ path: write('\ufeffa\nä\n'), format: 'text' })).kept).toEqual(['a\nä\n'])
    const long = await readAll({ path: write('x'.repeat(1001)), format: 'text', recordBytesMax: 1000 })
    expect(long.kept).toEqual([])
    expect(long.letters).toEqual([expect.stringContaining('has 1001 bytes; the limit is 1000')])
  })

  test('gzip is unpacked; a truncated or wrong file fails with its name, after what could be read', async () => {
    const lines = Array.from({ length: 50_000 }, (_, n) => JSON.stringify({ n, salt: (n * 2654435761) % 4294967296 }))
    const packed = gzipSync(lines.join('\n'))
    const whole = await readAll({ path: write(packed, 'ndjson.gz') })
    expect(whole.kept).toEqual(lines.map((line) => JSON.parse(line)))
    const cut = await readAll({ path: write(packed.subarray(0, packed.length >> 1), 'ndjson.gz') })
    expect(cut.state).toBe('failed')
    expect(cut.failure).toMatch(/^file.broken-gzip: cannot read .*ndjson.gz: it is not a whole gzip file/)
    expect((await readAll({ path: write('no gzip', 'ndjson.gz') })).failure).toMatch(/^file.broken-gzip/)
  })
})

describe('CSV', () => {
  test('quotes, line ends in quotes, a byte order mark, other delimiters', async () => {
    const path = write('\ufeffid;"na;me"\r\n1;"a ""quoted"" one"\r\n2;"two\nlines"\r\n\r\n3;\r\n', 'csv')
    expect((await readAll({ path, format: 'csv', delimiter: ';' })).kept).toEqual([
      { id: '1', 'na;me': 'a "quoted" one' },
      { id: '2', 'na;me': 'two\nlines' },
      { id: '3', 'na;me': '' },
    ])
  })

  test('each row may have a line end of its own', async () => {
    const path = write('a,b\r\n1,2\n"3",4\r"x\r\ny",6\r\n\n7,"8"', 'csv')
    expect((await readAll({ path, format: 'csv' })).kept).toEqual([
      { a: '1', b: '2' },
      { a: '3', b: '4' },
      { a: 'x\r\ny', b: '6' },
      { a: '7', b: '8' },
    ])
  })

  test('names of its own, or rows as lists', async () => {
    const path = write('1,a\n2,b\n', 'csv')
    expect((await readAll({ path, format: 'csv', header: ['n', 'l'] })).kept).toEqual([
      { n: '1', l: 'a' },
      { n: '2', l: 'b' },
    ])
    expect((await readAll({ path, format: 'csv', header: false })).kept).toEqual([
      ['1', 'a'],
      ['2', 'b'],
    ])
  })

  test('names of its own in place of a header, and a header behind other rows', async () => {
    const cities = write('Stadt,Einwohner\nBern,140\nChur,40\n', 'csv')
    const named = [
      { city: 'Bern', people: '140' },
      { city: 'Chur', people: '40' },
    ]
    expect((await readAll({ path: cities, format: 'csv', header: ['city', 'people'], skipRows: 1 })).kept).toEqual(
      named,
    )
    const report = write('"made\non Monday"\n\nfor, Ada, B\ncity,people\nBern,140\nChur,40\n', 'csv')
    expect((await readAll({ path: report, format: 'csv', skipRows: 2 })).kept).toEqual(named)
    expect((await readAll({ path: report, format: 'csv', skipRows: 3, header: false })).kept[0]).toEqual([
      'Bern',
      '140',
    ])
    expect(await readAll({ path: cities, format: 'csv', skipRows: 9 })).toMatchObject({ kept: [], state: 'done' })
    await expect(readAll({ path: cities, format: 'lines', skipRows: 1 })).rejects.toThrow('only CSV has rows')
  })

  test('rows that do not fit go to the dead-letter, and the rest is read', async () => {
    const path = write('a,b\n1,2\n1,2,3\n"x"y,2\n3,4\n', 'csv')
    const read = await readAll({ path, format: 'csv' })
    expect(read.kept).toEqual([
      { a: '1', b: '2' },
      { a: '"x"y', b: '2' },
      { a: '3', b: '4' },
    ])
    expect(read.letters).toEqual([expect.stringMatching(/line 3 of .*: it has 3 columns, the header 2/)])
  })

  test('a quote that never ends takes no more than the limit', async () => {
    const path = write(`a,b\n1,2\n"${'x'.repeat(500_000)}`, 'csv')
    const read = await readAll({ path, format: 'csv', recordBytesMax: 10_000 })
    expect(read.kept).toEqual([{ a: '1', b: '2' }])
    expect(read.letters.length).toBeGreaterThan(0)
  })

  test('a header that would lose a column is refused', async () => {
    expect((await readAll({ path: write('a,a\n1,2\n', 'csv'), format: 'csv' })).failure).toMatch(
      /csv.bad-header: .*"a" twice/,
    )
    expect((await readAll({ path: write('a,__proto__\n1,2\n', 'csv'), format: 'csv' })).failure).toMatch(/__proto__/)
  })

  test('rows are the same however large the file is', async () => {
    const rows = Array.from({ length: 20_000 }, (_, n) => `${n},"x ${n}\n""y"""`)
    const read = await readAll({ path: write(`n,t\n${rows.join('\n')}\n`, 'csv'), format: 'csv' })
    expect(read.kept).toEqual(rows.map((_, n) => ({ n: String(n), t: `x ${n}\n"y"` })))
  })
})

describe('what cannot be opened', () => {
  test('says what and why', async () => {
    const missing = join(folder, 'missing.txt')
    expect((await readAll({ path: missing })).failure).toBe(
      `file.missing: cannot read ${missing}: there is no such file or folder`,
    )
    expect((await readAll({ path: folder })).failure).toBe(`file.is-folder: cannot read ${folder}: it is a folder`)
    expect((await readAll({ path: '../../etc/passwd' })).failure).toMatch(/^file.not-allowed/)
    expect((await readAll({ path: 'x' }, { host: { files: undefined } })).failure).toMatch(/^file.none: in needs files/)
  })

  test('a file of somebody else', async () => {
    const path = write('x')
    chmodSync(path, 0)
    chmodSync(folder, 0o755)
    const root = process.getuid?.() === 0
    // Nobody can forbid root to read, so root becomes nobody for a moment.
    if (root) process.seteuid?.(65_534)
    try {
      expect((await readAll({ path })).failure).toBe(`file.no-permission: cannot read ${path}: this user may not`)
    } finally {
      if (root) process.seteuid?.(0)
    }
  })
})

describe('flow', () => {
  test('a slow reader keeps what is in flight below the limit', async () => {
    const path = write(Array.from({ length: 20_000 }, (_, n) => JSON.stringify({ n })).join('\n'))
    let writes = 0
    const run = await flow(
      { path },
      {
        settings: { inFlightMax: 100 },
        onWrite: () => (++writes % 50 === 0 ? new Promise((resolve) => setImmediate(resolve)) : undefined),
      },
    )
    const { outcome, faults } = await run.finish()
    expect([outcome.state, faults, run.kept.length]).toEqual(['done', [], 20_000])
    expect(run.inFlightMax()).toBeLessThanOrEqual(100)
    expect(run.inFlightMax()).toBeGreaterThan(10)
  })

  test('bytes count too', async () => {
    const path = write(Array.from({ length: 2_000 }, (_, n) => JSON.stringify({ n, pad: 'x'.repeat(990) })).join('\n'))
    const sizes: number[] = []
    const run = await flow(
      { path },
      { settings: { inFlightBytesMax: 40_000 }, onWrite: (values) => void sizes.push(values.length) },
    )
    const { outcome } = await run.finish()
    expect([outcome.state, run.kept.length]).toEqual(['done', 2_000])
    expect(run.inFlightMax()).toBeLessThanOrEqual(40)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(40)
  })

  test('a batch that failed is sent again, whole and untouched, although it was changed in place', async () => {
    let fails = 2
    const flaky = defineVersions(
      {
        1: define({
          name: 'test.flaky',
          version: 1,
          summary: 'Breaks the first batches.',
          inputs: ['in'],
          outputs: ['out'],
          config: z.strictObject({}),
          examples: [],
          face: {
            kind: 'stream',
            make:
              () =>
              ([input]) => {
                if (input === undefined) return []
                const out = new Subject<Batch>()
                input.subscribe((batch) => {
                  if (batch.messages.length === 0 || fails-- <= 0) return out.next(batch)
                  batch.receipt.fail({ code: 'test.broken', message: 'broken', node: null, retriable: true })
                })
                return [out]
              },
          },
        }),
      },
      { latest: 1 },
    )
    for (const [path, config] of [
      [write('{"n":1}\n{"n":2}\nx\n{"n":3}\n'), {}],
      [write('n\n1\n2\n1,2\n3\n', 'csv'), { format: 'csv' }],
    ] as const) {
      fails = 2
      const run = await realFlow(
        {
          millrace: 1,
          name: 't',
          nodes: {
            in: { type: 'file.read@1', config: { path, ...config } },
            double: { type: 'set@1', config: { fields: { n: '{{ $json.n * 2 }}' } } },
            flaky: { type: 'test.flaky@1' },
            out: { type: 'test.keep@1' },
          },
          edges: ['in -> double', 'double -> flaky', 'flaky -> out'],
        },
        { host: { files }, types: [flaky] },
      )
      const { outcome, faults } = await run.finish()
      expect([outcome.state, faults]).toEqual(['done', []])
      expect(run.kept).toEqual([{ n: 2 }, { n: 4 }, { n: 6 }])
      expect(run.deadLetters).toHaveLength(1)
    }
  })

  test('rubbish without end does not pile up before a slow dead-letter', async () => {
    const path = write('x\n'.repeat(10_000))
    let writing = 0
    let most = 0
    let letters = 0
    const run = await flow(
      { path },
      {
        host: {
          deadLetter: async (batch) => {
            most = Math.max(most, ++writing)
            await new Promise((resolve) => setImmediate(resolve))
            letters += batch.length
            writing -= 1
          },
        },
      },
    )
    expect((await run.finish()).outcome.state).toBe('done')
    expect([letters, most]).toEqual([10_000, 1])
  })

  test.runIf(listsOpenFiles)('a header that cannot be read lets go of the file that would be followed', async () => {
    const path = write('a,a\n', 'csv')
    const run = await flow({ path, format: 'csv', follow: true, from: 'end' })
    expect((await run.finish()).outcome.state).toBe('failed')
    expect(isOpen(path)).toBe(false)
  })

  test('a kill lets go of the file', async () => {
    const path = write('{"n":1}\n'.repeat(100_000))
    let written = (): void => undefined
    const first = new Promise<void>((resolve) => {
      written = resolve
    })
    const run = await flow(
      { path },
      {
        onWrite: () => {
          written()
          return new Promise(() => undefined)
        },
      },
    )
    await first
    expect(isOpen(path)).toBe(listsOpenFiles)
    void run.execution.kill('enough')
    const { outcome, faults } = await run.finish()
    expect([outcome.state, faults]).toEqual(['stopped', []])
    expect(isOpen(path)).toBe(false)
  })
})

describe('follow', () => {
  test('gives what is written later, across truncation and rotation, until it is stopped', async () => {
    const path = write('one\ntw')
    const run = await flow({ path, format: 'lines', follow: true, pollMs: 20 })
    await run.keptCount(1)
    appendFileSync(path, 'o\nthree\n')
    await run.keptCount(3)
    truncateSync(path, 0)
    appendFileSync(path, '4\n')
    await run.keptCount(4)
    appendFileSync(path, '5\nunfinished')
    await run.keptCount(5)
    renameSync(path, `${path}.1`)
    appendFileSync(`${path}.1`, ' line')
    writeFileSync(path, '6\n')
    await run.keptCount(7)
    rmSync(path)
    mkdirSync(`${path}.d`)
    writeFileSync(path, '7\n')
    await run.keptCount(8)
    expect(run.kept).toEqual(['one', 'two', 'three', '4', '5', 'unfinished line', '6', '7'])
    void run.execution.stop(1000)
    const { outcome, faults } = await run.finish()
    expect([outcome.state, outcome.unsettled, faults]).toEqual(['stopped', 0, []])
  })

  test('the unfinished end of a replaced file is read as the rest of it was, and lines are counted from its successor on', async () => {
    const rows = write('a,b\n1,2\n3,4')
    const lines = write('"one"\n"two"\nbad', 'ndjson')
    const csv = await flow({ path: rows, format: 'csv', follow: true, pollMs: 20 })
    const json = await flow({ path: lines, follow: true, pollMs: 20 })
    await Promise.all([csv.keptCount(1), json.keptCount(2)])
    for (const path of [rows, lines]) renameSync(path, `${path}.1`)
    writeFileSync(rows, 'b,c\n5,6\n')
    writeFileSync(lines, 'worse\n"three"\n')
    await Promise.all([csv.keptCount(3), json.keptCount(3)])
    expect(csv.kept).toEqual([
      { a: '1', b: '2' },
      { a: '3', b: '4' },
      { b: '5', c: '6' },
    ])
    const wrong = json.deadLetters.map((each) => each.failure.message)
    expect(wrong).toEqual([
      expect.stringMatching(/^line 3 of .* is not JSON: "bad"$/),
      expect.stringMatching(/^line 1 of .* is not JSON: "worse"$/),
    ])
    for (const run of [csv, json]) {
      void run.execution.stop(1000)
      expect((await run.finish()).faults).toEqual([])
    }
  })

  test('CSV: a row is given when its line end is there, and not before its quotes have ended', async () => {
    const path = write('a,b\n1,2\n', 'csv')
    const run = await flow({ path, format: 'csv', follow: true, pollMs: 20 })
    await run.keptCount(1)
    const pieces = ['3,4\r\n', '5,"x\n', 'y"\n', '6', ',7\n8,9\n', '"z",1\n', 'too,many,cells\n', '\n10,\n']
    const rows = [2, 2, 3, 3, 5, 6, 6, 7]
    for (const [index, piece] of pieces.entries()) {
      appendFileSync(path, piece)
      await run.keptCount(rows[index] ?? 0)
      // A piece that ends no row is to be read by itself too.
      if (rows[index] === rows[index - 1]) await new Promise((resolve) => setTimeout(resolve, 60))
    }
    expect(run.kept.slice(1)).toEqual([
      { a: '3', b: '4' },
      { a: '5', b: 'x\ny' },
      { a: '6', b: '7' },
      { a: '8', b: '9' },
      { a: 'z', b: '1' },
      { a: '10', b: '' },
    ])
    void run.execution.stop(1000)
    await run.finish()
    expect(run.deadLetters.map((each) => each.failure.message)).toEqual([
      expect.stringMatching(/line 9 of .* it has 3 columns, the header 2/),
    ])
  })

  test.each([
    ['a header and rows', 'a,b\n1,2\n'],
    ['a header', '\ufeffa,b'],
    ['nothing', ''],
  ])('CSV from the end of %s takes its names from the first row of the file', async (_, before) => {
    const path = write(before, 'csv')
    const run = await flow({ path, format: 'csv', follow: true, from: 'end', pollMs: 20 })
    await run.pipeline.open()
    if (before === '') appendFileSync(path, 'a,b\n')
    for (let n = 0; run.kept.length === 0 && n < 500; n++) {
      appendFileSync(path, '\n3,4\n')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(run.kept[0]).toEqual({ a: '3', b: '4' })
    writeFileSync(`${path}.new`, 'b,a\n5,6\n')
    const count = run.kept.length + 1
    renameSync(`${path}.new`, path)
    await expect.poll(() => run.kept.length >= count && run.kept.at(-1)).toEqual({ b: '5', a: '6' })
    void run.execution.stop(1000)
    await run.finish()
  })

  test.each(['old,header\n1,2\n', 'old,header\n', ''])(
    'CSV from the end of %j passes over the first row of the file, and of the next',
    async (before) => {
      const path = write(before, 'csv')
      const run = await flow({
        path,
        format: 'csv',
        header: ['a', 'b'],
        skipRows: 1,
        follow: true,
        from: 'end',
        pollMs: 20,
      })
      await run.pipeline.open()
      if (before === '') appendFileSync(path, 'old,header\n')
      for (let n = 0; run.kept.length === 0 && n < 500; n++) {
        appendFileSync(path, '3,4\n')
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      writeFileSync(`${path}.new`, 'old,header\n5,6\n')
      renameSync(`${path}.new`, path)
      await expect.poll(() => run.kept.at(-1)).toEqual({ a: '5', b: '6' })
      expect(new Set(run.kept.map((row) => JSON.stringify(row)))).toEqual(
        new Set(['{"a":"3","b":"4"}', '{"a":"5","b":"6"}']),
      )
      void run.execution.stop(1000)
      await run.finish()
    },
  )

  test('from the end only gives what is new', async () => {
    const path = write('old\n')
    const run = await flow({ path, format: 'lines', follow: true, from: 'end', pollMs: 20 })
    await run.pipeline.open()
    for (let n = 0; run.kept.length === 0 && n < 500; n++) {
      appendFileSync(path, 'new\n')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(new Set(run.kept)).toEqual(new Set(['new']))
    void run.execution.stop(1000)
    expect((await run.finish()).outcome.state).toBe('stopped')
  })
})
