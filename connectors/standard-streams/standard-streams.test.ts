import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import type { StandardStreams } from '../../core/host.ts'
import { realFlow } from '../../test/real-flow.ts'

const folder = mkdtempSync(join(tmpdir(), 'millrace-pipe-'))
afterAll(() => rmSync(folder, { recursive: true }))
const program = fileURLToPath(new URL('../../bin/millrace.js', import.meta.url))

const pipe = {
  millrace: 1,
  name: 'pipe',
  nodes: {
    in: { type: 'stdin@1' },
    add: { type: 'set@1', into: 'merge', config: { fields: { n: '{{ $json.n + 1 }}' } } },
    out: { type: 'stdout@1' },
  },
  edges: ['in -> add', 'add -> out'],
}

/** Runs `millrace run` on a document in a process of its own. */
function start(document: unknown): ReturnType<typeof spawn> {
  const file = join(folder, 'pipe.json')
  writeFileSync(file, JSON.stringify(document))
  return spawn(process.execPath, [program, 'run', file], { stdio: ['pipe', 'pipe', 'pipe'] })
}

async function textOf(stream: AsyncIterable<Uint8Array> | null): Promise<string> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream ?? []) pieces.push(piece)
  return Buffer.concat(pieces).toString('utf8')
}

describe('a pipe through the program', () => {
  test('keeps every line and their order, says nothing else, and exits with 0', async () => {
    const child = start(pipe)
    const lines = Array.from({ length: 200_000 }, (_, n) => `{"n":${n},"text":"ä ${n}"}`)
    const [out, , [code]] = await Promise.all([
      textOf(child.stdout),
      textOf(child.stderr),
      once(child, 'exit'),
      child.stdin?.end(lines.join('\n')),
    ])
    expect(code).toBe(0)
    expect(out === lines.map((_, n) => `{"n":${n + 1},"text":"ä ${n}"}\n`).join('')).toBe(true)
  })

  test('a line that cannot be read is reported with its number, and the exit code tells of it', async () => {
    const child = start(pipe)
    const [out, err, [code]] = await Promise.all([
      textOf(child.stdout),
      textOf(child.stderr),
      once(child, 'exit'),
      child.stdin?.end('{"n":1}\nrubbish\n{"n":2}'),
    ])
    expect([out, code]).toEqual(['{"n":2}\n{"n":3}\n', 1])
    expect(err).toContain('line 2 of standard input is not JSON')
  })

  test('ends when the reader has gone, although the writer has not', async () => {
    const child = start(pipe)
    child.stdin?.on('error', () => undefined)
    const exit = once(child, 'exit')
    const err = textOf(child.stderr)
    const timer = setInterval(() => child.stdin?.write('{"n":1}\n'.repeat(100)), 5)
    if (child.stdout !== null) await once(child.stdout, 'data')
    child.stdout?.destroy()
    await exit
    clearInterval(timer)
    expect(await err).toContain('"code":"execution.stopped"')
    expect(await err).not.toContain('    at ')
  })

  test('gives what is there without waiting for more', async () => {
    const child = start(pipe)
    child.stdin?.write('{"n":1}\n')
    if (child.stdout !== null) expect(String((await once(child.stdout, 'data'))[0])).toBe('{"n":2}\n')
    child.stdin?.end()
    expect(await once(child, 'exit')).toEqual([0, null])
  })
})

/** Standard streams of a test: input in given pieces; `closed` once it has been let go of. */
function streams(
  pieces: Iterable<Uint8Array>,
  write: StandardStreams['write'],
): { readonly streams: StandardStreams; closed(): boolean } {
  let closed = false
  const input = (async function* () {
    try {
      yield* pieces
    } finally {
      closed = true
    }
  })()
  return { streams: { input, write }, closed: () => closed }
}

describe('standard streams of the host', () => {
  const copy = (config: Readonly<Record<string, unknown>>, settings = {}, out = config): unknown => ({
    millrace: 1,
    name: 't',
    settings,
    nodes: { in: { type: 'stdin@1', config }, out: { type: 'stdout@1', config: out } },
    edges: ['in -> out'],
  })

  test('bytes pass untouched', async () => {
    const input = Array.from({ length: 50 }, (_, n) => new Uint8Array([n, 255, 10, 0]))
    const out: Buffer[] = []
    const host = { standardStreams: streams(input, async (chunk) => void out.push(Buffer.from(chunk))).streams }
    const run = await realFlow(copy({ format: 'bytes' }, {}, { format: 'raw' }), { host })
    const { outcome, faults } = await run.finish()
    expect([outcome.state, faults]).toEqual(['done', []])
    expect(Buffer.concat(out).equals(Buffer.concat(input))).toBe(true)
  })

  test.each([
    ['ndjson', '"YWJj"\n'],
    ['lines', 'abc\n'],
    ['raw', 'abc'],
  ])('bytes leave as %s', async (format, expected) => {
    let out = ''
    const host = {
      standardStreams: streams([Buffer.from('abc')], async (chunk) => void (out += String(chunk))).streams,
    }
    const run = await realFlow(copy({ format: 'bytes' }, {}, { format }), { host })
    await run.finish()
    expect([out, run.deadLetters]).toEqual([expected, []])
  })

  test('a slow writer slows the reading', async () => {
    let given = 0
    let taken = 0
    let ahead = 0
    const input = (function* () {
      for (; given < 2_000; given++) yield Buffer.from(`${given}\n`.padStart(1000, ' '))
    })()
    const host = {
      standardStreams: streams(input, async (chunk) => {
        ahead = Math.max(ahead, given - taken)
        taken += String(chunk).split('\n').length - 1
        if (taken % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
      }).streams,
    }
    const run = await realFlow(copy({}, { inFlightMax: 50 }), { host })
    const { outcome, faults } = await run.finish()
    expect([outcome.state, faults, taken]).toEqual(['done', [], 2_000])
    // The limit, the chunk being read and the one after it.
    expect(ahead).toBeLessThanOrEqual(53)
  })

  test('a reader that has gone stops the execution, and the input is let go of', async () => {
    const gone = streams(
      (function* () {
        for (;;) yield Buffer.from('1\n')
      })(),
      async () => Promise.reject(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })),
    )
    const run = await realFlow(copy({}), { host: { standardStreams: gone.streams } })
    const { outcome } = await run.finish()
    expect(outcome).toMatchObject({ state: 'stopped', failure: { code: 'execution.stopped', node: 'out' } })
    expect(run.deadLetters).toEqual([])
    expect(gone.closed()).toBe(true)
  })

  test('a host without them is told apart', async () => {
    await expect(realFlow(copy({}))).rejects.toThrow(/out needs a standard output/)
  })
})
