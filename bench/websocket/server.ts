import { createRequire } from 'node:module'
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { WebSocket } from 'ws'
import { WebSocketServer } from 'ws'
import { compile } from '../../core/compile/compile.ts'
import { planText } from '../../core/document/plan-text.ts'
import { catalogue } from '../../nodes.ts'
import { createHost } from '../../server/host.ts'
import { createWorkflows } from '../../server/workflows.ts'

/**
 * A server in a process of its own: `ours ws echo` or `bare uws broadcast`. It sends its port, and answers each message of its parent
 * with what it has used of the processor and of memory so far.
 */
export type Work = 'echo' | 'json' | 'broadcast' | 'idle'

export interface Usage {
  /** Milliseconds, of all threads. */
  readonly cpuMs: number
  /** Heap and buffers, after a collection of garbage. */
  readonly bytes: number
}

async function answer(collects: boolean): Promise<void> {
  for (let round = 0; collects && round < 3; round++) {
    globalThis.gc?.()
    await nextTurn()
  }
  const { user, system } = process.cpuUsage()
  const { heapUsed, external } = process.memoryUsage()
  const usage: Usage = { cpuMs: (user + system) / 1_000, bytes: heapUsed + external }
  process.send?.(usage)
}

/** Workflows of three nodes. */
const workflows: Readonly<
  Record<string, { readonly nodes: object; readonly edges: readonly string[]; readonly config: object }>
> = {
  echo: {
    nodes: {
      some: { type: 'filter@1', config: { where: '{{ $json.length > 0 }}' } },
      back: { type: 'websocket.send@1' },
    },
    edges: ['ws.message -> some -> back'],
    config: { decode: 'auto' },
  },
  json: {
    nodes: {
      gross: { type: 'set@1', into: 'merge', config: { fields: { gross: '{{ $json.total * 1.19 }}' } } },
      back: { type: 'websocket.send@1' },
    },
    edges: ['ws.message -> gross -> back'],
    config: {},
  },
  broadcast: {
    nodes: {
      tell: { type: 'set@1', config: { fields: { text: '{{ $json.text }}' } } },
      all: { type: 'websocket.send@1', config: { all: true } },
    },
    edges: ['ws.message -> tell -> all'],
    config: {},
  },
  idle: {
    nodes: {
      hello: { type: 'set@1', config: { fields: { you: '{{ $key }}' } } },
      back: { type: 'websocket.send@1' },
    },
    edges: ['ws.open -> hello -> back'],
    config: { scope: 'connection' },
  },
}

async function ours(which: string, kind: string): Promise<number> {
  const workflow = workflows[kind]
  if (workflow === undefined) throw new Error(`there is no workflow ${kind}`)
  const limits = {
    connectionsMax: 100_000,
    connectionsPerAddressMax: 100_000,
    messagesPerSecondMax: 0,
    bytesPerSecondMax: 0,
    // The load generator only counts bytes, and takes a ping for an answer.
    heartbeatMs: 0,
  }
  const config = { port: 0, transport: which, ...limits, ...workflow.config }
  const planned = planText(
    JSON.stringify({
      millrace: 1,
      name: 'bench',
      settings: { telemetry: 'metrics' },
      nodes: { ws: { type: 'websocket.serve@1', config }, ...workflow.nodes },
      edges: workflow.edges,
    }),
    catalogue,
  )
  return new Promise((resolve, reject) => {
    const host = createHost({
      log: { write: (_level, _text, fields) => resolve(Number(fields?.port)) },
      deadLetter: async (letters) => {
        throw new Error(letters[0]?.failure.message)
      },
    })
    // As in a server: it watches all executions of what it runs.
    const workflows = createWorkflows({
      clock: host.clock,
      log: host.log,
      keptMax: 1_000,
      runningMax: 1_000,
      onEnded: () => undefined,
    })
    workflows
      .deploy('bench', compile(planned, catalogue, host))
      .then((execution) => void execution?.done.then((outcome) => reject(new Error(outcome.failure?.message))), reject)
  })
}

interface Order {
  total: number
  gross?: number
}

function withGross(data: string): string {
  const order: Order = JSON.parse(data)
  order.gross = order.total * 1.19
  return JSON.stringify(order)
}

/** The same work as a person writes it on the package alone. */
async function bare(which: string, kind: string): Promise<number> {
  if (which === 'uws') return bareUws(kind)
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false, clientTracking: false })
  const sockets = new Set<Duplex>()
  let ids = 0
  server.on('connection', (socket, request) => {
    // Listeners that all share, as in a server that is to be small.
    if (kind === 'echo') socket.on('message', echo)
    else if (kind === 'json') socket.on('message', addGross)
    else if (kind === 'idle') socket.send(JSON.stringify({ you: `c${ids++}` }))
    else {
      const own = request.socket
      sockets.add(own)
      socket.on('close', () => sockets.delete(own))
      socket.on('message', (data: Buffer) => {
        // The strongest way there is: the frame is made once and put into each socket by hand.
        const { text }: { readonly text: string } = JSON.parse(data.toString())
        const frame = frameOf(JSON.stringify({ text }))
        for (const each of sockets) each.write(frame)
      })
    }
  })
  await new Promise((resolve) => server.on('listening', resolve))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function echo(this: WebSocket, data: Buffer, isBinary: boolean): void {
  this.send(data, { binary: isBinary })
}

function addGross(this: WebSocket, data: Buffer): void {
  this.send(withGross(data.toString()))
}

function frameOf(text: string): Buffer {
  const payload = Buffer.from(text)
  if (payload.length > 125) throw new Error('the bench sends short texts only')
  return Buffer.concat([Buffer.from([0x81, payload.length]), payload])
}

/** What is used of uWebSockets.js. */
interface Uws {
  App(): {
    ws(
      pattern: string,
      behavior: object,
    ): { listen(host: string, port: number, listening: (socket: object) => void): void }
  }
  us_socket_local_port(socket: object): number
}

async function bareUws(kind: string): Promise<number> {
  const uws: Uws = createRequire(import.meta.url)('uwebsockets')
  return new Promise((resolve) => {
    uws
      .App()
      .ws('/*', {
        message: (
          socket: { send(data: ArrayBuffer | string, isBinary: boolean): void },
          data: ArrayBuffer,
          isBinary: boolean,
        ) =>
          kind === 'json' ? socket.send(withGross(Buffer.from(data).toString()), false) : socket.send(data, isBinary),
      })
      .listen('127.0.0.1', 0, (socket) => resolve(uws.us_socket_local_port(socket)))
  })
}

const [who, transport, work] = process.argv.slice(2)
if (import.meta.main) {
  const port = await (who === 'ours' ? ours(String(transport), String(work)) : bare(String(transport), String(work)))
  process.on('message', (question) => void answer(question === 'memory'))
  process.on('disconnect', () => process.exit())
  process.send?.(port)
}
