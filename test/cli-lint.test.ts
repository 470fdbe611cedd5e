import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { catalogue } from '../nodes.ts'
import { cli } from './cli-process.ts'

const cwd = mkdtempSync(join(tmpdir(), 'cli-lint-test-'))
afterAll(() => rmSync(cwd, { recursive: true, force: true }))

/** The problems that `lint` tells of the first of some files, as `file:line code`. */
async function lint(files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(cwd, name)), { recursive: true })
    writeFileSync(join(cwd, name), text)
  }
  const { out } = await cli(['lint', Object.keys(files)[0] ?? ''], { cwd })
  return out
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^([^ :]+:\d*)(?::\d+)? .* \[([a-z.-]+)\]$/, '$1 $2'))
}

const document = (nodes: string, edges: string): string => `millrace: 1\nname: t\nnodes:\n${nodes}\nedges: [${edges}]\n`

describe('lint tells what is wrong and nothing that only follows from it', () => {
  test('behind a trigger, an operator, a switch and a loop that cannot be read', async () => {
    const nodes = `  in: { type: interval@1, config: { everyMs: "1s" } }
  op: { type: filter@1 }
  sw: { type: switch@1, config: { cases: 3 } }
  l: { type: lop@1 }
  out: { type: merge@1 }`
    const edges = 'in -> op -> out, in -> sw.large -> out, in -> l, l.round -> out, out -> l.back'
    expect(await lint({ 'a.yaml': document(nodes, edges) })).toEqual([
      'a.yaml:4 config.invalid',
      'a.yaml:5 config.missing',
      'a.yaml:6 config.invalid',
      'a.yaml:7 document.unknown-node',
    ])
  })

  test('in called documents, each with its own file', async () => {
    const call = (name: string): string => `{ type: call@1, config: { workflow: ./${name}.yaml } }`
    const nodes = `  in: { type: manual@1 }\n  a: ${call('broken')}\n  b: ${call('unknown')}\n  c: ${call('nowhere')}\n  d: ${call('entry')}\n  e: ${call('broken')}\n  out: { type: merge@1 }`
    const edges = ['a', 'b', 'c', 'd', 'e'].flatMap((id) => [`in -> ${id}`, `${id} -> out`]).join(', ')
    expect(
      await lint({
        'main.yaml': document(nodes, `${edges}, b.error -> lost`),
        'broken.yaml': 'millrace: 1\nname: [x\n',
        'unknown.yaml': document(
          '  in: { type: manual@1 }\n  x: { type: merge@1 }\n  y: { type: mrge@1 }',
          'in -> x -> y',
        ),
        'entry.yaml': document('  in: { type: manul@1 }\n  x: { type: filter@1 }', 'in -> x'),
      }),
    ).toEqual([
      'broken.yaml:3 document.syntax',
      'main.yaml:7 call.unknown-workflow',
      'unknown.yaml:6 document.unknown-node',
      'entry.yaml:4 document.unknown-node',
      'entry.yaml:5 config.missing',
      'main.yaml:11 document.unknown-edge-end',
    ])
  })

  test('where documents call others, each by paths from its own folder, also in a ring', async () => {
    const call = (path: string): string => `{ type: call@1, config: { workflow: ${path} } }`
    const calling = (path: string): string => document(`  in: { type: manual@1 }\n  next: ${call(path)}`, 'in -> next')
    const files = {
      'top/main.yaml': calling('parts/a.yaml'),
      'top/parts/a.yaml': calling('./b.yaml'),
      'top/parts/b.yaml': calling('../../shared/c.yaml'),
    }
    const broken = document('  in: { type: manual@1 }\n  x: { type: mrge@1 }', 'in -> x')
    expect(await lint({ ...files, 'shared/c.yaml': broken })).toEqual(['shared/c.yaml:5 document.unknown-node'])
    expect(await lint({ ...files, 'shared/c.yaml': calling('../top/parts/b.yaml') })).toEqual([
      'shared/c.yaml:5 call.recursion',
    ])
  })
})

test('what is too much for an expression is sent to a node that is there', async () => {
  const tooMuch = [
    'class {}',
    'import("x")',
    '[1].map((n) => { return n })',
    '/(a+)+b/.test("a")',
    '['.repeat(101) + ']'.repeat(101),
  ]
  const fields = tooMuch.map((code, at) => `      f${at}: ${JSON.stringify(`{{ ${code} }}`)}`)
  const nodes = `  in: { type: manual@1 }\n  a:\n    type: set@1\n    config:\n     fields:\n${fields.join('\n')}`
  writeFileSync(join(cwd, 'much.yaml'), document(nodes, 'in -> a'))
  const { out } = await cli(['lint', 'much.yaml'], { cwd })
  const named = [...out.matchAll(/ a task of a (\S+) node\b/g)].map(([, type = '']) => type)
  expect(named).toHaveLength(tooMuch.length)
  for (const type of named) expect(catalogue.find(type)).not.toBeNull()
})
