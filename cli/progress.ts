import type { Pipeline } from '../core/pipeline.ts'

/** What a run has done so far. */
export interface Tally {
  readonly in: number
  readonly out: number
  readonly errors: number
  readonly inFlight: number
}

/** Adds up a pipeline's counters: what triggers gave, what reached the last nodes, what failed. */
export function tallyOf(pipeline: Pipeline): Tally {
  const metrics = pipeline.metrics()
  if (metrics === null) return { in: 0, out: 0, errors: 0, inFlight: 0 }
  const { plan } = pipeline
  const entries = new Set(plan.entries.map((entry) => entry.node))
  const leaving = new Set(plan.edges.filter((edge) => edge.fromPort !== 'error').map((edge) => edge.from))
  let given = 0
  let arrived = 0
  let errors = 0
  for (const node of plan.nodes) {
    const counts = metrics.nodes[node.id]
    if (counts === undefined) continue
    errors += counts.errors
    if (entries.has(node.index)) given += counts.out
    else if (!leaving.has(node.index)) arrived += node.outputs.length === 0 ? counts.in - counts.errors : counts.out
  }
  return { in: given, out: arrived, errors, inFlight: metrics.inFlight }
}

/** Draws a line of progress on a terminal twice a second; silent elsewhere. The answer ends it. */
export function showProgress(pipeline: Pipeline): () => void {
  if (process.stderr.isTTY !== true) return () => undefined
  let before = tallyOf(pipeline).in
  let then = performance.now()
  const draw = (): void => {
    const tally = tallyOf(pipeline)
    const now = performance.now()
    const rate = ((tally.in - before) * 1000) / Math.max(1, now - then)
    before = tally.in
    then = now
    process.stderr.write(
      `\r\x1b[K${count(rate)}/s  ${count(tally.in)} in  ${count(tally.out)} out  ${count(tally.inFlight)} in flight  ${count(tally.errors)} errors`,
    )
  }
  const timer = setInterval(draw, 500)
  return () => {
    clearInterval(timer)
    process.stderr.write('\r\x1b[K')
  }
}

/** A number for people: 1,234. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}
