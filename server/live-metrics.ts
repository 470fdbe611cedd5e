import type { Clock } from '../core/host.ts'
import type { TopicStore } from './topics.ts'
import type { Workflows } from './workflows.ts'

const everyMs = 500

/**
 * Feeds the topic `workflows/ID/metrics` while somebody reads it: `{ at, inFlight, inFlightMax, running, nodes }`, twice a second.
 * `nodes` holds `{ in, out, errors, busyMs }` by node id, counted since the workflow was deployed; null without telemetry.
 */
export function serveMetrics(topics: TopicStore, workflows: Workflows, clock: Clock): void {
  topics.serve('workflows/', (topic, publish) => {
    const id = topic.slice('workflows/'.length, -'/metrics'.length)
    let cancel = (): void => {}
    const beat = (): void => {
      const pipeline = workflows.deployed.get(id)?.pipeline
      const metrics = pipeline?.metrics() ?? null
      publish({
        at: clock.now(),
        running: pipeline?.executions.size ?? 0,
        inFlight: metrics?.inFlight ?? 0,
        inFlightMax: metrics?.inFlightMax ?? 0,
        nodes: metrics?.nodes ?? null,
      })
      cancel = clock.after(everyMs, beat)
    }
    beat()
    return () => cancel()
  })
}
