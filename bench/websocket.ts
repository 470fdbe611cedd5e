import type { ChildProcess } from 'node:child_process'
import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { noUwsNode, uwsNode } from '../test/services/uws-node.ts'
import { against, compared } from './compare.ts'
import type { BenchRow } from './row.ts'
import type { LoadResult, Order } from './websocket/load.ts'
import type { Usage, Work } from './websocket/server.ts'

const connections = 200
const audience = 5_000
const roundMs = 800

/** Servers in processes of their own, asked in turn by one load generator in another. */
export async function benchWebSocket(): Promise<readonly BenchRow[]> {
  const rows: BenchRow[] = []
  const load = await Load.start()
  try {
    rows.push(...(await benchEcho(load, 'ws', 'echo', 'text passed through')))
    rows.push(...(await benchEcho(load, 'ws', 'json', 'JSON, one field added')))
    if (noUwsNode() === null) {
      rows.push(...(await benchEcho(load, 'uws', 'echo', 'text passed through')))
      rows.push(...(await benchEcho(load, 'uws', 'json', 'JSON, one field added')))
    } else process.stderr.write(`${noUwsNode()}\n`)
    rows.push(...(await benchBroadcast(load)))
    rows.push(await benchIdle(load))
  } finally {
    load.stop()
  }
  return rows
}

type Transport = 'ws' | 'uws'

async function benchEcho(load: Load, transport: Transport, work: Work, label: string): Promise<readonly BenchRow[]> {
  const text =
    work === 'json' ? JSON.stringify({ id: 1, total: 100, region: 'eu', text: 'x'.repeat(60) }) : 'x'.repeat(100)
  const answer = work === 'json' ? JSON.stringify({ ...JSON.parse(text), gross: 119 }).length : text.length
  const order: Order = {
    do: 'echo',
    frame: clientFrame(text),
    answerBytes: answer + (answer > 125 ? 4 : 2),
    forMs: roundMs,
  }
  const sides = { ours: await Side.start('ours', transport, work), bare: await Side.start('bare', transport, work) }
  const samples = { ours: [] as Sample[], bare: [] as Sample[] }
  const rounds = 5
  try {
    for (let round = -2; round < rounds; round++)
      for (const name of round % 2 === 0 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const)) {
        const sample = await load.measure(sides[name], connections, order)
        if (round >= 0) samples[name].push(sample)
      }
  } finally {
    sides.ours.stop()
    sides.bare.stop()
  }
  const figure = `${transport}: echo through 3 nodes, ${connections} connections, ${label}`
  const row = (what: string, of: (sample: Sample) => number, goal: number, unit: string): BenchRow =>
    compared({
      figure: `${figure}: ${what}`,
      ours: samples.ours.map(of),
      peer: samples.bare.map(of),
      peerName: `bare ${transport}`,
      goal,
      unit,
    })
  return [
    row('time', ({ result }) => (result.ms * 1e6) / result.count, 1 / 0.85, 'ns/message'),
    row('CPU', ({ cpuMs, result }) => (cpuMs * 1e6) / result.count, 1 / 0.85, 'ns/message'),
    row('99 % are answered in', ({ result }) => result.p99Ms, 1.3, 'ms'),
  ]
}

async function benchBroadcast(load: Load): Promise<readonly BenchRow[]> {
  const text = JSON.stringify({ text: 'x'.repeat(80) })
  const order: Order = { do: 'broadcast', frame: clientFrame(text), answerBytes: text.length + 2, rounds: 20 }
  const sides = {
    ours: await Side.start('ours', 'ws', 'broadcast'),
    bare: await Side.start('bare', 'ws', 'broadcast'),
  }
  const samples = { ours: [] as Sample[], bare: [] as Sample[] }
  const rounds = 5
  try {
    for (let round = -2; round < rounds; round++)
      for (const name of round % 2 === 0 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const)) {
        const sample = await load.measure(sides[name], audience, order)
        if (round >= 0) samples[name].push(sample)
      }
  } finally {
    sides.ours.stop()
    sides.bare.stop()
  }
  const figure = `ws: broadcast of one message to ${audience} sockets`
  const row = (what: string, of: (sample: Sample) => number): BenchRow =>
    compared({
      figure: `${figure}: ${what}`,
      ours: samples.ours.map(of),
      peer: samples.bare.map(of),
      peerName: 'one frame in a bare loop',
      goal: 1 / 0.9,
      unit: 'ms',
    })
  return [
    row('time until all have it', ({ result }) => result.ms / result.count),
    row('CPU', ({ cpuMs, result }) => cpuMs / result.count),
  ]
}

/** As many connections as this machine lets one process have, one execution each. */
async function benchIdle(load: Load): Promise<BenchRow> {
  const filesMax = Number(execFileSync('sh', ['-c', 'ulimit -n']).toString()) || 50_200
  const count = Math.min(50_000, filesMax - 200)
  const each = async (who: 'ours' | 'bare'): Promise<number> => {
    const side = await Side.start(who, 'ws', 'idle')
    try {
      // The first connections pay for what is made once.
      await load.ask({ do: 'connect', port: side.port, connections: 500 })
      const before = await side.usage(true)
      await load.ask({ do: 'connect', port: side.port, connections: count - 500 })
      await load.ask({ do: 'await', bytesEach: 10 })
      return ((await side.usage(true)).bytes - before.bytes) / (count - 500)
    } finally {
      await load.ask({ do: 'close' })
      side.stop()
    }
  }
  const [ours, bare] = [await each('ours'), await each('bare')]
  process.stderr.write(`per connection: ${ours.toFixed(0)} bytes, bare ${bare.toFixed(0)}\n`)
  return against(`ws: memory of an execution beside its socket, ${count} connections`, [ours - bare], 1_000, 'bytes')
}

interface Sample {
  readonly result: LoadResult
  readonly cpuMs: number
}

/** A frame with the mask 0, as base64. */
function clientFrame(text: string): string {
  const payload = Buffer.from(text)
  const head =
    payload.length < 126 ? [0x81, 0x80 | payload.length] : [0x81, 0xfe, payload.length >> 8, payload.length & 255]
  return Buffer.concat([Buffer.from(head), Buffer.alloc(4), payload]).toString('base64')
}

/** One of the servers. */
class Side {
  readonly port: number
  readonly #child: ChildProcess

  constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  static async start(who: 'ours' | 'bare', transport: Transport, work: Work): Promise<Side> {
    const child = fork(fileURLToPath(new URL('./websocket/server.ts', import.meta.url)), [who, transport, work], {
      execPath: transport === 'uws' ? uwsNode.program : process.execPath,
      execArgv: ['--expose-gc'],
      env: { ...process.env, NODE_PATH: uwsNode.modules },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const [port]: (number | undefined)[] = await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => []),
    ])
    if (port === undefined) throw new Error(`the ${who} server with ${transport} does not start`)
    return new Side(child, port)
  }

  async usage(memory = false): Promise<Usage> {
    this.#child.send(memory ? 'memory' : 'cpu')
    const [usage]: Usage[] = await once(this.#child, 'message')
    if (usage === undefined) throw new Error('the server did not answer')
    return usage
  }

  stop(): void {
    this.#child.disconnect()
  }
}

class Load {
  readonly #child: ChildProcess

  constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(): Promise<Load> {
    return new Load(
      fork(fileURLToPath(new URL('./websocket/load.ts', import.meta.url)), {
        execArgv: [],
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      }),
    )
  }

  async ask(order: Order): Promise<LoadResult> {
    this.#child.send(order)
    const [result]: LoadResult[] = await once(this.#child, 'message')
    if (result === undefined) throw new Error('the load generator did not answer')
    return result
  }

  async measure(side: Side, count: number, order: Order): Promise<Sample> {
    await this.ask({ do: 'connect', port: side.port, connections: count })
    const before = await side.usage()
    const result = await this.ask(order)
    const cpuMs = (await side.usage()).cpuMs - before.cpuMs
    await this.ask({ do: 'close' })
    return { result, cpuMs }
  }

  stop(): void {
    this.#child.disconnect()
  }
}
