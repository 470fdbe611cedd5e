import type { ExpressionInput } from '../core/expressions/index.ts'
import { compileExpression, parseExpression } from '../core/expressions/index.ts'
import { compared } from './compare.ts'
import type { BenchRow } from './row.ts'

/*
 * Expressions against the function that a person would write by hand. Both sides get the same inputs, are called from
 * loops made separately for each (so that one's type feedback cannot spoil the other's), and give their result to a sum.
 */

type Evaluate = (input: ExpressionInput) => unknown

interface Contest {
  readonly figure: string
  readonly text: string
  readonly byHand: Evaluate
  readonly goal: number
  /** So many that a round takes some milliseconds. */
  readonly evaluations: number
}

const rounds = 15

/** Measures each contest warm, in interleaved rounds; `ours` and `peer` are medians in nanoseconds per evaluation. */
export async function benchExpressions(): Promise<BenchRow[]> {
  const inputs = sampleInputs()
  return contests().map((contest) => measure(contest, inputs))
}

interface Sample {
  readonly user: { readonly name: string; readonly address: { readonly city: string } }
  readonly items: readonly { readonly price: number; readonly count: number }[]
}

function contests(): readonly Contest[] {
  return [
    {
      figure: 'expression: a path of three fields',
      text: '{{ $json.user.address.city }}',
      byHand: (input) => sampleOf(input).user.address.city,
      goal: 1.5,
      evaluations: 5_000_000,
    },
    {
      figure: 'expression: upper case, joined with a length',
      text: "{{ $json.user.name.toUpperCase() + ' ' + $json.items.length }}",
      byHand: (input) => {
        const json = sampleOf(input)
        return `${json.user.name.toUpperCase()} ${json.items.length}`
      },
      goal: 3,
      evaluations: 300_000,
    },
    {
      figure: 'expression: a sum over 8 items with two callbacks',
      text: '{{ $json.items.map((item) => item.price * item.count).reduce((sum, total) => sum + total, 0) }}',
      byHand: (input) =>
        sampleOf(input)
          .items.map((item) => item.price * item.count)
          .reduce((sum, total) => sum + total, 0),
      goal: 3,
      evaluations: 300_000,
    },
  ]
}

/** The inputs are made below, so their type is known here; a check per call would not be by hand. */
function sampleOf(input: ExpressionInput): Sample {
  return input.json as Sample
}

function sampleInputs(): readonly ExpressionInput[] {
  const batch = {
    now: 1_700_000_000_000,
    vars: {},
    env: {},
    execution: { id: 'bench', mode: 'manual' },
    workflow: { id: 'bench', name: 'bench', version: '1' },
  }
  return Array.from({ length: 64 }, (_, seed) => ({
    json: JSON.parse(JSON.stringify(sample(seed))),
    key: null,
    meta: null,
    batch,
  }))
}

function sample(seed: number): Sample {
  return {
    user: { name: `customer ${seed} of the mill`, address: { city: `city ${seed % 7}` } },
    items: Array.from({ length: 8 }, (_, index) => ({ price: (seed * 7 + index) % 100, count: (index % 3) + 1 })),
  }
}

function measure(contest: Contest, inputs: readonly ExpressionInput[]): BenchRow {
  const parsed = parseExpression(contest.text, { upstream: [], nodes: [] })
  if (!parsed.ok) throw new Error(`the expression of "${contest.figure}" has problems`)
  const compiled = compileExpression(parsed.value)
  for (const input of inputs)
    if (compiled(input) !== contest.byHand(input)) throw new Error(`"${contest.figure}": both sides differ`)
  const ours = timedLoop(compiled, inputs, contest.evaluations)
  const peer = timedLoop(contest.byHand, inputs, contest.evaluations)
  for (let warmUp = 0; warmUp < 3; warmUp++) {
    ours()
    peer()
  }
  const pairs = Array.from({ length: rounds }, (_, round) => {
    // The order alternates, so that neither side always runs after the other's garbage.
    const first = round % 2 === 0 ? ours() : peer()
    const second = round % 2 === 0 ? peer() : ours()
    return round % 2 === 0 ? { ours: first, peer: second } : { ours: second, peer: first }
  })
  return compared({
    figure: contest.figure,
    ours: pairs.map((pair) => pair.ours),
    peer: pairs.map((pair) => pair.peer),
    peerName: 'function by hand',
    goal: contest.goal,
    unit: 'ns per evaluation',
  })
}

/** A loop of its own per side, by its own text: V8 may inline both into theirs, and neither sees the other's feedback. */
function timedLoop(evaluate: Evaluate, inputs: readonly ExpressionInput[], evaluations: number): () => number {
  const made: unknown = new Function(
    'evaluate',
    'inputs',
    'count',
    `return function loop() {
      let sum = 0
      for (let i = 0; i < count; i++) {
        const result = evaluate(inputs[i & 63])
        sum += typeof result === 'string' ? result.length : result
      }
      return sum
    }`,
  )(evaluate, inputs, evaluations)
  if (!isLoop(made)) throw new Error('the loop was not made')
  const expected = made()
  return () => {
    const start = process.hrtime.bigint()
    const sum = made()
    const spent = Number(process.hrtime.bigint() - start)
    if (sum !== expected) throw new Error('the sum of a round differs')
    return spent / evaluations
  }
}

function isLoop(value: unknown): value is () => number {
  return typeof value === 'function'
}
