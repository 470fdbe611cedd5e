import { describe, expect, test } from 'vitest'
import { parse } from '../../core/document/parse.ts'
import { plan } from '../../core/document/plan.ts'
import type { Problem } from '../../core/problem.ts'
import { runFlow } from '../../core/testing.ts'
import { catalogue } from '../../nodes.ts'

const add = (count: number) => ({ type: 'set@1', config: { fields: { n: `{{ $json.n + ${count} }}` } } })
/** A filter that cannot tell for a message without `ok`. */
const strict = { type: 'filter@1', config: { where: '{{ $json.ok.yes }}' } }
const call = (workflow: string) => ({ type: 'call@1', config: { workflow } })
const manual = { type: 'manual@1' }

type Nodes = Readonly<Record<string, unknown>>

function textOf(name: string, nodes: Nodes, edges: readonly string[]): string {
  return JSON.stringify({ millrace: 1, name, nodes, edges })
}

/** Calls a workflow in the midst of another; `out` and `error` of the call are collected. */
async function run(children: Readonly<Record<string, string>>, input: readonly unknown[], errorWired = true) {
  const main = textOf(
    'main',
    {
      source: { type: 'test.source@1', config: { values: input } },
      child: call('child'),
      out: { type: 'test.collect@1', config: { as: 'out' } },
      ...(errorWired ? { failed: { type: 'test.collect@1', config: { as: 'error' } } } : {}),
    },
    ['source -> child', 'child -> out', ...(errorWired ? ['child.error -> failed'] : [])],
  )
  return runFlow(main, { types: catalogue.types, workflows: documents(children) })
}

function documents(children: Readonly<Record<string, string>>) {
  return (name: string) => {
    const text = children[name]
    return text === undefined ? null : { name, document: parse(text) }
  }
}

describe('a called workflow', () => {
  test('works on each message in the place of the call; what its last nodes give leaves by out', async () => {
    const child = textOf('child', { in: manual, a: add(1), b: add(10), c: add(100) }, ['in -> a', 'a -> b', 'a -> c'])
    const ran = await run({ child }, [{ n: 0 }, { n: 1 }])
    expect(ran.collected.out).toHaveLength(4)
    expect(ran.collected.out).toEqual(expect.arrayContaining([{ n: 11 }, { n: 101 }, { n: 12 }, { n: 102 }]))
    expect(ran).toMatchObject({ outcome: { state: 'done' }, faults: [] })
  })

  test('gives what leaves a loop or an open port of a switch, beside what other last nodes give', async () => {
    const child = textOf(
      'child',
      {
        in: manual,
        again: { type: 'loop@1', config: { while: '{{ $json.n > 1 }}' } },
        halve: { type: 'set@1', config: { fields: { n: '{{ $json.n / 2 }}' } } },
        size: { type: 'switch@1', config: { cases: [{ port: 'large', where: '{{ $json.n > 5 }}' }] } },
        ten: add(10),
      },
      ['in -> again', 'again.round -> halve', 'halve -> again.back', 'in -> size', 'size.otherwise -> ten'],
    )
    const { collected, faults } = await run({ child }, [{ n: 8 }, { n: 4 }])
    expect(collected.out).toHaveLength(4)
    expect(collected.out).toEqual(expect.arrayContaining([{ n: 1 }, { n: 1 }, { n: 8 }, { n: 14 }]))
    expect(faults).toEqual([])
    const cases = [{ port: 'large', where: '{{ $json.n > 5 }}' }]
    const last = textOf('last', { in: manual, size: { type: 'switch@1', config: { cases } } }, ['in -> size'])
    expect((await run({ child: last }, [{ n: 8 }, { n: 3 }])).collected.out).toEqual([{ n: 8 }, { n: 3 }])
  })

  test('may call another one, and both may have nodes of the same names', async () => {
    const grandchild = textOf('grandchild', { in: manual, a: add(100) }, ['in -> a'])
    const child = textOf('child', { in: manual, a: add(1), child: call('grandchild'), b: add(10) }, [
      'in -> a',
      'a -> child',
      'child -> b',
    ])
    expect((await run({ child, grandchild }, [{ n: 0 }])).collected.out).toEqual([{ n: 111 }])
  })

  test('may be called twice, each time for itself', async () => {
    const child = textOf('child', { in: manual, once: { type: 'dedupe@1', config: { by: '{{ $json.n }}' } } }, [
      'in -> once',
    ])
    const main = textOf(
      'main',
      {
        source: { type: 'test.source@1', config: { values: [{ n: 1 }, { n: 1 }] } },
        a: call('child'),
        b: call('child'),
        out: { type: 'test.collect@1', config: { as: 'out' } },
      },
      ['source -> a', 'source -> b', 'a -> out', 'b -> out'],
    )
    const ran = await runFlow(main, { types: catalogue.types, workflows: documents({ child }) })
    expect(ran.collected.out).toEqual([{ n: 1 }, { n: 1 }])
  })

  test('handles its own errors where it says so; nobody outside hears of them', async () => {
    const child = textOf(
      'child',
      { in: manual, strict, mend: { type: 'set@1', config: { fields: { mended: '{{ true }}' } } } },
      ['in -> strict', 'strict.error -> mend'],
    )
    const ran = await run({ child }, [{ ok: { yes: true } }, { n: 1 }])
    expect(ran.collected.out).toEqual(expect.arrayContaining([{ ok: { yes: true } }, { mended: true }]))
    expect(ran.collected.error).toBeUndefined()
    expect(ran.deadLetters).toEqual([])
  })

  test('errors that it does not handle leave by the error port of the call, from two levels down too', async () => {
    const grandchild = textOf('grandchild', { in: manual, strict }, ['in -> strict'])
    const child = textOf('child', { in: manual, child: call('grandchild') }, ['in -> child'])
    const ran = await run({ child, grandchild }, [{ n: 1 }])
    expect(ran.collected.error).toMatchObject([{ value: { n: 1 }, error: { node: 'child/child/strict' } }])
    expect(ran.deadLetters).toEqual([])
    const unwired = await run({ child, grandchild }, [{ n: 1 }], false)
    expect(unwired.deadLetters).toMatchObject([{ value: { n: 1 }, failure: { node: 'child/child/strict' } }])
  })
})

describe('a call that cannot be', () => {
  const problemsOf = (children: Readonly<Record<string, string>>, workflow: string): readonly Problem[] => {
    const main = parse(textOf('main', { in: manual, child: call(workflow) }, ['in -> child']))
    if (!main.ok) throw new Error('the document is wrong')
    const planned = plan(main.value, catalogue, { workflows: documents(children) })
    return planned.ok ? [] : planned.problems
  }
  const calling = (other: string): string => textOf('c', { in: manual, next: call(other) }, ['in -> next'])

  test('a workflow that calls itself, at once or by others, is a problem that shows the way', () => {
    const [own] = problemsOf({ child: calling('child') }, 'child')
    expect(own).toMatchObject({ code: 'call.recursion', message: expect.stringContaining('child -> child') })
    const [ring] = problemsOf({ a: calling('b'), b: calling('a') }, 'a')
    expect(ring).toMatchObject({ code: 'call.recursion', message: expect.stringContaining('a -> b -> a') })
  })

  test('neither is one that is not there, is not named plainly, or has no single way in', () => {
    expect(problemsOf({}, 'nowhere')).toMatchObject([{ code: 'call.unknown-workflow', place: { node: 'child' } }])
    expect(problemsOf({}, '{{ $json.name }}')).toMatchObject([{ code: 'config.no-expression' }])
    const two = textOf('two', { a: manual, b: manual, c: add(1) }, ['a -> c', 'b -> c'])
    expect(problemsOf({ two }, 'two')).toMatchObject([{ code: 'call.trigger' }])
  })
})
