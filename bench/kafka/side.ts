import { enableCompileCache } from 'node:module'
import type { DriverName } from '../../connectors/kafka/driver.ts'
import { driverNames } from '../../connectors/kafka/driver.ts'
import type { SideOptions, SideResult } from './work.ts'

/** One side in a process of its own: `node side.ts NAME OPTIONS`. Prints what it measured, from the first connection to the last commit. */
const [name = '', json = '{}'] = process.argv.slice(2)
const options: SideOptions = JSON.parse(json)
// As the command line does; compiling anew would be counted as memory.
enableCompileCache()
let rssMax = 0
const watch = setInterval(() => {
  rssMax = Math.max(rssMax, process.memoryUsage.rss())
}, 50)

const run = await sideOf(name)
const cpu = process.cpuUsage()
const begin = performance.now()
const steadyMs = await run()
const used = process.cpuUsage(cpu)
const wallMs = performance.now() - begin
const result: SideResult = {
  read: options.count,
  wallMs,
  steadyMs: steadyMs ?? wallMs,
  cpuMs: (used.user + used.system) / 1_000,
  rssMb: Math.max(rssMax, process.memoryUsage.rss()) / 1e6,
}
clearInterval(watch)
process.stdout.write(JSON.stringify(result))
process.exit(0)

async function sideOf(side: string): Promise<() => Promise<number | null>> {
  const [kind, driver = 'batch', ...more] = side.split(':')
  if (kind === 'millrace') return (await import('./millrace-side.ts')).millraceSide(options, driverOf(driver), more)
  const bare =
    driver === 'kafkajs'
      ? await (await import('./bare-kafkajs.ts')).bareKafkajs(options)
      : driver === 'platformatic'
        ? await (await import('./bare-platformatic.ts')).barePlatformatic(options)
        : await (await import('./bare-driver.ts')).bareDriver(options)
  return async () => {
    await bare()
    return null
  }
}

function driverOf(name: string): DriverName {
  const found = driverNames.find((each) => each === name)
  if (found === undefined) throw new Error(`there is no driver ${name}`)
  return found
}
