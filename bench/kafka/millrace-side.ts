import type { DriverName } from '../../connectors/kafka/driver.ts'
import { openDriver } from '../../connectors/kafka/open-driver.ts'
import { planText } from '../../core/document/plan-text.ts'
import { catalogue } from '../../nodes.ts'
import { createHost } from '../../server/host.ts'
import { launch } from '../../server/isolation/launch.ts'
import type { SideOptions } from './work.ts'
import { documentOf } from './work.ts'

/** A document that runs until it has caught up. `more`: `raw`, `off` (telemetry), `once` (exactly-once), `lanes`. */
export async function millraceSide(
  options: SideOptions,
  driver: DriverName,
  more: readonly string[],
): Promise<() => Promise<number>> {
  const settings = [
    `telemetry: ${more.includes('off') ? 'off' : 'metrics'}`,
    `delivery: ${more.includes('once') ? 'exactly-once' : 'at-least-once'}`,
    `lanes: ${more.includes('lanes') ? 2 : 1}`,
  ].join(', ')
  const planned = planText(documentOf(options, driver, more.includes('raw') ? 'raw' : 'json', settings), catalogue)
  const host = createHost({
    log: { write: (level, text) => void (level === 'error' && console.error(text)) },
    deadLetter: async ([letter]) => {
      throw new Error(letter?.failure.message)
    },
  })
  // Loading the client is left out on every side.
  await openDriver(driver)
  const pipeline = await launch(planned, catalogue, host, { folders: [] })
  const read = (): number => pipeline.metrics()?.nodes.in?.out ?? 0
  return async () => {
    let quarter: { readonly at: number; readonly read: number } | null = null
    let last = { at: 0, read: 0 }
    const watch = setInterval(() => {
      const now = { at: performance.now(), read: read() }
      if (now.read === last.read) return
      last = now
      if (quarter === null && now.read >= options.count / 4) quarter = now
    }, 20)
    const outcome = await (await pipeline.open())?.done
    if (outcome?.state !== 'done') throw new Error(`${outcome?.state}: ${outcome?.failure?.message}`)
    clearInterval(watch)
    await pipeline.release()
    return steady(quarter, last)
  }
}

/** Milliseconds per record of the second point over the first, as if for all records. */
function steady(
  from: { readonly at: number; readonly read: number } | null,
  to: { readonly at: number; readonly read: number },
): number {
  if (from === null || to.read === from.read) return 0
  return ((to.at - from.at) / (to.read - from.read)) * to.read
}
