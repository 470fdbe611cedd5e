import type { Clock, Log } from '../core/host.ts'
import type { SourceReport } from '../core/pipeline.ts'
import type { Deployed, Workflows } from './workflows.ts'

const lookMs = 1_000

/** Whether the oldest batch of a source has been in flight for longer than its workflow allows. */
export function isStalled(deployed: Deployed, source: SourceReport): boolean {
  return source.oldestMs > deployed.pipeline.plan.settings.stallMsMax
}

/** Says once for each stall which source stands still, and again when it flows. The answer ends it. */
export function watchStalls(workflows: Workflows, clock: Clock, log: Log): () => void {
  let stalled = new Set<string>()
  let cancel = (): void => undefined
  const look = (): void => {
    const now = new Set<string>()
    for (const deployed of workflows.deployed.values())
      for (const source of deployed.pipeline.sources()) {
        const key = `${deployed.id} ${source.node}`
        const fields = { workflow: deployed.id, node: source.node }
        if (isStalled(deployed, source)) {
          now.add(key)
          if (!stalled.has(key))
            log.write('warn', stallText(deployed, source), { ...fields, oldestMs: source.oldestMs })
        } else if (stalled.has(key)) log.write('info', `${source.node} of ${deployed.id} flows again`, fields)
      }
    stalled = now
    cancel = clock.after(lookMs, look)
  }
  cancel = clock.after(lookMs, look)
  return () => cancel()
}

function stallText({ id, pipeline }: Deployed, { node, oldestMs, inFlight, partitions }: SourceReport): string {
  const oldest = partitions.reduce<(typeof partitions)[number] | null>(
    (most, each) => (each.oldestMs > (most?.oldestMs ?? 0) ? each : most),
    null,
  )
  const where = oldest === null ? '' : ` (${oldest.partition})`
  const limit = pipeline.plan.settings.stallMsMax
  return `${node} of ${id} stands still: a batch${where} has been in flight for ${Math.round(oldestMs)} ms, over stallMsMax of ${limit}; ${inFlight} messages wait for what takes them`
}
