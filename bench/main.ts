import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { BenchRow } from './row.ts'

/** What can be measured, each in a process of its own, so that one's type feedback and heap do not reach another. */
const benches: Readonly<Record<string, () => Promise<readonly BenchRow[]>>> = {
  engine: async () => (await import('./engine.ts')).benchEngine(),
  expressions: async () => (await import('./expressions.ts')).benchExpressions(),
  telemetry: async () => (await import('./engine.ts')).benchTelemetry(),
  workers: async () => (await import('./workers.ts')).benchWorkers(),
  thumbnails: async () => (await import('./thumbnails.ts')).benchThumbnails(),
  kafka: async () => (await import('./kafka.ts')).benchKafka(),
  clickhouse: async () => (await import('./clickhouse.ts')).benchClickHouse(),
  websocket: async () => (await import('./websocket.ts')).benchWebSocket(),
  limits: async () => (await import('./limits.ts')).benchLimits(),
}

const asked = process.argv.slice(2)
const jsonAt = asked.indexOf('--json')
const jsonFile = jsonAt < 0 ? null : (asked[jsonAt + 1] ?? null)
const names = asked.filter((each, index) => !each.startsWith('--') && (jsonAt < 0 || index !== jsonAt + 1))

if (process.env.MILLRACE_BENCH_CHILD !== undefined) await runHere(process.env.MILLRACE_BENCH_CHILD)
else if (asked.includes('--help') || names.some((name) => !(name in benches))) usage()
else runAll(names.length === 0 ? Object.keys(benches) : names)

function usage(): void {
  console.log(`npm run bench -- [${Object.keys(benches).join('|')} …] [--json FILE]

Measures Millrace beside its peers, in turn, and prints medians with the spread of the ratio.
Examples:
  npm run bench
  npm run bench -- engine telemetry --json figures.json`)
  process.exitCode = asked.includes('--help') ? 0 : 2
}

async function runHere(name: string): Promise<void> {
  const rows = await benches[name]?.()
  process.stdout.write(JSON.stringify(rows))
}

function runAll(chosen: readonly string[]): void {
  const rows: BenchRow[] = []
  console.log(`Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim()}`)
  for (const name of chosen) {
    process.stderr.write(`measuring ${name} …\n`)
    const child = spawnSync(process.execPath, ['--expose-gc', fileURLToPath(import.meta.url)], {
      env: { ...process.env, MILLRACE_BENCH_CHILD: name },
      stdio: ['ignore', 'pipe', 'inherit'],
      maxBuffer: 16_000_000,
    })
    if (child.status !== 0) {
      console.error(`${name} failed with exit code ${child.status}`)
      process.exitCode = 1
      continue
    }
    const found: readonly BenchRow[] = JSON.parse(child.stdout.toString('utf8'))
    rows.push(...found)
    for (const row of found) print(row)
  }
  if (jsonFile !== null) writeFileSync(jsonFile, `${JSON.stringify(rows, null, 2)}\n`)
}

function print(row: BenchRow): void {
  const figure = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3))
  const spread = `${row.runs.ratioMin.toFixed(2)}–${row.runs.ratioMax.toFixed(2)}`
  console.log(
    `${row.holds ? '✓' : '✗'} ${row.figure}\n    ${figure(row.ours)} ${row.unit}, ${figure(row.peer)} ${row.peerName}; ratio ${row.ratio.toFixed(3)} (${spread}, ${row.runs.count} runs), goal ≤ ${row.goal}`,
  )
}
