import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { seekTargetOf } from '../cli/commands/control.ts'
import { id, KafkaFlows, until } from '../connectors/kafka/kafka.fixture.ts'
import { openDriver } from '../connectors/kafka/open-driver.ts'
import type { CliProcess } from './cli-process.ts'
import { cli, startCli } from './cli-process.ts'
import { noKafka } from './services/kafka.ts'
import { sharedKafka } from './services/shared.ts'

const cwd = mkdtempSync(join(tmpdir(), 'cli-control-test-'))
const started: CliProcess[] = []
afterEach(async () => {
  for (const each of started.splice(0)) {
    each.child.kill('SIGKILL')
    await each.done
  }
})
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

async function serve(...args: readonly string[]): Promise<string> {
  const process = startCli(['serve', '--port', '0', ...args], { cwd })
  started.push(process)
  const [, url = ''] = await process.said(/listening on (http:\S+)/)
  return url
}

const ticks = (label: string): string => `millrace: 1
name: ticks
nodes:
  in: { type: generate@1, config: { perSecond: 500 } }
  a: { type: set@1, config: { fields: { n: "{{ $json.n }}", by: ${label} } } }
  out: { type: file.append@1, config: { path: ticks.ndjson } }
edges: [in -> a, a -> out]
`

const written = (): readonly { n: number; by: string }[] => {
  try {
    return readFileSync(join(cwd, 'ticks.ndjson'), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  } catch {
    return []
  }
}

test('a workflow that runs is paused, resumed and replaced by what its file says now; a file with problems changes nothing', async () => {
  const file = join(cwd, 'ticks.yaml')
  writeFileSync(file, ticks('one'))
  const url = await serve('ticks.yaml')
  await until(() => written().length > 20, 'it runs')
  expect(await cli(['pause', 'ticks.yaml', '--server', url], { cwd })).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^trigger +state +partition[^\n]+\nin +paused/),
  })
  expect(
    JSON.parse((await cli(['resume', 'ticks', '--node', 'in', '--json', '--server', url], { cwd })).out),
  ).toMatchObject({
    sources: [{ node: 'in', state: 'open' }],
  })
  writeFileSync(file, ticks('two'))
  expect(await cli(['reload', 'ticks', '--server', url], { cwd })).toMatchObject({
    code: 0,
    out: 'ticks: the new version runs\n',
  })
  await until(() => written().some((each) => each.by === 'two'), 'the new version runs')
  appendFileSync(file, 'nonsense: true\n')
  expect(await cli(['reload', 'ticks', '--server', url], { cwd })).toMatchObject({
    code: 2,
    err: expect.stringMatching(/ticks\.yaml:\d+:\d+ error: .*nonsense/),
  })
  const before = written().length
  await until(() => written().length > before + 20, 'the other one goes on')
  const numbers = written().map((each) => each.n)
  expect(numbers).toEqual(numbers.map((_, n) => n))
})

test('what cannot be done says why and what to do', async () => {
  writeFileSync(join(cwd, 'ticks.yaml'), ticks('one'))
  const url = await serve('ticks.yaml')
  const refused = async (...args: readonly string[]): Promise<string> => {
    const { code, err } = await cli([...args], { cwd })
    expect(code).toBe(2)
    return err
  }
  expect(await refused('pause', 'nobody', '--server', url)).toContain('There is no workflow "nobody"')
  expect(await refused('pause', 'ticks', '--node', 'x', '--server', url)).toContain('"x"; the workflow has in')
  expect(await refused('seek', 'ticks', '--to', 'latest', '--server', url)).toContain(
    'in (generate@1) has no positions',
  )
  expect(await refused('seek', 'ticks', '--to', 'yesterday', '--server', url)).toContain(
    'write earliest, latest, an offset',
  )
  writeFileSync(join(cwd, 'nameless.yaml'), ticks('one').replace('name: ticks', 'name: [ticks]'))
  expect(await refused('pause', 'nameless.yaml', '--server', url)).toContain(
    'nameless.yaml has no name that can be read; run `millrace lint nameless.yaml`',
  )
  expect(await refused('pause', 'ticks', '--server', 'http://127.0.0.1:1')).toContain('start one with `millrace serve`')
  expect(await refused('pause', 'ticks', '--server', 'nowhere')).toContain('--server http://127.0.0.1:4600')
})

test('a position is earliest, latest, an offset or a time', () => {
  expect(seekTargetOf('latest')).toEqual({ kind: 'latest' })
  expect(seekTargetOf('1000')).toEqual({ kind: 'offset', offset: 1000 })
  expect(seekTargetOf('2026-01-01T00:00:00Z')).toEqual({ kind: 'time', timeMs: 1_767_225_600_000 })
})

test('a consumer group is moved back in time, and reads again what came since', async (context) => {
  if (noKafka !== null) return context.skip(noKafka)
  const flows = new KafkaFlows(await sharedKafka(), await openDriver('batch'))
  const [from, to, group] = [await flows.topic(), await flows.topic(), id()]
  const at = Date.UTC(2026, 0, 1)
  await flows.write(
    from,
    Array.from({ length: 10 }, (_, n) => ({ value: `{"n":${n}}`, time: at + n * 60_000 })),
  )
  const kafka = `brokers: [${flows.address.brokers.join(', ')}], driver: batch`
  writeFileSync(
    join(cwd, 'copy.yaml'),
    `millrace: 1
name: copy
nodes:
  in: { type: kafka.consume@1, config: { ${kafka}, topic: ${from}, group: ${group}, commitMs: 100 } }
  out: { type: kafka.produce@1, config: { ${kafka}, topic: ${to} } }
edges: [in -> out]
`,
  )
  const url = await serve('copy.yaml')
  await until(async () => (await flows.groupOffset(group, from)) === 10, 'all is read')
  const { out } = await cli(['seek', 'copy', '--to', new Date(at + 7 * 60_000).toISOString(), '--server', url], { cwd })
  expect(out).toMatch(new RegExp(`\\n +${from}/0 +7 +7 +3 `))
  await until(async () => (await flows.groupOffset(group, from)) === 10, 'it is read again')
  expect((await flows.json(to)).map((each) => (each as { n: number }).n)).toEqual([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9,
  ])
  await flows.close()
})
