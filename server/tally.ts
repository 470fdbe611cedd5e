import type { PipelineMetrics } from '../core/pipeline.ts'

/** What a run has done so far. */
export interface Tally {
  readonly in: number
  readonly out: number
  readonly errors: number
  readonly inFlight: number
}

/** What of a pipeline is looked at. */
export interface Counted {
  readonly plan: {
    readonly entries: readonly { readonly node: number }[]
    readonly nodes: readonly { readonly id: string; readonly index: number; readonly outputs: readonly string[] }[]
  }
  metrics(): PipelineMetrics | null
}

/** Adds up a pipeline's counters: what triggers gave, what reached an end, what failed. Null where telemetry is off. */
export function tallyOf(pipeline: Counted): Tally | null {
  const metrics = pipeline.metrics()
  if (metrics === null) return null
  const { plan } = pipeline
  const entries = new Set(plan.entries.map((entry) => entry.node))
  let given = 0
  let arrived = 0
  let errors = 0
  for (const node of plan.nodes) {
    const counts = metrics.nodes[node.id]
    if (counts === undefined) continue
    errors += counts.errors
    if (entries.has(node.index)) given += counts.out
    else arrived += node.outputs.length === 0 ? counts.in - counts.errors : counts.ended
  }
  return { in: given, out: arrived, errors, inFlight: metrics.inFlight }
}
