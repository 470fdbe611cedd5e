import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compileExpression, parseExpression } from '../../core/expressions/index.ts'
import { compared, timed } from '../compare.ts'
import { benchPipeline, makeOrder } from '../engine.ts'
import type { BenchRow } from '../row.ts'

const here = fileURLToPath(new URL('.', import.meta.url))

if (!existsSync(`${here}node_modules/node-red`)) {
  console.error('installing the peers into bench/peers (about 250 MB) …')
  // Nothing of the peers' own install scripts is needed to run them headless.
  const npm = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: here, stdio: 'inherit' })
  if (npm.status !== 0) process.exit(1)
}

const { n8nExpression: n8n } = await import('./n8n.ts')
const rows: readonly BenchRow[] = [await benchNodeRed(), benchN8n()]
for (const row of rows)
  console.log(
    `${row.holds ? '✓' : '✗'} ${row.figure}\n    ${row.ours.toPrecision(3)} ${row.unit}, ${row.peer.toPrecision(5)} ${row.peerName}; ${(1 / row.ratio).toFixed(0)} × as fast (ratio ${row.runs.ratioMin.toPrecision(2)}–${row.runs.ratioMax.toPrecision(2)}, ${row.runs.count} runs), goal ≥ ${(1 / row.goal).toFixed(0)} ×`,
  )
const jsonAt = process.argv.indexOf('--json')
const jsonFile = jsonAt < 0 ? undefined : process.argv[jsonAt + 1]
if (jsonFile !== undefined) writeFileSync(jsonFile, `${JSON.stringify(rows, null, 2)}\n`)
process.exit(0)

/** Both make the orders themselves; Node-RED gets fewer of them, since it would take minutes otherwise. */
async function benchNodeRed(): Promise<BenchRow> {
  const { startNodeRed } = await import('./node-red.ts')
  const nodeRed = await startNodeRed((n) => makeOrder(n, 0))
  const theirCount = 20_000
  const ourCount = 500_000
  const pipeline = benchPipeline('peers', ourCount, 0)
  const ours: number[] = []
  const peer: number[] = []
  for (let round = -2; round < 5; round++) {
    const mine = await timed(async () => {
      await pipeline.start('orders').done
    })
    const theirs = await timed(async () => {
      await nodeRed.run(theirCount)
    })
    if (round < 0) continue
    ours.push((mine * 1e6) / ourCount)
    peer.push((theirs * 1e6) / theirCount)
  }
  await nodeRed.close()
  return compared({
    figure: '5-node pipeline, batches of 500',
    ours,
    peer,
    peerName: 'Node-RED 5, headless, in the same process',
    goal: 1 / 300,
    unit: 'ns/message',
  })
}

function benchN8n(): BenchRow {
  const json = { user: { name: 'ada' }, items: [1, 2, 3] }
  const text = "{{ $json.user.name.toUpperCase() + ' ' + $json.items.length }}"
  const parsed = parseExpression(text, { upstream: [], nodes: [] })
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  const evaluate = compileExpression(parsed.value)
  const batch = {
    now: 0,
    vars: {},
    env: {},
    execution: { id: '', mode: 'event' },
    workflow: { id: '', name: '', version: '' },
  }
  const input = { json, key: null, meta: null, batch }
  const theirs = n8n(text, json)
  const ours: number[] = []
  const peer: number[] = []
  let length = 0
  const loop = (count: number, work: () => unknown): number => {
    const begin = performance.now()
    for (let i = 0; i < count; i++) length += String(work()).length
    return ((performance.now() - begin) * 1e6) / count
  }
  for (let round = -3; round < 7; round++) {
    const mine = loop(500_000, () => evaluate(input))
    const other = loop(1_000, theirs)
    if (round < 0) continue
    ours.push(mine)
    peer.push(other)
  }
  if (length === 0) throw new Error('nothing was evaluated')
  return compared({
    figure: "expression $json.user.name.toUpperCase() + ' ' + $json.items.length",
    ours,
    peer,
    peerName: 'n8n-workflow',
    goal: 1,
    unit: 'ns/evaluation',
  })
}
