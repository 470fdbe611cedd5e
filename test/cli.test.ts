import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { cli, startCli } from './cli-process.ts'

const cwd = mkdtempSync(join(tmpdir(), 'cli-test-'))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

function write(name: string, text: string): string {
  writeFileSync(join(cwd, name), text)
  return name
}

/** The last line that a run says on standard error; lines of progress may stand before it. */
function reportOf(err: string): Readonly<Record<string, unknown>> {
  return JSON.parse(err.trimEnd().split('\n').at(-1) ?? '')
}

const hello = write(
  'hello.yaml',
  `millrace: 1
name: hello
nodes:
  begin: { type: manual@1 }
  greet: { type: set@1, config: { fields: { text: "{{ $vars.word + ' ' + $json.name }}" } } }
edges: [begin -> greet]
`,
)
const endless = write(
  'endless.yaml',
  `millrace: 1
name: endless
nodes:
  many: { type: generate@1, config: { perSecond: 2000 } }
  keep: { type: filter@1, config: { where: "{{ $json.n % 1000 === 0 }}" } }
edges: [many -> keep]
`,
)

describe('run', () => {
  test('starts a manual trigger with the input, prints what leaves the last node, and reports as JSON when piped', async () => {
    const { code, out, err } = await cli(['run', hello, '--set', 'word=Hello', '--input', '{"name":"Ada"}'], { cwd })
    expect({ code, out }).toEqual({ code: 0, out: '{"text":"Hello Ada"}\n' })
    expect(reportOf(err)).toMatchObject({ state: 'done', in: 1, out: 1, errors: 0, deadLetters: 0, unsettled: 0 })
  })

  test('reads its input from a file', async () => {
    write('ada.json', '{"name":"Ada"}')
    const { out } = await cli(['run', '--set', 'more=1', '--set', 'word=Hi', hello, '--input', '@ada.json'], { cwd })
    expect(out).toBe('{"text":"Hi Ada"}\n')
  })

  test('warns of a variable that nothing reads, and says which may be meant', async () => {
    const args = ['run', hello, '--input', '{"name":"Ada"}', '--set']
    const { code, err } = await cli([...args, 'words=Hello', '--set', 'more=1'], { cwd })
    expect(code).toBe(0)
    expect(err).toContain(`--set words: nothing in ${hello} reads $vars.words; did you mean word?"`)
    expect(err).toContain(`--set more: nothing in ${hello} reads $vars.more"`)
    const any = join(cwd, 'any.yaml')
    writeFileSync(any, readFileSync(join(cwd, hello), 'utf8').replace('$vars.word', '$vars[$json.name]'))
    expect((await cli(['run', any, '--input', '{"name":"more"}', '--set', 'more=1'], { cwd })).err).not.toContain(
      '--set',
    )
  })

  test('reads lines of standard input, in order', async () => {
    const input = Array.from({ length: 1_200 }, (_, index) => `{"name":${index}}\n`).join('')
    const { code, out, err } = await cli(['run', hello, '--set', 'word=No', '--input', '-'], { cwd, input })
    expect(code).toBe(0)
    expect(out.trimEnd().split('\n')).toEqual(
      Array.from({ length: 1_200 }, (_, index) => JSON.stringify({ text: `No ${index}` })),
    )
    expect(reportOf(err)).toMatchObject({ state: 'done', in: 1_200, out: 1_200 })
  })

  test('works in a pipe', async () => {
    const document = write(
      'pipe.yaml',
      `millrace: 1
name: pipe
nodes:
  in: { type: stdin@1 }
  big: { type: filter@1, config: { where: "{{ $json.total > 100 }}" } }
  out: { type: stdout@1 }
edges: [in -> big, big -> out]
`,
    )
    const input = Array.from({ length: 5_000 }, (_, n) => `{"total":${n}}\n`).join('')
    const { code, out } = await cli(['run', document], { cwd, input })
    expect(code).toBe(0)
    const lines = out.trimEnd().split('\n')
    expect([lines.length, lines[0], lines.at(-1)]).toEqual([4_899, '{"total":101}', '{"total":4999}'])
  })

  test('runs several triggers as one execution', async () => {
    const document = write(
      'two.yaml',
      `millrace: 1
name: two
nodes:
  a: { type: generate@1, config: { count: 3, value: a } }
  b: { type: generate@1, config: { count: 2, value: b } }
  both: { type: merge@1 }
edges: [a -> both, b -> both]
`,
    )
    const { code, out, err } = await cli(['run', document], { cwd })
    expect(code).toBe(0)
    expect(out.trimEnd().split('\n').sort()).toEqual(['"a"', '"a"', '"a"', '"b"', '"b"'])
    expect(reportOf(err)).toMatchObject({ state: 'done', in: 5, out: 5 })
  })

  test('counts as out what it prints: all that leaves by a port without an edge', async () => {
    const document = write(
      'ports.yaml',
      `millrace: 1
name: ports
nodes:
  begin: { type: generate@1, config: { count: 4 } }
  size: { type: switch@1, config: { cases: [{ port: large, where: "{{ $json.n >= 2 }}" }] } }
  count: { type: loop@1, config: { while: "{{ $json.n < 5 }}" } }
  add: { type: set@1, config: { fields: { n: "{{ $json.n + 1 }}" } } }
edges: [begin -> size, size.large -> count, count.round -> add -> count.back]
`,
    )
    const { code, out, err } = await cli(['run', document], { cwd })
    expect(code).toBe(0)
    expect(out.trimEnd().split('\n').sort()).toEqual(['{"n":0}', '{"n":1}', '{"n":5}', '{"n":5}'])
    expect(reportOf(err)).toMatchObject({ in: 4, out: 4 })
  })

  test('asks which trigger is meant where there are several', async () => {
    const document = write(
      'doors.yaml',
      `millrace: 1
name: doors
nodes:
  front: { type: manual@1 }
  back: { type: manual@1 }
  who: { type: set@1, config: { fields: { name: "{{ $json.name }}" } } }
edges: [front -> who, back -> who]
`,
    )
    const open = await cli(['run', document], { cwd })
    expect(open).toMatchObject({ code: 2, out: '' })
    expect(open.err).toMatch(/several triggers: choose one by --entry, of front, back/)
    const back = await cli(['run', document, '--entry', 'back', '--input', '{"name":1}'], { cwd })
    expect(back).toMatchObject({ code: 0, out: '{"name":1}\n' })
  })

  test('drains at Ctrl-C, says what was done and exits with 130', async () => {
    const running = startCli(['run', endless], { cwd })
    await running.said(/"n":0/)
    const asked = performance.now()
    running.child.kill('SIGINT')
    const { code, err } = await running.done
    expect(code).toBe(130)
    expect(reportOf(err)).toMatchObject({ state: 'stopped', unsettled: 0, deadLetters: 0, failure: null })
    expect(reportOf(err).in).toBeGreaterThan(0)
    // Nothing was under way, so nothing was waited for.
    expect(performance.now() - asked).toBeLessThan(10_000)
  })

  test('lets what is under way arrive before it ends', async () => {
    const document = write(
      'slow.yaml',
      `millrace: 1
name: slow
nodes:
  many: { type: generate@1, config: { perSecond: 500, batch: 1 } }
  later: { type: delay@1, config: { delayMs: 100 } }
edges: [many -> later]
`,
    )
    const running = startCli(['run', document], { cwd })
    await running.said(/"n":0/)
    running.child.kill('SIGTERM')
    const { code, out, err } = await running.done
    expect(code).toBe(130)
    const report = reportOf(err)
    expect(report).toMatchObject({ state: 'stopped', unsettled: 0, out: report.in })
    expect(out.trimEnd().split('\n')).toHaveLength(Number(report.in))
  })

  test('counts nothing where telemetry is off', async () => {
    const document = write(
      'uncounted.yaml',
      `millrace: 1
name: uncounted
settings: { telemetry: off }
nodes:
  many: { type: generate@1, config: { count: 3, value: 1 } }
  all: { type: merge@1 }
edges: [many -> all]
`,
    )
    const { code, out, err } = await cli(['run', document], { cwd })
    expect({ code, out }).toEqual({ code: 0, out: '1\n1\n1\n' })
    expect(Object.keys(reportOf(err))).toEqual(['state', 'deadLetters', 'unsettled', 'failure', 'elapsedMs'])
  })

  test('stops at Ctrl-C while it waits for a line of standard input', async () => {
    const running = startCli(['run', hello, '--set', 'word=x', '--input', '-'], { cwd })
    running.child.stdin.write(Array.from({ length: 500 }, () => '{"name":1}\n').join(''))
    await running.said(/"x 1"/)
    running.child.kill('SIGINT')
    expect(await running.done).toMatchObject({ code: 130 })
  })

  test('ends when the reader of its output has gone', async () => {
    const running = startCli(['run', endless], { cwd })
    await running.said(/"n":0/)
    running.child.stdout.destroy()
    const { code, err } = await running.done
    expect(code).toBe(0)
    expect(reportOf(err)).toMatchObject({ state: 'stopped' })
  })

  test('keeps a workflow alive that waits', async () => {
    const document = write(
      'wait.yaml',
      `millrace: 1
name: wait
nodes:
  begin: { type: manual@1 }
  later: { type: delay@1, config: { delayMs: 150 } }
edges: [begin -> later]
`,
    )
    expect(await cli(['run', document, '--input', '7'], { cwd })).toMatchObject({ code: 0, out: '7\n' })
  })

  test('writes dead letters to a file and exits with 1', async () => {
    const document = write(
      'fails.yaml',
      `millrace: 1
name: fails
nodes:
  many: { type: generate@1, config: { count: 3 } }
  half: { type: set@1, config: { fields: { text: "{{ $json.n.toUpperCase() }}" } } }
edges: [many -> half]
`,
    )
    const { code, err } = await cli(['run', document, '--dead-letter', 'dead.ndjson'], { cwd })
    expect(code).toBe(1)
    expect(reportOf(err)).toMatchObject({ state: 'done', in: 3, out: 0, deadLetters: 3 })
    const letters = readFileSync(join(cwd, 'dead.ndjson'), 'utf8').trimEnd().split('\n')
    expect(letters.map((line) => JSON.parse(line).value)).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }])
    expect(JSON.parse(letters[0] ?? '')).toMatchObject({ workflow: 'fails', failure: { node: 'half' } })
    const said = await cli(['run', document, '--quiet'], { cwd })
    expect(said.code).toBe(1)
    expect(said.err.match(/dead letter: /g)).toHaveLength(3)
  })

  test('runs the tasks of a module on a pool', async () => {
    const tasks = new URL('../workers/index.ts', import.meta.url).href
    write(
      'tasks.ts',
      `import { defineTask } from ${JSON.stringify(tasks)}
defineTask<number>('double', async function* (n) { yield n * 2 })
`,
    )
    const document = write(
      'pool.yaml',
      `millrace: 1
name: pool
nodes:
  begin: { type: manual@1 }
  work: { type: pool@1, config: { task: double, backend: thread } }
edges: [begin -> work]
`,
    )
    const { code, out } = await cli(['run', document, '--tasks', 'tasks.ts', '--input', '21'], { cwd })
    expect({ code, out }).toEqual({ code: 0, out: '42\n' })
  })

  test('runs a workflow in a thread of its own and prints all of it', async () => {
    const document = write(
      'thread.yaml',
      `millrace: 1
name: thread
settings: { isolation: thread }
nodes:
  many: { type: generate@1, config: { count: 2000 } }
  keep: { type: filter@1, config: { where: "{{ $json.n >= 1990 }}" } }
edges: [many -> keep]
`,
    )
    const { code, out } = await cli(['run', document], { cwd })
    expect({ code, lines: out.trimEnd().split('\n').length }).toEqual({ code: 0, lines: 10 })
  })
})

describe('what cannot be done', () => {
  test.each([
    [['nope'], /unknown command 'nope'/],
    [['run'], /missing required argument 'file'/],
    [['run', hello, '--nope'], /unknown option '--nope'/],
    [['run', 'absent.yaml'], /absent\.yaml: error: the document cannot be read: there is no such file → Give the path/],
    [['run', hello, '--input', '{x'], /--input is not JSON: \{x/],
    [['run', hello, '--input', '@absent.json'], /absent\.json, which cannot be read/],
    [['run', hello, '--entry', 'side'], /--entry names "side", which is no trigger; there are begin/],
    [['run', hello, '--set', '1x'], /--set got "1x", not NAME=VALUE/],
    [
      ['run', hello, '--set', 'a=12345678901234567890'],
      /numbers are exact up to 9007199254740991.*--set 'a="12345678901234567890"'/,
    ],
    [
      ['run', hello, '--dead-letter', 'absent/failed.ndjson'],
      /--dead-letter names absent\/failed\.ndjson, which cannot be written: ENOENT/,
    ],
    [['run', hello, '--trace', '.'], /--trace names \., which is a folder/],
    [['run', hello, '--otlp', 'not a url'], /--otlp is "not a url"; write for example/],
    [['run', hello, '--tasks', 'absent.ts'], /--tasks names absent\.ts, but there is no such file/],
    [['run', hello, '--allow-folder', 'absent'], /--allow-folder names absent/],
    [['run', endless, '--input', '1'], /--input needs a trigger that takes it, such as manual; there are many/],
    [['nodes', 'filtr'], /no node type "filtr"; did you mean filter/],
    [['serve', hello, '--port', 'x'], /the port is "x", not a number from 0 to 65535/],
    [['serve', hello, hello], /both called "hello": rename one/],
    [['explain', 'absent.yaml'], /there is no such file/],
    [['test', 'absent.yaml'], /there is no such file/],
  ])('%j exits with 2 and says what to do, without a stack', async (args, pattern) => {
    const { code, out, err } = await cli(args, { cwd })
    expect(err).toMatch(pattern)
    expect(out + err).not.toMatch(/^\s+at /m)
    expect(code).toBe(2)
  })

  test('a webhook cannot be run without a server, and that is said', async () => {
    const document = write(
      'hook.yaml',
      'millrace: 1\nname: hook\nnodes: { in: { type: webhook@1, config: { path: /x } } }\nedges: []\n',
    )
    const { code, err } = await cli(['run', document], { cwd })
    expect(code).toBe(2)
    expect(err).toMatch(/in \(webhook@1\) waits for the outside: start the document with `millrace serve`/)
  })

  test('every command has examples', async () => {
    const commands = [[], ['run'], ['lint'], ['test'], ['explain'], ['nodes'], ['serve'], ['demo']]
    for (const command of commands) {
      const { code, out } = await cli([...command, '--help'], { cwd })
      expect(code).toBe(0)
      expect(out).toMatch(/Examples?:\n {2}\$ millrace /)
    }
  })
})

describe('lint', () => {
  const broken = write(
    'broken.yaml',
    `millrace: 1
name: broken
nodes:
  begin: { type: manual@1 }
  greet: { type: sett@1 }
  big: { type: filter@1, config: { where: "{{ $json.total > }}" } }
edges: [begin -> greet, begin -> nowhere]
`,
  )

  test('shows all problems with line and column, and exits with 2', async () => {
    const { code, out } = await cli(['lint', broken, hello], { cwd })
    expect(code).toBe(2)
    const lines = out.trimEnd().split('\n')
    expect(lines.filter((line) => /^broken\.yaml:\d+:\d+ error /.test(line)).length).toBeGreaterThanOrEqual(3)
    expect(out).toMatch(/^broken\.yaml:5:\d+ error greet.*did you mean set/im)
    expect(lines.at(-1)).toBe('hello.yaml: no problems')
  })

  test('says the same as JSON', async () => {
    const { code, out } = await cli(['lint', '--json', broken, hello], { cwd })
    expect(code).toBe(2)
    const [first, second] = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(first).toMatchObject({ file: 'broken.yaml', ok: false })
    expect(first.problems.length).toBeGreaterThanOrEqual(3)
    expect(first.problems[0]).toMatchObject({
      code: expect.any(String),
      remedy: expect.any(String),
      place: { line: expect.any(Number) },
    })
    expect(second).toEqual({ file: 'hello.yaml', ok: true, problems: [] })
  })
})

describe('test', () => {
  test('runs the test cases of a document on virtual time, with mocks, and names what differs', async () => {
    const document = write(
      'tested.yaml',
      `millrace: 1
name: tested
nodes:
  begin: { type: manual@1 }
  ask: { type: http.request@1, config: { url: "http://127.0.0.1:9/{{ $json.id }}" } }
  later: { type: delay@1, config: { delayMs: 3600000 } }
  out: { type: file.append@1, config: { path: out.ndjson } }
edges: [begin -> ask, ask -> later, later -> out]
tests:
  - name: an hour passes in no time
    input: { begin: [{ id: 1 }] }
    mocks: { ask: [{ name: Ada }] }
    expect: { out: [{ name: Ada }], ask: [{ name: Ada }] }
  - name: an error has a port
    input: { begin: [{ id: 1 }] }
    mocks: { ask: [{ error: gone }] }
    expect: { out: [], dead-letter: [{ error: gone, value: { id: 1 } }] }
`,
    )
    const { code, out } = await cli(['test', document], { cwd })
    expect(out).toMatch(/✓ tested\.yaml: an hour passes in no time \(\d+ ms\)\n✓ tested\.yaml: an error has a port/)
    expect(out).toMatch(/2 passed, 0 failed/)
    expect(code).toBe(0)
  })

  test('gives values to each port of a trigger that has several, and says which there are', async () => {
    const document = write(
      'ports.yaml',
      `millrace: 1
name: ports
nodes:
  ws: { type: websocket.serve@1 }
  loud: { type: set@1, config: { fields: { text: "{{ $json.text.toUpperCase() }}" } } }
  back: { type: websocket.send@1 }
  hello: { type: websocket.send@1 }
edges: [ws.message -> loud -> back, ws.open -> hello]
tests:
  - name: answers
    input: { ws.open: [{ path: / }], ws.message: [{ text: a }, { text: 7 }] }
    expect: { hello: [{ path: / }], back: [{ text: A }] }
  - name: names no port
    input: { ws: [{}] }
`,
    )
    const { code, out } = await cli(['test', document], { cwd })
    expect(out).toMatch(/✓ ports\.yaml: answers/)
    expect(out).toMatch(/the test gives input to ws; it has ws\.open, ws\.message, ws\.close, ws\.error/)
    expect(code).toBe(1)
  })

  test('lets a webhook have the port that its config gives it, and starts it with a request', async () => {
    const document = write(
      'arriving.yaml',
      `millrace: 1
name: arriving
nodes:
  hook: { type: webhook@1, config: { path: /films, arrivingMs: 500 } }
  film: { type: set@1, config: { fields: { name: "{{ $json.body }}" } } }
  ready: { type: log@1, config: { text: soon } }
edges: [hook -> film, hook.arriving -> ready]
tests:
  - name: shows it
    input: { hook: [{ body: a }] }
    expect: { film: [{ name: a }] }
  - name: starts with a hint
    input: { hook.arriving: [{}] }
`,
    )
    const { code, out } = await cli(['test', document], { cwd })
    expect(out).toMatch(/✓ arriving\.yaml: shows it/)
    expect(out).toMatch(/the test gives input to hook\.arriving; it has hook\.out/)
    expect(code).toBe(1)
  })

  test('gives the values of a stream trigger to one execution', async () => {
    const document = write(
      'stream.yaml',
      `millrace: 1
name: stream
nodes:
  in: { type: stdin@1 }
  pairs: { type: aggregate@1, config: { count: 2 } }
  out: { type: stdout@1 }
edges: [in -> pairs, pairs -> out]
tests:
  - name: pairs
    input: { in: [1, 2, 3] }
    expect: { out: [[1, 2], [3]] }
`,
    )
    const { code, out } = await cli(['test', document], { cwd })
    expect(out).toMatch(/1 passed, 0 failed/)
    expect(code).toBe(0)
  })

  test('exits with 1 when one fails, and shows what was wanted and what came', async () => {
    const document = write(
      'wrong.yaml',
      `millrace: 1
name: wrong
nodes:
  begin: { type: manual@1 }
  twice: { type: set@1, config: { fields: { n: "{{ $json.n * 2 }}" } } }
  ask: { type: http.request@1, config: { url: "http://127.0.0.1:9/" } }
edges: [begin -> twice, begin -> ask]
tests:
  - { name: differs, input: { begin: [{ n: 2 }] }, mocks: { ask: [1] }, expect: { twice: [{ n: 5 }] } }
  - { name: no mock, input: { begin: [{ n: 2 }] } }
  - { name: a slip, input: { begun: [1] }, mocks: { ask: [1] } }
`,
    )
    const { code, out } = await cli(['test', document], { cwd })
    expect(code).toBe(1)
    expect(out).toMatch(/✗ wrong\.yaml: differs.*\n {2}twice\n {4}wanted \[\{"n":5\}\]\n {4}got {4}\[\{"n":4\}\]/)
    expect(out).toMatch(/✗ wrong\.yaml: no mock.*\n {2}ask \(http\.request\) speaks to the outside: say under mocks/)
    expect(out).toMatch(/✗ wrong\.yaml: a slip.*\n {2}the test gives input to begun, which is no trigger/)
    expect(out).toMatch(/0 passed, 3 failed/)
  })
})

describe('explain and nodes', () => {
  test('explain shows stages, lines and the generated loop, and opens nothing', async () => {
    const document = write(
      'explained.yaml',
      `millrace: 1
name: explained
nodes:
  in: { type: stdin@1 }
  big: { type: filter@1, config: { where: "{{ $json.total > 100 }}" } }
  out: { type: file.append@1, config: { path: "{{ $env.NOT_SET }}" } }
edges: [in -> big, big -> out]
`,
    )
    const { code, out } = await cli(['explain', document], { cwd })
    expect(code).toBe(0)
    expect(out).toMatch(/^explained: 3 nodes in 3 stages/)
    expect(out).toMatch(/big \(filter@1\) line 5/)
    expect(out).toMatch(/return function stage\(/)
    expect(out).toContain('> 100')
    const asJson = await cli(['explain', '--json', document], { cwd })
    expect(JSON.parse(asJson.out)).toMatchObject({ workflow: { name: 'explained' } })
  })

  test('nodes lists all types, and shows the docs of one', async () => {
    const all = await cli(['nodes'], { cwd })
    expect(all.out).toMatch(/^filter@1 +Keeps the messages/m)
    const one = await cli(['nodes', 'filter'], { cwd })
    expect(one.out).toMatch(/^## filter@1\n[\s\S]*\| `where` \|/)
  })
})
