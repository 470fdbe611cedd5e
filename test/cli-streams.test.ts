import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { startCli, startShell } from './cli-process.ts'

const cwd = mkdtempSync(join(tmpdir(), 'cli-streams-test-'))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

writeFileSync(
  join(cwd, 'hello.yaml'),
  `millrace: 1
name: hello
nodes:
  begin: { type: manual@1 }
  greet: { type: set@1, config: { fields: { text: "{{ 'Hello ' + $json.name.trim() }}" } } }
edges: [begin -> greet]
`,
)

describe.skipIf(!existsSync('/dev/full'))('output that cannot be written', () => {
  test.each([
    `run hello.yaml --input '{"name":"Ada"}'`,
    `run hello.yaml --quiet --input '{"name":"Ada"}'`,
    'explain hello.yaml',
    'nodes',
    'lint hello.yaml',
  ])('makes `%s` fail, and the cause is said', async (command) => {
    const { code, err } = await startShell(`millrace ${command} > /dev/full`, { cwd }).done
    expect(err).toMatch(/^millrace: standard output cannot be written: ENOSPC: no space left on device/m)
    expect(err).not.toContain('"state":"done"')
    expect(code).toBe(1)
  })
})

test('bytes are printed, and kept as dead letters, as base64', async () => {
  const nodes = `in: { type: stdin@1, config: { format: bytes } }, a: { type: merge@1 }, f: { type: stop-and-error@1, config: { message: no } }`
  writeFileSync(join(cwd, 'bytes.yaml'), `millrace: 1\nname: bytes\nnodes: { ${nodes} }\nedges: [in -> a, in -> f]\n`)
  const args = ['run', 'bytes.yaml', '--dead-letter', 'bytes.ndjson']
  const { out } = await startCli(args, { cwd, input: 'abc' }).done
  expect(out).toBe('"YWJj"\n')
  expect(JSON.parse(readFileSync(join(cwd, 'bytes.ndjson'), 'utf8'))).toMatchObject({ value: 'YWJj' })
})

describe('lines of standard input', () => {
  test('run as they come', async () => {
    const running = startCli(['run', 'hello.yaml', '--input', '-'], { cwd })
    running.child.stdin.write('{"name":"Ada"}\n{"name":"Gra')
    await running.said(/"Hello Ada"/)
    running.child.stdin.end('ce"}')
    expect(await running.done).toMatchObject({ code: 0, out: '{"text":"Hello Ada"}\n{"text":"Hello Grace"}\n' })
  })

  test('go on after one that is not JSON, which is a dead letter', async () => {
    const lines = Array.from({ length: 1_200 }, (_, n) => `{"name":"${n}"}\n`)
    const input = [...lines, 'bad\n', '{"name":"last"}\n'].join('')
    const args = ['run', 'hello.yaml', '--input', '-', '--dead-letter', 'bad.ndjson']
    const { code, out, err } = await startCli(args, { cwd, input }).done
    expect(code).toBe(1)
    expect(out.trimEnd().split('\n')).toHaveLength(1_201)
    expect(out).toMatch(/"Hello 1199"\}\n\{"text":"Hello last"\}\n$/)
    expect(err).toContain('"state":"done","in":1201,"out":1201,"errors":0,"deadLetters":1')
    expect(JSON.parse(readFileSync(join(cwd, 'bad.ndjson'), 'utf8'))).toMatchObject({
      workflow: 'hello',
      failure: { message: 'line 1201 of standard input is not JSON: "bad"', node: 'begin' },
      value: 'bad',
    })
  })
})

describe('a directory as standard input', () => {
  writeFileSync(
    join(cwd, 'pipe.yaml'),
    'millrace: 1\nname: pipe\nnodes: { in: { type: stdin@1 }, out: { type: stdout@1 } }\nedges: [in -> out]\n',
  )
  test.each([
    ['run pipe.yaml', 1],
    ['run hello.yaml --input -', 2],
  ])('is refused by `%s`', async (command, exitCode) => {
    const { code, err } = await startShell(`millrace ${command} < .`, { cwd }).done
    expect(err).toContain('standard input is a directory; give it a file or a pipe')
    expect(code).toBe(exitCode)
  })
})

/** A command on a terminal of its own, with standard output and standard error both there. */
const onTerminal = (command: string): string => `script -qec '"$NODE" "$PROGRAM" ${command}' /dev/null`
const hasScript = spawnSync('script', ['--version']).status === 0

describe.skipIf(!hasScript)('on a terminal', () => {
  test('the line of progress gives way to what is written', async () => {
    writeFileSync(
      join(cwd, 'ticks.yaml'),
      `millrace: 1
name: ticks
nodes: { many: { type: generate@1, config: { perSecond: 20, count: 25 } }, out: { type: stdout@1 } }
edges: [many -> out]
`,
    )
    const { out } = await startShell(onTerminal('run ticks.yaml'), { cwd }).done
    expect(out).toMatch(/ in flight {2}0 errors/)
    const lines = out.split(/\r?\n/).filter((line) => line.includes('"n"'))
    expect(lines).toHaveLength(25)
    // What a terminal shows of a line begins behind the last time that it was cleared.
    for (const line of lines) expect(line.split('\x1b[K').at(-1)).toMatch(/^\{"n":\d+\}$/)
  })
})

describe('signals', () => {
  writeFileSync(
    join(cwd, 'slow.yaml'),
    `millrace: 1
name: slow
nodes: { begin: { type: manual@1 }, later: { type: delay@1, config: { delayMs: 60000 } } }
edges: [begin -> later]
`,
  )
  writeFileSync(
    join(cwd, 'endless.yaml'),
    'millrace: 1\nname: endless\nnodes: { many: { type: generate@1, config: { perSecond: 100 } } , all: { type: merge@1 } }\nedges: [many -> all]\n',
  )

  test('a closed terminal drains, and exits with 129', async () => {
    const running = startCli(['run', 'endless.yaml'], { cwd })
    await running.said(/"n":0/)
    running.child.kill('SIGHUP')
    const { code, err } = await running.done
    expect(err).toMatch(/"state":"stopped".*"unsettled":0/)
    expect(code).toBe(129)
  })

  test.skipIf(!hasScript)(
    'a terminal that vanishes is one that was closed: it drains, and ends as by SIGHUP',
    async () => {
      writeFileSync(
        join(cwd, 'both.yaml'),
        `millrace: 1
name: both
nodes:
  many: { type: generate@1, config: { perSecond: 200 } }
  now: { type: file.append@1, config: { path: now.ndjson } }
  wait: { type: delay@1, config: { delayMs: 500 } }
  later: { type: file.append@1, config: { path: later.ndjson } }
edges: [many -> now, many -> wait, wait -> later]
`,
      )
      const numbers = (file: string): readonly string[] => readFileSync(join(cwd, file), 'utf8').trim().split('\n')
      // The system tells of it to the shell that the terminal belongs to, and to all others there when that one has ended.
      const line =
        '{ trap : HUP; "$NODE" "$PROGRAM" run both.yaml < /dev/tty; echo $? > code.part; mv code.part code; } & wait'
      const running = startShell(`exec script -qec '${line}' /dev/null`, { cwd })
      await running.said(/ in flight/)
      await expect.poll(() => existsSync(join(cwd, 'later.ndjson')), { timeout: 20_000 }).toBe(true)
      running.child.kill('SIGKILL')
      await expect.poll(() => existsSync(join(cwd, 'code')), { timeout: 20_000 }).toBe(true)
      expect(readFileSync(join(cwd, 'code'), 'utf8')).toBe('129\n')
      expect(numbers('later.ndjson')).toEqual(numbers('now.ndjson'))
    },
  )

  test.skipIf(!hasScript)('Ctrl-C on a terminal says that it drains, and a second one what was done', async () => {
    const running = startShell(onTerminal('run slow.yaml'), { cwd })
    await running.said(/1 in flight/)
    running.child.stdin.write('\x03')
    await running.said(/draining; Ctrl-C again stops at once/)
    running.child.stdin.write('\x03')
    const { code, out } = await running.done
    expect(out).toContain('stopped: 1 in, 0 out, 0 errors, 1 left unsettled')
    expect(code).toBe(130)
  })
})
