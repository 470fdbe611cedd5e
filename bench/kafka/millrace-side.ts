import type { DriverName } from '../../connectors/kafka/driver.ts'
import { openDriver } from '../../connectors/kafka/open-driver.ts'
import { parse } from '../../core/document/parse.ts'
import { plan } from '../../core/document/plan.ts'
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
): Promise<() => Promise<void>> {
  const settings = [
    `telemetry: ${more.includes('off') ? 'off' : 'metrics'}`,
    `delivery: ${more.includes('once') ? 'exactly-once' : 'at-least-once'}`,
    `lanes: ${more.includes('lanes') ? 2 : 1}`,
  ].join(', ')
  const document = parse(documentOf(options, driver, more.includes('raw') ? 'raw' : 'json', settings))
  const planned = document.ok ? plan(document.value, catalogue) : document
  if (!planned.ok) throw new Error(JSON.stringify(planned.problems))
  const host = createHost({
    allowEnv: [],
    environment: {},
    vars: {},
    folders: [],
    log: { write: (level, text) => void (level === 'error' && console.error(text)) },
    deadLetter: async ([letter]) => {
      throw new Error(letter?.failure.message)
    },
  })
  // Loading the client is left out on every side.
  await openDriver(driver)
  const pipeline = await launch(planned.value, catalogue, host, { folders: [] })
  return async () => {
    const outcome = await (await pipeline.open())?.done
    if (outcome?.state !== 'done') throw new Error(`${outcome?.state}: ${outcome?.failure?.message}`)
    await pipeline.release()
  }
}
