import { spawnSync } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import { id, KafkaFlows } from '../connectors/kafka/kafka.fixture.ts'
import { openDriver } from '../connectors/kafka/open-driver.ts'
import { planText } from '../core/document/plan-text.ts'
import type { Pipeline } from '../core/pipeline.ts'
import { catalogue } from '../nodes.ts'
import { noKafka } from '../test/services/kafka.ts'
import { noPrometheus, startPrometheus } from '../test/services/prometheus.ts'
import { sharedKafka } from '../test/services/shared.ts'
import type { MillraceServer } from './create-server.ts'
import { createServer } from './create-server.ts'
import { createHost } from './host.ts'
import { launch } from './isolation/launch.ts'
import { until } from './testing.ts'

const closing: (() => Promise<void>)[] = []
const lines: string[] = []
afterEach(async () => {
  lines.length = 0
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(): Promise<MillraceServer> {
  const server = await createServer({ port: 0, log: { write: (_, text) => void lines.push(text) } })
  closing.push(() => server.close())
  return server
}

async function pipelineOf(text: string): Promise<Pipeline> {
  const planned = planText(text, catalogue)
  const host = createHost({
    log: { write: () => undefined },
    deadLetter: async () => undefined,
  })
  return launch(planned, catalogue, host, { folders: [] })
}

const slow = (settings: string): string => `
millrace: 1
name: slow "one"
settings: { ${settings} }
nodes:
  in: { type: generate@1, config: { perSecond: 100 } }
  wrong: { type: set@1, config: { fields: { n: "{{ $json.n % 10 == 0 ? $json.no.such : 1 }}" } } }
  late: { type: delay@1, config: { delayMs: 800 } }
edges: [in -> wrong, wrong -> late]
`

const metricsOf = async (server: MillraceServer): Promise<string> => (await fetch(`${server.url}/metrics`)).text()

/** The samples of a text, by series. */
async function samplesOf(server: MillraceServer): Promise<ReadonlyMap<string, number>> {
  const all = (await metricsOf(server)).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(all.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

/** The watch of the event loop has a timer of its own, which must have come round. */
function untilTicked(): Promise<void> {
  const begin = performance.now()
  return until(() => performance.now() - begin > 50)
}

describe('/metrics', () => {
  it('tells where stream triggers stand, what failed, and how the process does', async () => {
    const server = await start()
    await server.deploy('slow', await pipelineOf(slow('stallMsMax: 100000')))
    await until(async () => ((await samplesOf(server)).get('millrace_dead_letters_total{workflow="slow"}') ?? 0) > 0)
    await untilTicked()
    const begin = performance.now()
    while (performance.now() - begin < 60);
    await untilTicked()
    const samples = await samplesOf(server)
    const at = '{workflow="slow",node="in"}'
    expect(samples.get(`millrace_source_in_flight${at}`)).toBeGreaterThan(0)
    expect(samples.get(`millrace_source_in_flight_limit${at}`)).toBe(10_000)
    expect(samples.get(`millrace_source_paused${at}`)).toBe(0)
    expect(samples.get(`millrace_source_stalled${at}`)).toBe(0)
    expect(samples.get('nodejs_eventloop_delay_max_seconds')).toBeGreaterThan(0.03)
    expect(samples.get('millrace_restarts_total{workflow="slow"}')).toBe(0)
    expect(samples.get('nodejs_heap_limit_bytes')).toBeGreaterThan(100_000_000)
    expect([...samples.values()].every(Number.isFinite)).toBe(true)
  })

  it('says once for each stall which source stands still, and when it flows again', async () => {
    const server = await start()
    await server.deploy('slow', await pipelineOf(slow('stallMsMax: 300')))
    const stalled = 'millrace_source_stalled{workflow="slow",node="in"}'
    await until(async () => (await samplesOf(server)).get(stalled) === 1)
    await until(() => lines.some((line) => line.includes('stands still')))
    const pause = (what: string): Promise<Response> =>
      fetch(`${server.url}/api/workflows/slow/sources`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ do: what }),
      })
    await pause('pause')
    await until(() => lines.includes('in of slow flows again'))
    expect((await samplesOf(server)).get(stalled)).toBe(0)
    await pause('resume')
    await until(() => lines.filter((line) => line.includes('stands still')).length === 2)
    expect(lines[0]).toMatch(
      /^in of slow stands still: a batch has been in flight for \d+ ms, over stallMsMax of 300; /,
    )
  })

  it('is what Prometheus takes, and its own tool finds nothing to say about', async (context) => {
    if (noPrometheus !== null) return context.skip(noPrometheus)
    const server = await start()
    await server.deploy('slow', await pipelineOf(slow('')))
    const checked = spawnSync('promtool', ['check', 'metrics'], { input: await metricsOf(server), encoding: 'utf8' })
    expect(checked.stdout + checked.stderr).toBe('')
    expect(checked.status).toBe(0)
    const config = `scrape_configs: [{ job_name: millrace, scrape_interval: 500ms, static_configs: [{ targets: ['127.0.0.1:${server.port}'] }] }]`
    const prometheus = await startPrometheus(config)
    closing.push(() => prometheus.stop())
    await until(
      async () => ((await prometheus.value('rate(millrace_node_out_total{node="in"}[10s])')) ?? 0) > 10,
      30_000,
    )
    expect(await prometheus.target()).toBe('up')
  })

  it('tells the lag of each partition, before and after it is read', async (context) => {
    if (noKafka !== null) return context.skip(noKafka)
    const flows = new KafkaFlows(await sharedKafka(), await openDriver('kafkajs'))
    closing.push(() => flows.close())
    const topic = await flows.topic(2)
    await flows.write(
      topic,
      Array.from({ length: 40 }, (_, n) => ({ value: `{"n":${n}}`, partition: n % 2 })),
    )
    const server = await start()
    const kafka = `brokers: [${flows.address.brokers.join(', ')}], driver: kafkajs`
    const text = `millrace: 1
name: k
settings: { inFlightMax: 8 }
nodes:
  in: { type: kafka.consume@1, config: { ${kafka}, topic: ${topic}, group: ${id()}, commitMs: 50 } }
  late: { type: delay@1, config: { delayMs: 150 } }
edges: [in -> late]
`
    await server.deploy('k', await pipelineOf(text))
    const lag = (samples: ReadonlyMap<string, number>, partition: number): number | undefined =>
      samples.get(`millrace_partition_lag_records{workflow="k",node="in",partition="${topic}/${partition}"}`)
    await until(async () => (lag(await samplesOf(server), 0) ?? 0) > 0)
    const committed = `millrace_partition_committed_offset{workflow="k",node="in",partition="${topic}/1"}`
    await until(async () => (await samplesOf(server)).get(committed) === 20, 30_000)
    await until(async () => lag(await samplesOf(server), 1) === 0)
  })
})
