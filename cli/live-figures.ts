import { z } from 'zod'
import { sourceSchema } from './source-table.ts'

const nodeSchema = z.object({ in: z.number(), out: z.number(), errors: z.number(), busyMs: z.number() })
const workflowSchema = z.object({
  id: z.string(),
  state: z.enum(['starting', 'running', 'paused', 'waiting', 'listening']),
  running: z.number(),
  inFlight: z.number(),
  inFlightMax: z.number(),
  deadLetters: z.number(),
  restarts: z.number(),
  takeovers: z.number(),
  tally: z.object({ in: z.number(), out: z.number(), errors: z.number() }).nullable(),
  nodes: z.record(z.string(), nodeSchema).nullable(),
  sources: z.array(sourceSchema),
})

/** What `GET /api/metrics` answers. */
export const snapshotSchema = z.object({ at: z.number(), workflows: z.array(workflowSchema) })
export type Snapshot = z.infer<typeof snapshotSchema>

/** The figures of a workflow between two moments. Rates are messages a second; null without telemetry. */
export interface WorkflowFigures {
  readonly id: string
  readonly state: Snapshot['workflows'][number]['state']
  readonly running: number
  readonly inPerSecond: number | null
  readonly outPerSecond: number | null
  readonly errorsPerSecond: number | null
  /** Since the version was deployed. */
  readonly errors: number | null
  readonly deadLetters: number
  readonly inFlight: number
  readonly inFlightMax: number
  /** Records between what is done and the end of all partitions; null where no source knows. */
  readonly lag: number | null
  /** How long the oldest batch has been in flight. */
  readonly oldestMs: number
  readonly restarts: number
  readonly takeovers: number
  readonly nodes: readonly NodeFigures[]
  readonly sources: Snapshot['workflows'][number]['sources']
}

export interface NodeFigures {
  readonly node: string
  readonly inPerSecond: number
  readonly outPerSecond: number
  readonly errors: number
  /** Share of the time that the node's stage was at work, 0 to 1 for each lane; nodes of one stage share it. */
  readonly busyShare: number
}

/** What happened between two snapshots. A workflow that was not there before, or whose counters began anew, counts from 0. */
export function figuresBetween(before: Snapshot, after: Snapshot): readonly WorkflowFigures[] {
  const seconds = Math.max(0.001, (after.at - before.at) / 1_000)
  return after.workflows.map((now): WorkflowFigures => {
    const then = before.workflows.find((each) => each.id === now.id)
    const rate = (pick: (from: { in: number; out: number; errors: number }) => number): number | null =>
      now.tally === null ? null : rounded(since(then?.tally, now.tally, pick) / seconds)
    const lags = now.sources.flatMap((source) => source.partitions.flatMap((each) => each.lag ?? []))
    return {
      id: now.id,
      state: now.state,
      running: now.running,
      inPerSecond: rate((each) => each.in),
      outPerSecond: rate((each) => each.out),
      errorsPerSecond: rate((each) => each.errors),
      errors: now.tally?.errors ?? null,
      deadLetters: now.deadLetters,
      inFlight: now.inFlight,
      inFlightMax: now.inFlightMax,
      lag: lags.length === 0 ? null : lags.reduce((sum, each) => sum + each, 0),
      oldestMs: Math.max(0, ...now.sources.map((each) => each.oldestMs)),
      restarts: now.restarts,
      takeovers: now.takeovers,
      nodes: Object.entries(now.nodes ?? {}).map(([node, counts]) => ({
        node,
        inPerSecond: rounded(since(then?.nodes?.[node], counts, (each) => each.in) / seconds),
        outPerSecond: rounded(since(then?.nodes?.[node], counts, (each) => each.out) / seconds),
        errors: counts.errors,
        busyShare: rounded(since(then?.nodes?.[node], counts, (each) => each.busyMs) / 1_000 / seconds),
      })),
      sources: now.sources,
    }
  })
}

function since<T>(before: T | null | undefined, now: T, pick: (from: T) => number): number {
  const grown = before === null || before === undefined ? pick(now) : pick(now) - pick(before)
  return grown < 0 ? pick(now) : grown
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000
}
