import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Snapshot } from '../cli/live-figures.ts'
import { figuresBetween } from '../cli/live-figures.ts'
import { topView } from '../cli/top-view.ts'
import type { CliProcess } from './cli-process.ts'
import { cli, startCli } from './cli-process.ts'

const program = fileURLToPath(new URL('../bin/millrace.js', import.meta.url))
const noTerminal =
  spawnSync('script', ['--version']).error === undefined ? null : 'no script; get it by installing util-linux'
const cwd = mkdtempSync(join(tmpdir(), 'cli-watch-test-'))
let server: CliProcess
let url = ''

beforeAll(async () => {
  writeFileSync(
    join(cwd, 'ticks.yaml'),
    `millrace: 1
name: ticks
nodes:
  in: { type: generate@1, config: { perSecond: 2000 } }
  even: { type: filter@1, config: { where: "{{ $json.n % 2 == 0 }}" } }
  wrong: { type: set@1, config: { fields: { n: "{{ $json.n }}", x: "{{ $json.n % 10 == 0 ? $json.no.such : 1 }}" } } }
edges: [in -> even, even -> wrong]
`,
  )
  writeFileSync(
    join(cwd, 'hook.yaml'),
    'millrace: 1\nname: hook\nnodes:\n  on: { type: webhook@1, config: { path: /hook } }\n',
  )
  server = startCli(['serve', 'ticks.yaml', 'hook.yaml', '--port', '0', '--dead-letter', 'dead.ndjson'], { cwd })
  url = (await server.said(/listening on (http:\S+)/))[1] ?? ''
})
afterAll(async () => {
  server.child.kill('SIGTERM')
  await server.done
  rmSync(cwd, { recursive: true, force: true })
})

describe('millrace top', () => {
  test('elsewhere than on a terminal, prints a line of JSON each time', async () => {
    const { code, out } = await cli(['top', '--once', '--every', '0.5', '--server', url], { cwd })
    expect(code).toBe(0)
    const { workflows } = JSON.parse(out)
    expect(workflows).toMatchObject([
      {
        id: 'ticks',
        state: 'running',
        inPerSecond: expect.any(Number),
        lag: null,
        nodes: [{ node: 'in' }, { node: 'even' }, { node: 'wrong', busyShare: expect.any(Number) }],
        sources: [{ node: 'in', state: 'open' }],
      },
      { id: 'hook', state: 'listening' },
    ])
    expect(workflows[0].inPerSecond).toBeGreaterThan(1_000)
    expect(workflows[0].outPerSecond).toBeLessThan(workflows[0].inPerSecond / 2)
    expect(workflows[0].deadLetters).toBeGreaterThan(0)
    const following = startCli(['top', 'ticks.yaml', '--every', '0.2', '--server', url], { cwd })
    await following.said(/\n.*"ticks".*\n/)
    following.child.kill('SIGINT')
    expect((await following.done).out.trim().split('\n').length).toBeGreaterThan(1)
  })

  test('says what is wrong with what it was asked', async () => {
    expect((await cli(['top', 'nobody', '--server', url], { cwd })).err).toContain('there is no workflow "nobody"')
    expect((await cli(['top', '--every', 'often', '--server', url], { cwd })).err).toContain('a number of seconds')
    expect((await cli(['top', '--server', 'http://127.0.0.1:1'], { cwd })).err).toContain('millrace serve')
  })

  test.for(['q', '\x03'])(
    'on a terminal draws in place, follows its size, and leaves it as it was (%j)',
    async (key, context) => {
      if (noTerminal !== null) return context.skip(noTerminal)
      const screen = await onTerminal(`'${program}' top --every 0.2 --server ${url}`, async (shows, type, resize) => {
        await shows(/● ticks {2}running/)
        await shows(/even +[\d,]+ +[\d,]+ +0 +\d+ %/)
        resize(50, 8)
        await shows(/↓ \d+ more lines/)
        type(key)
      })
      expect(screen.code).toBe(0)
      expect(screen.text.startsWith('\x1b[?1049h\x1b[?25l')).toBe(true)
      expect(screen.text.trimEnd().endsWith('\x1b[?25h\x1b[?1049l')).toBe(true)
      const frames = screen.text.split('\x1b[?2026h').slice(1)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal is told
      const rowsOf = (frame: string) => frame.split(/\r*\n/).map((row) => row.replace(/\x1b\[[?\d;]*[A-Za-z]/g, ''))
      for (const frame of frames) {
        // Nothing is erased before it is drawn anew.
        expect(frame).not.toContain('\x1b[2J')
        const rows = rowsOf(frame)
        expect(rows.length).toBeLessThan(24)
        for (const row of rows.slice(0, -1)) expect(row.length).toBeLessThanOrEqual(80)
      }
      const last = rowsOf(frames.at(-1) ?? '')
      expect(last.length).toBeLessThanOrEqual(8)
      for (const row of last.slice(0, -1)) expect(row.length).toBeLessThanOrEqual(50)
    },
  )
})

describe('the figures between two moments', () => {
  const node = (n: number) => ({ in: n, out: n, errors: 0, busyMs: n })
  const snapshot = (at: number, n: number): Snapshot => ({
    at,
    workflows: [
      {
        id: 'w'.repeat(100),
        state: 'running',
        running: 1,
        inFlight: 5,
        inFlightMax: 10_000,
        deadLetters: 1,
        restarts: 2,
        takeovers: 0,
        tally: { in: n, out: n, errors: 0 },
        nodes: { [`a-rather-long-name-of-a-node-${'x'.repeat(60)}`]: node(n) },
        sources: [
          {
            node: 'in',
            state: 'open',
            inFlight: 5,
            inFlightMax: 10_000,
            oldestMs: 1_500,
            partitions: [
              { partition: 'orders/0', next: 10, committed: 5, end: 20, lag: 15, inFlight: 5, oldestMs: 1_500 },
              { partition: 'orders/1', next: 10, committed: null, end: null, lag: null, inFlight: 0, oldestMs: 0 },
            ],
          },
        ],
      },
    ],
  })

  test('are rates; counters that began anew with a new version count from 0', () => {
    const [grown] = figuresBetween(snapshot(1_000, 100), snapshot(3_000, 500))
    expect(grown).toMatchObject({ inPerSecond: 200, lag: 15, oldestMs: 1_500, nodes: [{ busyShare: 0.2 }] })
    const [anew] = figuresBetween(snapshot(1_000, 500), snapshot(2_000, 30))
    expect(anew).toMatchObject({ inPerSecond: 30, nodes: [{ inPerSecond: 30 }] })
  })

  test.each([40, 80, 200])('fit a screen of %i columns', (width) => {
    const lines = topView(figuresBetween(snapshot(1_000, 100), snapshot(2_000, 1_000_100)), width)
    expect(Math.max(...lines.map((each) => each.text.length))).toBeLessThanOrEqual(width)
    if (width < 80) return
    const text = lines.map((each) => each.text).join('\n')
    expect(text).toContain('in 1,000,000/s  out 1,000,000/s')
    expect(text).toMatch(/orders\/0 +open +10 +5 +15 +5 +1\.5 s/)
    expect(text).toMatch(/100000 % {2}█{10}/)
  })
})

describe('millrace tap', () => {
  test('prints messages as lines of JSON, of a port, by a filter, up to a limit', async () => {
    const { code, out } = await cli(
      ['tap', 'ticks.yaml', 'even', '--filter', '$json.n % 100 == 0', '--limit', '3', '--server', url],
      { cwd },
    )
    expect(code).toBe(0)
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines).toHaveLength(3)
    for (const each of lines) expect(each.value.n % 100).toBe(0)
    const failed = await cli(['tap', 'ticks', 'wrong.error', '--limit', '1', '--server', url], { cwd })
    expect(JSON.parse(failed.out).value.error).toMatchObject({ node: 'wrong', code: 'node.type-error' })
  })

  test('says how many went by unseen, and ends when its reader does', async () => {
    const tapping = startCli(['tap', 'ticks', 'in', '--server', url], { cwd })
    await tapping.said(/millrace: [\d,]+ messages went by unseen/)
    tapping.child.stdout.destroy()
    expect((await tapping.done).code).toBe(0)
  })

  test('says what is wrong with what it was asked', async () => {
    const refused = async (...args: readonly string[]): Promise<string> =>
      (await cli(['tap', ...args, '--server', url], { cwd })).err
    expect(await refused('ticks', 'odd')).toContain('there is no node "odd"; the workflow has in, even, wrong')
    expect(await refused('nobody', 'in')).toContain('there is no workflow "nobody"')
    expect(await refused('ticks', 'in', '--limit', 'few')).toContain('not a number from 1 to 1000000')
    expect(await refused('ticks', 'in', '--filter', '$json.')).toContain('the filter "$json."')
  })

  test('on a terminal is written for people', async (context) => {
    if (noTerminal !== null) return context.skip(noTerminal)
    const screen = await onTerminal(`'${program}' tap ticks even --limit 1 --server ${url}`, async () => undefined)
    expect(screen.text).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}\{ n: \d+ \}/)
  })
})

/** Runs a command on a pseudo-terminal of 80 by 24, made by util-linux. */
async function onTerminal(
  command: string,
  act: (
    shows: (pattern: RegExp) => Promise<void>,
    type: (keys: string) => void,
    resize: (columns: number, rows: number) => void,
  ) => Promise<void>,
): Promise<{ readonly text: string; readonly code: number | null }> {
  const name = join(cwd, 'terminal')
  const line = `tty > '${name}'; stty cols 80 rows 24; exec '${process.execPath}' ${command}`
  const child = spawn('script', ['-qefc', line, '/dev/null'], { cwd, env: { ...process.env, NO_COLOR: '1' } })
  let text = ''
  let look = (): void => undefined
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString('utf8')
    look()
  })
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve))
  const shows = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      look = () => {
        if (pattern.test(text)) resolve()
      }
      look()
      void ended.then(() => reject(new Error(`ended without showing ${pattern}: ${text}`)))
    })
  const resize = (columns: number, rows: number): void => {
    const size = ['cols', String(columns), 'rows', String(rows)]
    expect(spawnSync('stty', ['-F', readFileSync(name, 'utf8').trim(), ...size]).status).toBe(0)
  }
  await act(shows, (keys) => child.stdin.write(keys), resize)
  return { code: await ended, text }
}
