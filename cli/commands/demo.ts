import { fileURLToPath } from 'node:url'
import { releaseYoungGeneration } from '../boot-memory.ts'
import { aborted, onInterrupt } from '../interrupt.ts'
import { portOf } from '../options.ts'
import { UsageError } from '../usage-error.ts'

export interface DemoOptions {
  readonly port: string
  /** Without a value: `true`, for the usual place. */
  readonly kafka?: string | true
  readonly clickhouse?: string | true
  readonly perSecond: string
}

/** `millrace demo [name]`: serves a demo until it is interrupted. */
export async function demo(name: string, options: DemoOptions): Promise<void> {
  const interrupt = onInterrupt()
  const running = await (name === 'market' ? market(options) : thumbnails(options))
  releaseYoungGeneration()
  console.log(`${running.says}\n\n  Ctrl-C stops.`)
  await aborted(interrupt.signal)
  await running.close()
}

interface Running {
  /** What people are told of it. */
  readonly says: string
  close(): Promise<void>
}

const documentOf = (name: string): string =>
  fileURLToPath(new URL(`../../demos/${name}/workflow.yaml`, import.meta.url))

async function thumbnails(options: DemoOptions): Promise<Running> {
  if (options.kafka !== undefined || options.clickhouse !== undefined)
    throw new UsageError('--kafka and --clickhouse belong to the market: millrace demo market --kafka')
  const { startDemo } = await import('../../demos/thumbnails/server.ts')
  const { url, decoder, close } = await startDemo({ port: portOf(options.port) })
  const says = `
  Millrace thumbnails: drop a video onto the page, or try the sample.

    page      ${url}
    shell     curl -N -T video.mp4 ${url}/thumbnails
    workflow  ${documentOf('thumbnails')}
    decoder   ${decoder}`
  return { says, close }
}

async function market(options: DemoOptions): Promise<Running> {
  const perSecond = Number(options.perSecond)
  if (!Number.isInteger(perSecond) || perSecond < 1 || perSecond > 1_000_000)
    throw new UsageError(`--per-second is ${JSON.stringify(options.perSecond)}, not a number from 1 to 1000000`)
  const brokers = options.kafka === true ? '127.0.0.1:9092' : options.kafka
  const url = options.clickhouse === true ? 'http://127.0.0.1:8123' : options.clickhouse
  if (url !== undefined && !URL.canParse(url))
    throw new UsageError(`--clickhouse is ${JSON.stringify(url)}, not an address such as http://127.0.0.1:8123`)
  const { startMarket } = await import('../../demos/market/server.ts')
  const running = await startMarket({
    port: portOf(options.port),
    perSecond,
    kafka: brokers === undefined ? null : { brokers: brokers.split(',') },
    clickhouse: url === undefined ? null : { url },
  })
  const says = `
  Millrace market: ${perSecond.toLocaleString('en')} simulated trades a second become quotes, candles and alerts.

    page      ${running.url}
    shell     curl -N ${running.url}/api/topics/market/candles/kelp
    workflow  ${documentOf('market')}
    trades    ${brokers === undefined ? 'made by the workflow itself; --kafka sends them through Kafka' : `from another process through Kafka at ${brokers}`}
    candles   ${url === undefined ? 'on the page; --clickhouse keeps them, too' : `also in ClickHouse at ${url}, table market_candles`}`
  return { says, close: running.close }
}
