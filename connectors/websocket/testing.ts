import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect as connectTcp } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { ClientOptions } from 'ws'
import { WebSocket } from 'ws'
import type { Host } from '../../core/host.ts'
import type { RealFlow, RealFlowOptions } from '../../test/real-flow.ts'
import { realFlow } from '../../test/real-flow.ts'

export interface Serving extends RealFlow {
  readonly port: number
  readonly url: string
  readonly log: readonly string[]
  stop(): Promise<void>
}

/** Runs a workflow whose node `ws` is a server on a port of its own; `kept` has what reaches `test.keep` nodes. */
export async function serving(
  config: Readonly<Record<string, unknown>>,
  nodes: Readonly<Record<string, unknown>>,
  edges: readonly string[],
  options: RealFlowOptions & { readonly settings?: Readonly<Record<string, unknown>> } = {},
): Promise<Serving> {
  const log: string[] = []
  let listening = (_port: number): void => undefined
  const port = new Promise<number>((resolve) => {
    listening = resolve
  })
  const host: Partial<Host> = {
    ...options.host,
    log: {
      write: (level, text, fields) => {
        log.push(`${level} ${text}`)
        if (fields?.node === 'ws' && typeof fields.port === 'number') listening(fields.port)
      },
    },
  }
  const document = {
    millrace: 1,
    name: 'sockets',
    settings: options.settings ?? {},
    nodes: { ws: { type: 'websocket.serve@1', config: { port: 0, ...config } }, ...nodes },
    edges,
  }
  const flow = await realFlow(document, { ...options, host })
  const failed = flow.execution.done.then((outcome) => {
    throw new Error(outcome.failure?.message ?? outcome.state)
  })
  failed.catch(() => undefined)
  const listens = await Promise.race([port, failed])
  return {
    ...flow,
    port: listens,
    url: `${config.tls === undefined ? 'ws' : 'wss'}://127.0.0.1:${listens}`,
    log,
    async stop() {
      await flow.execution.stop(5_000)
      await flow.pipeline.release(0)
    },
  }
}

/** Collects garbage, so that what is left of memory can be measured. */
export function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

/** A client that keeps what it gets. */
export class Client {
  readonly socket: WebSocket
  readonly got: (string | Buffer)[] = []
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: Buffer, isBinary: boolean) => this.got.push(isBinary ? data : data.toString()))
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) =>
      socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() })),
    )
  }

  get json(): readonly unknown[] {
    return this.got.map((each) => JSON.parse(each.toString()))
  }

  send(...values: readonly unknown[]): void {
    for (const each of values)
      this.socket.send(typeof each === 'string' || each instanceof Uint8Array ? each : JSON.stringify(each))
  }

  /** Resolves with the next message. (`expect.poll` would keep what it looks at until the test ends.) */
  next(): Promise<string> {
    return new Promise((resolve) => this.socket.once('message', (data: Buffer) => resolve(data.toString())))
  }

  close(code?: number, reason?: string): Promise<{ readonly code: number; readonly reason: string }> {
    this.socket.close(code, reason)
    return this.closed
  }
}

/** Connects; rejects with the status where the upgrade is refused. */
export function connect(url: string, protocols: readonly string[] = [], options: ClientOptions = {}): Promise<Client> {
  const socket = new WebSocket(url, [...protocols], { perMessageDeflate: false, rejectUnauthorized: false, ...options })
  const client = new Client(socket)
  return new Promise((resolve, reject) => {
    socket.on('open', () => resolve(client))
    socket.on('error', reject)
    socket.on('unexpected-response', (_request, response) => {
      let body = ''
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString()
      })
      response.on('end', () => reject(new Error(`${response.statusCode} ${body}`)))
    })
  })
}

/** A TCP connection that has done the WebSocket handshake by hand, so that it can break the rules afterwards. */
export async function rawSocket(port: number, path = '/'): Promise<Socket> {
  const socket = connectTcp(port, '127.0.0.1')
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  socket.write(
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  const [head]: Buffer[] = await once(socket, 'data')
  if (head?.toString().startsWith('HTTP/1.1 101') !== true) throw new Error(head?.toString())
  return socket
}

/** A masked frame as a client sends it, with the mask 0. */
export function frame(firstByte: number, payload: Uint8Array, claimed = payload.byteLength): Buffer {
  const head =
    claimed < 126
      ? Buffer.from([firstByte, 0x80 | claimed])
      : Buffer.from([firstByte, 0x80 | 126, claimed >> 8, claimed & 255])
  return Buffer.concat([head, Buffer.alloc(4), payload])
}
