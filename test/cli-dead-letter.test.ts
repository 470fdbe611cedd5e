import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { id, KafkaFlows } from '../connectors/kafka/kafka.fixture.ts'
import { openDriver } from '../connectors/kafka/open-driver.ts'
import { cli, startCli } from './cli-process.ts'
import { noKafka } from './services/kafka.ts'
import { sharedKafka } from './services/shared.ts'

const cwd = mkdtempSync(join(tmpdir(), 'cli-dead-letter-test-'))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

describe.each(['batch', 'kafkajs'] as const)('dead letters in a topic (%s)', (driver) => {
  let flows: KafkaFlows
  beforeAll(async () => {
    if (noKafka === null) flows = new KafkaFlows(await sharedKafka(), await openDriver(driver))
  })
  afterAll(() => flows?.close())

  /** Runs 12 records of which every third is poison; answers the document and its topics. */
  async function poisoned(partitions: number): Promise<{ file: string; from: string; dead: string }> {
    const [from, dead] = [await flows.topic(partitions), await flows.topic(partitions)]
    await flows.write(
      from,
      Array.from({ length: 12 }, (_, n) => ({
        value: n % 3 === 0 ? `{"n":${n}` : `{"n":${n}}`,
        key: `k${n}`,
        headers: [{ name: 'trace', value: `t${n}` }],
        partition: n % partitions,
      })),
    )
    const file = join(cwd, `${from}.yaml`)
    writeFileSync(
      file,
      `millrace: 1
name: shop-${from}
nodes:
  in: { type: kafka.consume@1, config: { brokers: [${flows.address.brokers.join(', ')}], driver: ${driver}, topic: ${from}, group: ${id()}, until: caught-up, deadLetterTopic: ${dead} } }
  out: { type: file.append@1, config: { path: ${from}.ndjson } }
edges: [in -> out]
`,
    )
    expect((await cli(['run', file, '--quiet'], { cwd })).code).toBe(0)
    return { file, from, dead }
  }

  const listed = async (...args: readonly string[]): Promise<readonly { readonly [name: string]: unknown }[]> => {
    const { code, out } = await cli(['dead-letter', 'list', ...args, '--json'], { cwd })
    expect(code).toBe(0)
    return out
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line))
  }

  test('are listed with their cause, sent back as they were, and then wait no more', async (context) => {
    if (noKafka !== null) return context.skip(noKafka)
    const { file, from } = await poisoned(2)
    const waiting = await listed(file)
    expect(waiting.map((each) => each.key).sort()).toEqual(['k0', 'k3', 'k6', 'k9'])
    expect(waiting.find((each) => each.key === 'k3')).toMatchObject({
      node: 'in',
      code: 'kafka.not-json',
      origin: `${from}/1@1`,
      value: '{"n":3',
    })
    const { out } = await cli(['dead-letter', 'list', file], { cwd })
    expect(out).toMatch(/^time +node +code +from +key +message\n\d{4}-\d\d-\d\d .* in +kafka\.not-json/)
    const dry = await cli(['dead-letter', 'replay', file, '--dry-run'], { cwd })
    expect(dry.out.trim().split('\n')).toHaveLength(5)
    expect(await flows.read(from)).toHaveLength(12)
    expect(await cli(['dead-letter', 'replay', file, '--limit', '1'], { cwd })).toMatchObject({
      code: 0,
      err: expect.stringContaining('1 sent again\n'),
    })
    expect(await listed(file)).toHaveLength(3)
    expect((await cli(['dead-letter', 'replay', file], { cwd })).err).toContain('3 sent again\n')
    expect(await listed(file)).toEqual([])
    expect(await listed(file, '--all')).toHaveLength(4)
    const again = (await flows.read(from)).filter((each) => each.headers['millrace-replayed'] !== undefined)
    expect(again.map((each) => each.key).sort()).toEqual(['k0', 'k3', 'k6', 'k9'])
    expect(again.find((each) => each.key === 'k3')).toMatchObject({
      value: '{"n":3',
      partition: 1,
      headers: { trace: 't3', 'millrace-replayed': '1' },
    })
    expect(Object.keys(again[0]?.headers ?? {}).sort()).toEqual(['millrace-replayed', 'trace'])
    // They fail again, and come back a second time with the count of it; so do the marks that reading the topic has left there.
    expect((await cli(['run', file, '--quiet'], { cwd })).code).toBe(0)
    expect((await cli(['dead-letter', 'replay', file], { cwd })).err).toMatch(/\d+ sent again\n/)
    expect((await flows.read(from)).filter((each) => each.headers['millrace-replayed'] === '2')).toHaveLength(4)
  })

  test('are all sent when two replays run at the same time', async (context) => {
    if (noKafka !== null) return context.skip(noKafka)
    const { file, from } = await poisoned(2)
    const replays = await Promise.all([1, 2].map(() => cli(['dead-letter', 'replay', file], { cwd })))
    expect(replays.map((each) => each.code)).toEqual([0, 0])
    expect(await listed(file)).toEqual([])
    const again = (await flows.read(from)).filter((each) => each.headers['millrace-replayed'] !== undefined)
    expect(new Set(again.map((each) => each.key))).toEqual(new Set(['k0', 'k3', 'k6', 'k9']))
  })

  test('lose none when a replay is killed', async (context) => {
    if (noKafka !== null) return context.skip(noKafka)
    const { file, from, dead } = await poisoned(1)
    const letters = (await flows.read(dead))[0]
    const many = Array.from({ length: 3_000 }, (_, n) => ({
      value: `again ${n}`,
      headers: Object.entries(letters?.headers ?? {}).map(([name, value]) => ({ name, value })),
    }))
    await flows.write(dead, many)
    const replaying = startCli(['dead-letter', 'replay', file, '--json'], { cwd })
    await replaying.said(/again/)
    replaying.child.kill('SIGKILL')
    await replaying.done
    expect((await cli(['dead-letter', 'replay', file], { cwd })).code).toBe(0)
    expect(await listed(file)).toEqual([])
    const back = new Set((await flows.read(from)).map((each) => each.value))
    expect(many.filter((each) => !back.has(each.value))).toEqual([])
  })
})

describe('dead letters in a file', () => {
  const document = (config: string): string => `millrace: 1
name: ages
nodes:
  in: { type: manual@1 }
  age: { type: set@1, config: { fields: { age: "{{ ${config} }}" } } }
  twice: { type: set@1, config: { fields: { twice: "{{ $json.age.toFixed(0) }}" } } }
  out: { type: file.append@1, config: { path: ages.ndjson } }
edges: [in -> age, age -> twice, twice -> out]
`

  test('are listed, and run from the trigger again when the document is mended', async () => {
    writeFileSync(join(cwd, 'ages.yaml'), document('$json.person.age'))
    const args = ['run', 'ages.yaml', '--quiet', '--dead-letter', 'failed.ndjson', '--input']
    await cli([...args, '{"age":1}'], { cwd })
    await cli([...args, '{"age":2}'], { cwd })
    const { out } = await cli(['dead-letter', 'list', '--file', 'failed.ndjson'], { cwd })
    expect(out.trim().split('\n')).toHaveLength(3)
    expect(out).toMatch(/ age +node\.type-error +– +– +\$json\.person is undefined/)
    writeFileSync(join(cwd, 'ages.yaml'), document('$json.age'))
    expect(await cli(['dead-letter', 'replay', 'ages.yaml', '--file', 'failed.ndjson'], { cwd })).toMatchObject({
      code: 0,
      err: '2 ran again; failed.ndjson is as it was: remove it when you are done with it\n',
    })
    expect(readFileSync(join(cwd, 'ages.ndjson'), 'utf8')).toBe('{"twice":"1"}\n{"twice":"2"}\n')
  })

  test('print what leaves the last node when they run again, as a run does', async () => {
    const greet = (text: string): string => `millrace: 1
name: hello
nodes: { begin: { type: manual@1 }, greet: { type: set@1, config: { fields: { text: "{{ ${text} }}" } } } }
edges: [begin -> greet]
`
    writeFileSync(join(cwd, 'hello.yaml'), greet('$json.name.trim()'))
    await cli(['run', 'hello.yaml', '--quiet', '--dead-letter', 'nameless.ndjson', '--input', '{"nome":"Ada"}'], {
      cwd,
    })
    writeFileSync(join(cwd, 'hello.yaml'), greet('$json.nome.trim()'))
    const replayed = await cli(['dead-letter', 'replay', 'hello.yaml', '--file', 'nameless.ndjson'], { cwd })
    expect(replayed).toMatchObject({ code: 0, out: '{"text":"Ada"}\n' })
  })

  test('run from the trigger that gave them, of several', async () => {
    const forked = (field: string): string => `millrace: 1
name: forked
nodes:
  left: { type: manual@1 }
  right: { type: manual@1 }
  l: { type: set@1, config: { fields: { l: "{{ $json.${field}.trim() }}" } } }
  r: { type: set@1, config: { fields: { r: "{{ $json.${field}.trim() }}" } } }
  both: { type: set@1, config: { fields: { both: "{{ $json.n.toFixed(0) }}" } } }
edges: [left -> l, right -> r, left -> both, right -> both]
`
    const file = 'forked.ndjson'
    writeFileSync(join(cwd, 'forked.yaml'), forked('a'))
    const run = ['run', 'forked.yaml', '--quiet', '--dead-letter', file, '--input', '{"b":"x","n":1}', '--entry']
    await cli([...run, 'left'], { cwd })
    await cli([...run, 'right'], { cwd })
    writeFileSync(join(cwd, 'forked.yaml'), forked('b'))
    const replay = (...args: readonly string[]) =>
      cli(['dead-letter', 'replay', 'forked.yaml', '--file', file, ...args], { cwd })
    const all = await replay()
    expect(all.err).toMatch(/^2 ran again/)
    expect(all.out.trim().split('\n').toSorted()).toEqual(['{"both":"1"}', '{"both":"1"}', '{"l":"x"}', '{"r":"x"}'])
    const right = await replay('--node', 'right')
    expect(right.err).toMatch(/^1 ran again/)
    expect(right.out).toContain('{"r":"x"}')
    expect((await replay('--node', 'l')).err).toContain(
      '"l", which is no trigger that takes values from here; there are left, right',
    )
    writeFileSync(join(cwd, file), readFileSync(join(cwd, file), 'utf8').replaceAll('"node":"l"', '"node":"both"'))
    expect(await replay()).toMatchObject({
      code: 2,
      err: expect.stringContaining('several triggers before it: choose one by --node, of left, right'),
    })
    expect((await replay('--node', 'left', '--dry-run')).out).toContain('both')
  })

  test('that other nodes had worked on cannot be run from the trigger, and it says so', async () => {
    writeFileSync(join(cwd, 'ages.yaml'), document('$json.age'))
    await cli(['run', 'ages.yaml', '--quiet', '--dead-letter', 'late.ndjson', '--input', '{"age":"x"}'], { cwd })
    const { code, err } = await cli(['dead-letter', 'replay', 'ages.yaml', '--file', 'late.ndjson'], { cwd })
    expect(code).toBe(2)
    expect(err).toContain('failed in twice, after other nodes had worked on them')
  })

  test('what cannot be done says why and what to do', async () => {
    const refused = async (...args: readonly string[]): Promise<string> =>
      (await cli(['dead-letter', ...args], { cwd })).err
    writeFileSync(join(cwd, 'ages.yaml'), document('$json.age'))
    writeFileSync(join(cwd, 'odd.ndjson'), '{"a":1}\n')
    writeFileSync(join(cwd, 'reads.yaml'), 'millrace: 1\nname: ages\nnodes: { in: { type: stdin@1 } }\nedges: []\n')
    writeFileSync(join(cwd, 'empty.ndjson'), '')
    expect(await refused('replay', 'reads.yaml', '--file', 'empty.ndjson')).toContain(
      'the triggers of reads.yaml take no values from here',
    )
    expect(await refused('list')).toContain('name the document')
    expect(await refused('list', 'ages.yaml')).toContain('give kafka.consume a deadLetterTopic')
    expect(await refused('list', 'ages.yaml', '--node', 'x')).toContain('it has in, age, twice, out')
    expect(await refused('list', '--file', 'none.ndjson')).toContain('there is no such file')
    expect(await refused('list', '--file', 'odd.ndjson')).toContain('line 1 of odd.ndjson is no dead letter')
    expect(await refused('replay', 'ages.yaml', '--limit', '0')).toContain('not a number from 1')
  })
})
