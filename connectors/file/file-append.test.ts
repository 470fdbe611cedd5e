import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { message } from '../../core/flow/message.ts'
import type { DeadLetter } from '../../core/host.ts'
import { createFiles } from '../../server/files.ts'
import { realFlow } from '../../test/real-flow.ts'

const folder = mkdtempSync(join(tmpdir(), 'millrace-write-'))
afterAll(() => rmSync(folder, { recursive: true }))
const files = createFiles({ allowed: [folder] })

/** Sends values into a sink; answers what it could not write. */
async function send(
  type: string,
  config: Readonly<Record<string, unknown>>,
  values: readonly unknown[],
): Promise<{ letters: readonly DeadLetter[]; errors: string[]; state: string }> {
  const run = await realFlow(
    { millrace: 1, name: 't', nodes: { in: { type: 'manual@1' }, out: { type, config } }, edges: ['in -> out'] },
    { host: { files }, start: { entry: 'in', input: values.map((value) => message(value, null, 0, null)) } },
  )
  const { outcome, faults } = await run.finish()
  expect(faults).toEqual([])
  return {
    letters: run.deadLetters,
    errors: run.deadLetters.map(({ failure }) => `${failure.code}: ${failure.message}`),
    state: outcome.state,
  }
}

/** What file.read makes of a CSV file. */
async function readBack(path: string): Promise<readonly unknown[]> {
  const nodes = { in: { type: 'file.read@1', config: { path, format: 'csv' } }, out: { type: 'test.keep@1' } }
  const run = await realFlow(
    { millrace: 1, name: 't', nodes, edges: ['in -> out'] },
    { host: { files: createFiles({ allowed: [folder] }) } },
  )
  await run.finish()
  return run.kept
}

const text = (name: string): string => readFileSync(join(folder, name), 'utf8')

describe('file.append', () => {
  test('a line per message, behind what is there, in a folder that is made', async () => {
    await send('file.append@1', { path: 'new/a.ndjson' }, [{ a: 1 }, 'two', null])
    await send('file.append@1', { path: 'new/a.ndjson', value: '{{ $json.a }}', durable: 'batch' }, [{ a: [3] }])
    expect(text('new/a.ndjson')).toBe('{"a":1}\n"two"\nnull\n[3]\n')
  })

  test('many batches stay in order', async () => {
    const values = Array.from({ length: 10_000 }, (_, n) => n)
    await send('file.append@1', { path: 'many.ndjson' }, values)
    expect(text('many.ndjson')).toBe(`${values.join('\n')}\n`)
  })

  test('lines: a text that would be two lines is refused, the rest is written', async () => {
    const { errors } = await send('file.append@1', { path: 'l.txt', format: 'lines' }, ['a', 'b\nc', { d: 1 }])
    expect(text('l.txt')).toBe('a\n{"d":1}\n')
    expect(errors).toEqual([expect.stringMatching(/^value.line-end/)])
  })

  test('CSV: a header in a new file only, quotes where needed', async () => {
    const config = { path: 'c.csv', format: 'csv', columns: ['id', 'na,me'] }
    await send('file.append@1', config, [{ id: 1, 'na,me': 'a "b"\nc' }])
    await send('file.append@1', config, [{ id: null }, { 'na,me': { x: [1] } }])
    expect(text('c.csv')).toBe('id,"na,me"\n1,"a ""b""\nc"\n,\n,"{""x"":[1]}"\n')
  })

  test('CSV: a list is a row by place, and what is no row fails with a word on what is', async () => {
    const config = { path: 'rows.csv', format: 'csv', columns: ['a', 'b'] }
    const values = [5, 'txt', { a: 1 }, ['x', 'y'], [1], null, new Uint8Array([1]), { b: new Uint8Array([97, 98]) }]
    const { errors } = await send('file.append@1', config, values)
    expect(text('rows.csv')).toBe('a,b\n1,\nx,y\n,YWI=\n')
    const found = ['a number', 'text', 'a list of 1', 'null', 'bytes']
    expect(errors).toEqual(
      found.map((each) =>
        expect.stringMatching(new RegExp(`^value.no-row: .*the columns as its fields, or a list of 2.* is ${each};`)),
      ),
    )
  })

  test('CSV: a row of one empty cell is a row still', async () => {
    await send('file.append@1', { path: 'one.csv', format: 'csv', columns: ['a'] }, [{ a: '' }, { a: 1 }])
    expect(text('one.csv')).toBe('a\n""\n1\n')
  })

  test('bytes are base64 in JSON, and in lines the text that they are', async () => {
    const bytes = [new Uint8Array(Buffer.from('abc')), Buffer.from('ä')]
    await send('file.append@1', { path: 'b.ndjson' }, [...bytes, { deep: [bytes[0], new Uint8Array()] }])
    expect(text('b.ndjson')).toBe('"YWJj"\n"w6Q="\n{"deep":["YWJj",""]}\n')
    const lines = [...bytes, new Uint8Array([255]), Buffer.from('two\nlines')]
    const { errors } = await send('file.append@1', { path: 'b.txt', format: 'lines' }, lines)
    expect(text('b.txt')).toBe('abc\nä\n')
    expect(errors).toEqual([expect.stringMatching(/^value.not-text: .*base64/), expect.stringMatching(/line-end/)])
  })

  test('what cannot be encoded fails alone', async () => {
    const { errors } = await send('file.append@1', { path: 'e.ndjson' }, [1n, { ok: true }, undefined])
    expect(text('e.ndjson')).toBe('{"ok":true}\n')
    expect(errors).toEqual([expect.stringMatching(/BigInt/), expect.stringMatching(/^value.no-json/)])
  })

  test('a line that was torn by a crash spoils no other', async () => {
    writeFileSync(join(folder, 'torn.ndjson'), '{"a":1}\n{"b":')
    await send('file.append@1', { path: 'torn.ndjson' }, [{ c: 3 }])
    expect(text('torn.ndjson')).toBe('{"a":1}\n{"b":\n{"c":3}\n')
  })

  test('rotation keeps so many files', async () => {
    const config = { path: 'r/log', rotateBytes: 10, rotatedFilesMax: 2 }
    for (let n = 0; n < 5; n++) await send('file.append@1', config, [`line number ${n}`])
    expect(readdirSync(join(folder, 'r')).sort()).toEqual(['log', 'log.1', 'log.2'])
    expect([text('r/log'), text('r/log.1'), text('r/log.2')]).toEqual([4, 3, 2].map((n) => `"line number ${n}"\n`))
  })

  const unpacked = (name: string): string => gunzipSync(readFileSync(join(folder, name))).toString()

  test('a file that ends in .gz is packed, goes on where it was, and is rotated as one', async () => {
    const config = { path: 'p/c.csv.gz', format: 'csv', columns: ['n'] }
    await send('file.append@1', config, [{ n: 1 }, { n: 2 }])
    await send('file.append@1', { ...config, durable: 'batch' }, [{ n: 3 }])
    expect(unpacked('p/c.csv.gz')).toBe('n\n1\n2\n3\n')
    expect(await readBack('p/c.csv.gz')).toEqual([{ n: '1' }, { n: '2' }, { n: '3' }])
    for (const n of [4, 5]) await send('file.append@1', { ...config, rotateBytes: 1 }, [{ n }])
    expect(readdirSync(join(folder, 'p')).sort()).toEqual(['c.csv.1.gz', 'c.csv.2.gz', 'c.csv.gz'])
    expect(['', '.1', '.2'].map((number) => unpacked(`p/c.csv${number}.gz`))).toEqual([
      'n\n5\n',
      'n\n4\n',
      'n\n1\n2\n3\n',
    ])
  })

  test('a packed file that a crash left unfinished, at any byte, keeps what can be read, and more can be added', async () => {
    const lines = (count: number): string => Array.from({ length: count }, (_, n) => `${(n * 7919) % 1000}\n`).join('')
    const first = gzipSync(lines(40))
    const second = gzipSync(lines(300))
    for (let cut = 0; cut <= second.length; cut += 23) {
      writeFileSync(join(folder, 'cut.gz'), Buffer.concat([first, second.subarray(0, cut)]))
      expect((await send('file.append@1', { path: 'cut.gz' }, ['more'])).errors).toEqual([])
      const read = unpacked('cut.gz')
      expect(read.endsWith('\n"more"\n')).toBe(true)
      const before = read.slice(0, -'"more"\n'.length)
      expect(before.startsWith(lines(40))).toBe(true)
      expect((lines(40) + lines(300)).startsWith(before.slice(0, -1))).toBe(true)
    }
    writeFileSync(join(folder, 'zeros.gz'), Buffer.concat([first, Buffer.alloc(5_000)]))
    await send('file.append@1', { path: 'zeros.gz' }, ['more'])
    expect(unpacked('zeros.gz')).toBe(`${lines(40)}"more"\n`)
    expect(readdirSync(folder).filter((name) => name.includes('unfinished'))).toEqual([])
  })

  test('what is no gzip is left as it is', async () => {
    writeFileSync(join(folder, 'plain.gz'), 'text\n')
    expect((await send('file.append@1', { path: 'plain.gz' }, [1])).errors).toEqual([
      expect.stringMatching(/^file.broken-gzip: .*plain.gz: what is there is no gzip; move it away/),
    ])
    expect(text('plain.gz')).toBe('text\n')
  })

  // Linux has a device that is always full.
  test.each(['full', 'full.gz'])('a full disk is worth a retry and says so: %s', async (path) => {
    if (!existsSync('/dev/full')) return
    symlinkSync('/dev/full', join(folder, path))
    const open = createFiles({ allowed: [folder, '/dev'] })
    const run = await realFlow(
      {
        millrace: 1,
        name: 't',
        nodes: { in: { type: 'manual@1' }, out: { type: 'file.append@1', config: { path } } },
        edges: ['in -> out'],
      },
      { host: { files: open }, start: { entry: 'in', input: [message(1, null, 0, null)] } },
    )
    await run.finish()
    expect(run.deadLetters.map((letter) => letter.failure)).toMatchObject([{ code: 'file.no-space', retriable: true }])
  })

  test('a folder in its place, and a path outside, are errors', async () => {
    expect((await send('file.append@1', { path: '.' }, [1])).errors).toEqual([expect.stringMatching(/^file.is-folder/)])
    await expect(send('file.append@1', { path: '../outside' }, [1])).rejects.toThrow(
      `path of out: A workflow may not write ../outside: it lies outside the folders of this host (allowed are ${folder}). ` +
        `Start with \`--allow-folder ${tmpdir()}\`, or choose another path.`,
    )
  })

  test('a path that gives no text says where it stands and how to set it', async () => {
    await expect(send('file.append@1', { path: '{{ $vars.f }}' }, [1])).rejects.toThrow(
      'path of out is {{ $vars.f }}, which gives undefined, not text; set what it reads with `--set NAME=…`',
    )
  })
})

describe('file.write', () => {
  test('text, bytes and JSON, each in a file of its own, and nothing unfinished stays', async () => {
    const values = [
      { name: 'w/a.txt', content: 'ä' },
      { name: 'w/b.bin', content: new Uint8Array([0, 255]) },
      { name: 'w/deep/c.json', content: { c: 1 } },
      { name: 'w/deep/d.json', content: { d: new Uint8Array([97]) } },
    ]
    const config = { path: '{{ $json.name }}', value: '{{ $json.content }}' }
    expect((await send('file.write@1', config, values)).errors).toEqual([])
    expect(text('w/a.txt')).toBe('ä')
    expect([...readFileSync(join(folder, 'w/b.bin'))]).toEqual([0, 255])
    expect(text('w/deep/c.json')).toBe('{"c":1}')
    expect(text('w/deep/d.json')).toBe('{"d":"YQ=="}')
    expect(readdirSync(join(folder, 'w')).sort()).toEqual(['a.txt', 'b.bin', 'deep'])
  })

  test('a file that ends in .gz is packed, save bytes that are gzip already', async () => {
    const values = [
      { name: 'w/a.txt.gz', content: 'ä' },
      { name: 'w/b.json.gz', content: { b: 1 } },
      { name: 'w/c.gz', content: new Uint8Array([0, 255]) },
      { name: 'w/d.gz', content: new Uint8Array(gzipSync('once')) },
    ]
    const config = { path: '{{ $json.name }}', value: '{{ $json.content }}' }
    expect((await send('file.write@1', config, values)).errors).toEqual([])
    const read = (name: string): Buffer => gunzipSync(readFileSync(join(folder, name)))
    expect(['w/a.txt.gz', 'w/b.json.gz', 'w/d.gz'].map((name) => read(name).toString())).toEqual([
      'ä',
      '{"b":1}',
      'once',
    ])
    expect([...read('w/c.gz')]).toEqual([0, 255])
  })

  test('the last message for a path wins', async () => {
    const values = Array.from({ length: 100 }, (_, n) => ({ n, to: n % 3 }))
    await send('file.write@1', { path: 'last/{{ $json.to }}', value: '{{ $json.n }}' }, values)
    expect([text('last/0'), text('last/1'), text('last/2')]).toEqual(['99', '97', '98'])
  })

  test('paths out of the allowed folders, by dots or by a link, are refused message by message', async () => {
    symlinkSync('/tmp', join(folder, 'link'))
    const paths = ['../../evil', '/etc/evil', 'link/evil', 'a\0b', '', 7, 'good']
    const { errors } = await send('file.write@1', { path: '{{ $json }}' }, paths)
    expect(errors.map((each) => each.split(':')[0]).sort()).toEqual([
      'file.bad-path',
      'file.bad-path',
      'file.bad-path',
      'file.not-allowed',
      'file.not-allowed',
      'file.not-allowed',
    ])
    expect(text('good')).toBe('good')
  })

  test('a file that is there can be kept', async () => {
    const config = { path: 'kept', ifExists: 'fail', durable: true }
    const { errors } = await send('file.write@1', config, ['first', 'second'])
    expect(text('kept')).toBe('first')
    expect(errors).toEqual([expect.stringMatching(/^file.exists/)])
    expect(readdirSync(folder).some((name) => name.includes('unfinished'))).toBe(false)
  })

  test('a file in the place of a folder is an error, and leaves nothing', async () => {
    writeFileSync(join(folder, 'plain'), '')
    const { errors } = await send('file.write@1', { path: 'plain/x' }, [1])
    expect(errors).toEqual([expect.stringMatching(/^file\./)])
    expect(existsSync(join(folder, 'plain/x'))).toBe(false)
  })
})
