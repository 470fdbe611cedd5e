import type { Clock } from '../core/host.ts'
import type { NodeMetrics, SourceReport } from '../core/pipeline.ts'
import type { Tally } from './tally.ts'
import { tallyOf } from './tally.ts'
import type { TopicStore } from './topics.ts'
import type { Deployed, WorkflowCounts, Workflows } from './workflows.ts'

const everyMs = 500

/** A workflow's figures of one moment. Counters begin with its version; who wants rates takes two moments. */
export interface LiveMetrics extends WorkflowCounts {
  readonly id: string
  readonly state: WorkflowState
  /** Executions that are not over. */
  readonly running: number
  readonly inFlight: number
  readonly inFlightMax: number
  readonly deadLetters: number
  /** What triggers gave, what reached the last nodes, what failed; null without telemetry. */
  readonly tally: Tally | null
  /** By node id; null without telemetry. */
  readonly nodes: Readonly<Record<string, NodeMetrics>> | null
  readonly sources: readonly SourceReport[]
}

/** `listening`: it has event triggers only. `waiting`: its stream has ended, or failed and will be started again. */
export type WorkflowState = 'starting' | 'running' | 'paused' | 'waiting' | 'listening'

export function liveOf(deployed: Deployed): LiveMetrics {
  const { pipeline, counts } = deployed
  const metrics = pipeline.metrics()
  const sources = pipeline.sources()
  return {
    id: deployed.id,
    state: stateOf(deployed, sources),
    running: pipeline.executions.size,
    inFlight: metrics?.inFlight ?? sources.reduce((sum, each) => sum + each.inFlight, 0),
    inFlightMax: metrics?.inFlightMax ?? sources.reduce((sum, each) => sum + each.inFlightMax, 0),
    deadLetters: metrics?.deadLetters ?? 0,
    restarts: counts.restarts,
    takeovers: counts.takeovers,
    tally: tallyOf(pipeline),
    nodes: metrics?.nodes ?? null,
    sources,
  }
}

function stateOf({ pipeline, ready }: Deployed, sources: readonly SourceReport[]): WorkflowState {
  if (!ready) return 'starting'
  if (!pipeline.plan.entries.some((each) => each.lifetime === 'stream')) return 'listening'
  if (sources.length > 0 && sources.every((each) => each.state === 'paused')) return 'paused'
  return pipeline.executions.size > 0 ? 'running' : 'waiting'
}

/** Feeds the topic `workflows/ID/metrics` while somebody reads it, twice a second: `at` and the workflow's LiveMetrics. */
export function serveMetrics(topics: TopicStore, workflows: Workflows, clock: Clock): void {
  topics.serve('workflows/', (topic, publish) => {
    const id = topic.slice('workflows/'.length, -'/metrics'.length)
    let cancel = (): void => {}
    const beat = (): void => {
      const deployed = workflows.deployed.get(id)
      publish(
        deployed === undefined
          ? { at: clock.now(), id, running: 0, inFlight: 0, inFlightMax: 0, nodes: null, sources: [] }
          : { at: clock.now(), ...liveOf(deployed) },
      )
      cancel = clock.after(everyMs, beat)
    }
    beat()
    return () => cancel()
  })
}
