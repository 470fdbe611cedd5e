import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { DriverName } from '../connectors/kafka/driver.ts'
import { KafkaFlows } from '../connectors/kafka/kafka.fixture.ts'
import { openDriver } from '../connectors/kafka/open-driver.ts'
import { noKafka, startKafka } from '../test/services/kafka.ts'
import { against, compared } from './compare.ts'
import type { SideOptions, SideResult } from './kafka/work.ts'
import { orderText } from './kafka/work.ts'
import type { BenchRow } from './row.ts'

const count = Number(process.env.BENCH_RECORDS ?? 500_000)
const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const sideFile = fileURLToPath(new URL('./kafka/side.ts', import.meta.url))
const goFolder = fileURLToPath(new URL('./peers/franz-go/', import.meta.url))

// As the image starts it, and all others with it: docs/operations.md says what it is for.
const nodeFlags = ['--disable-warning=TimeoutNegativeWarning', '--max-semi-space-size=32']

/** Two sides that are compared: CPU per record, or wall time, of the first over the second. */
interface Pair {
  readonly figure: string
  readonly ours: string
  readonly peer: string
  readonly peerName: string
  readonly goal: number
  readonly by?: 'cpuMs' | 'steadyMs'
  /** So many times the records, for what needs a while to settle. */
  readonly times?: number
}

const json = 'Kafka → set, filter, set → Kafka, JSON of 185 bytes, 4 partitions, acks all'
const pairs: readonly Pair[] = [
  ...(['batch', 'platformatic', 'kafkajs'] as const).map((driver) => ({
    figure: `${json}; driver ${driver}`,
    ours: `millrace:${driver}`,
    peer: `bare:${driver}`,
    peerName: `a bare loop on ${driver}`,
    goal: 1 / 0.9,
  })),
  { figure: json, ours: 'millrace:batch', peer: 'bare:kafkajs', peerName: 'a bare kafkajs loop', goal: 1 / 3 },
  { figure: json, ours: 'millrace:batch', peer: 'go', peerName: 'a Go loop on franz-go', goal: 1 / 2 },
  {
    figure: 'bytes through a filter on the key, against JSON',
    ours: 'millrace:batch:raw',
    peer: 'millrace:batch',
    peerName: 'with JSON',
    goal: 1 / 1.5,
  },
  {
    figure: 'exactly once, against at least once',
    ours: 'millrace:batch:once',
    peer: 'millrace:batch',
    peerName: 'at least once',
    goal: 1 / 0.7,
  },
  {
    figure: 'two lanes, against one, wall time',
    ours: 'millrace:batch:lanes',
    peer: 'millrace:batch:lane',
    peerName: 'one lane',
    goal: 1 / 1.4,
    by: 'steadyMs',
    times: 4,
  },
  {
    figure: 'telemetry off, against metrics',
    ours: 'millrace:batch:off',
    peer: 'millrace:batch:lane',
    peerName: 'with metrics',
    goal: 1.02,
    // Two hundredths are less than one short run differs from the next.
    times: 4,
  },
]

/** All sides in turn, each run in a process of its own against one real broker. Rows are in CPU microseconds per record. */
export async function benchKafka(): Promise<readonly BenchRow[]> {
  if (noKafka !== null) {
    console.error(noKafka)
    return []
  }
  const go = await builtGo()
  const only = process.env.BENCH_SIDES?.split(',') ?? null
  const chosen = pairs.filter(
    (pair) =>
      (go !== null || pair.peer !== 'go') && (only === null || (only.includes(pair.ours) && only.includes(pair.peer))),
  )
  const sides = [...new Set(chosen.flatMap((pair) => [pair.ours, pair.peer]))]
  const kafka = await startKafka()
  try {
    const flows = new KafkaFlows(kafka, await openDriver((process.env.BENCH_FILL as DriverName | undefined) ?? 'batch'))
    const from = new Map<number, string>()
    for (const times of new Set(chosen.map((pair) => pair.times ?? 1)))
      from.set(times, await filled(flows, count * times))
    const timesOf = (side: string): number =>
      chosen.find((pair) => pair.ours === side || pair.peer === side)?.times ?? 1
    const results = new Map<string, SideResult[]>(sides.map((side) => [side, []]))
    for (let round = 0; round < rounds; round++)
      // Who goes first changes, so that nobody always finds what another has left in the broker.
      for (const side of round % 2 === 0 ? sides : [...sides].reverse()) {
        const to = await flows.topic(4)
        const times = timesOf(side)
        const topics = { from: from.get(times) ?? '', to, group: `b-${to}` }
        const result = await runSide(side, go, { brokers: kafka.brokers, ...topics, count: count * times })
        const { read, cpuMs, wallMs, rssMb } = result
        process.stderr.write(
          `  ${side}: ${((cpuMs * 1_000) / read).toFixed(2)} µs CPU, ${Math.round((read / wallMs) * 1_000)} records/s, ${Math.round(rssMb)} MB\n`,
        )
        results.get(side)?.push(result)
        await flows.drop(to)
      }
    const rss = (results.get('millrace:batch') ?? []).map((each) => each.rssMb)
    return [
      ...chosen.map((pair) => rowOf(pair, results)),
      ...(rss.length > 0 ? [against('peak memory of it, driver batch', rss, 350, 'MB')] : []),
    ]
  } finally {
    await kafka.stop()
  }
}

/** A topic of four partitions with orders in it. */
async function filled(flows: KafkaFlows, records: number): Promise<string> {
  const topic = await flows.topic(4)
  for (let at = 0; at < records; at += 50_000)
    await flows.write(
      topic,
      Array.from({ length: Math.min(50_000, records - at) }, (_, n) => ({
        key: `c-${(at + n) % 5_000}`,
        value: orderText(at + n),
      })),
    )
  return topic
}

function rowOf(pair: Pair, results: ReadonlyMap<string, readonly SideResult[]>): BenchRow {
  const by = pair.by ?? 'cpuMs'
  const ours = (results.get(pair.ours) ?? []).map((each) => (each[by] * 1_000) / each.read)
  const peer = (results.get(pair.peer) ?? []).map((each) => (each[by] * 1_000) / each.read)
  const { figure, peerName, goal } = pair
  return compared({ figure, ours, peer, peerName, goal, unit: by === 'cpuMs' ? 'µs CPU/record' : 'µs/record' })
}

function runSide(side: string, go: string | null, options: SideOptions): Promise<SideResult> {
  const [command, args] =
    side === 'go' && go !== null
      ? [go, [options.brokers.join(','), options.from, options.to, options.group, String(options.count)]]
      : [process.execPath, [...nodeFlags, sideFile, side, JSON.stringify(options)]]
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 300_000 })
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString('utf8')
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(out))
      else reject(new Error(`${side} ended with ${code}`))
    })
  })
}

/** The Go peer, built where Go is. */
async function builtGo(): Promise<string | null> {
  const program = `${goFolder}franz-go-peer`
  if (existsSync(program)) return program
  try {
    await promisify(execFile)('go', ['build', '-o', program, '.'], { cwd: goFolder, timeout: 300_000 })
    return program
  } catch (thrown) {
    console.error(`the Go peer is left out: ${thrown instanceof Error ? thrown.message.split('\n')[0] : thrown}`)
    return null
  }
}
