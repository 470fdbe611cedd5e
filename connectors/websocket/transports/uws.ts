import { createRequire } from 'node:module'
import { NodeError } from '../../../core/flow/failure.ts'
import type { Outgoing } from '../outgoing.ts'
import type { Door, Link, Listener, ListenOptions, Receiver, Transport, UpgradeRequest } from '../transport.ts'
import { Refusal } from '../transport.ts'

/**
 * uWebSockets.js, where it is installed and its binary loads: as `uWebSockets.js` (from GitHub) or as `uwebsockets` (from npm).
 * Throws a NodeError that says what is missing.
 */
export function loadUws(): Transport {
  const uws = load()
  return { pausable: false, listen: (options, door) => listen(uws, options, door) }
}

/** What is used of uWebSockets.js, as its own index.d.ts has it. */
interface Uws {
  App(): UwsApp
  SSLApp(options: { readonly key_file_name: string; readonly cert_file_name: string }): UwsApp
  us_listen_socket_close(socket: object): void
  us_socket_local_port(socket: object): number
}
interface UwsApp {
  ws(pattern: string, behavior: object): UwsApp
  any(pattern: string, handler: (response: UwsResponse) => void): UwsApp
  listen(host: string, port: number, options: number, listening: (socket: object | false) => void): UwsApp
}
interface UwsResponse {
  writeStatus(status: string): UwsResponse
  writeHeader(name: string, value: string): UwsResponse
  end(body: string, closeConnection: boolean): void
  upgrade(data: UserData, key: string, protocol: string, extensions: string, context: object): void
  getRemoteAddressAsText(): ArrayBuffer
}
interface UwsRequest {
  getUrl(): string
  getQuery(): string | undefined
  getHeader(name: string): string
  forEach(visit: (name: string, value: string) => void): void
}
interface UwsSocket {
  getUserData(): UserData
  getBufferedAmount(): number
  send(message: Uint8Array, isBinary: boolean, compress: boolean): number
  ping(): number
  end(code: number, reason: string): void
  close(): void
}
/** Its fields are copied onto the socket, so what has methods stands in a field. */
interface UserData {
  readonly receiver: Receiver
  readonly protocol: string
  link: UwsLink | null
}

/** The option of `listen` that keeps others from the same port. */
const exclusive = 1

async function listen(uws: Uws, options: ListenOptions, door: Door): Promise<Listener> {
  const { host, port, reusePort, sockets } = options
  const app = createApp(uws, options.tls)
  app.ws('/*', {
    maxPayloadLength: sockets.messageBytesMax,
    // Silence, slow readers and full buffers are dealt with on our side of the door. Its own time limit for requests is 10 s.
    idleTimeout: 0,
    sendPingsAutomatically: false,
    maxBackpressure: 0,
    compression: 0,
    upgrade: (response: UwsResponse, request: UwsRequest, context: object) =>
      upgrade(response, request, context, sockets.protocols, door),
    open: (socket: UwsSocket) => {
      const data = socket.getUserData()
      data.link = new UwsLink(socket)
      data.receiver.opened(data.link, data.protocol)
    },
    message: (socket: UwsSocket, data: ArrayBuffer, isBinary: boolean) =>
      socket.getUserData().receiver.received(Buffer.from(data), isBinary),
    pong: (socket: UwsSocket) => socket.getUserData().receiver.ponged(),
    drain: (socket: UwsSocket) => void setImmediate(drained, socket.getUserData()),
    close: (socket: UwsSocket, code: number, reason: ArrayBuffer) => {
      const { link, receiver } = socket.getUserData()
      link?.over()
      receiver.closed(code, Buffer.from(reason).toString())
    },
  })
  app.any('/*', (response) => {
    response.writeStatus('426 Upgrade Required').writeHeader('upgrade', 'websocket')
    response.end('This port speaks WebSocket only.\n', true)
  })
  const listening = await new Promise<object | false>((resolve) => {
    app.listen(host, port, reusePort ? 0 : exclusive, resolve)
  })
  if (listening === false)
    throw new NodeError(
      'websocket.cannot-listen',
      `port ${port} on ${host} cannot be opened: stop the program that has it, or choose another port`,
    )
  return {
    port: uws.us_socket_local_port(listening),
    close: async () => uws.us_listen_socket_close(listening),
  }
}

/**
 * Inside of its own callback a socket is corked: what is sent there seems not to go out, and when it does go out at the end, nobody is told.
 */
function drained({ link, receiver }: UserData): void {
  if (link?.drained() === true) receiver.drained()
}

function createApp(uws: Uws, tls: ListenOptions['tls']): UwsApp {
  if (tls === null) return uws.App()
  try {
    return uws.SSLApp({ key_file_name: tls.key, cert_file_name: tls.cert })
  } catch {
    throw new NodeError('websocket.bad-certificate', `the certificate in ${tls.cert} and ${tls.key} is no use`)
  }
}

function upgrade(
  response: UwsResponse,
  request: UwsRequest,
  context: object,
  protocols: readonly string[],
  door: Door,
): void {
  const asked = requestOf(response, request)
  const answer = door.admit(asked)
  if (answer instanceof Refusal) {
    response.writeStatus(`${answer.status} Refused`).writeHeader('content-type', 'application/json; charset=utf-8')
    for (const [name, value] of Object.entries(answer.headers)) response.writeHeader(name, value)
    response.end(answer.body, true)
    return
  }
  const offered = (asked.headers['sec-websocket-protocol'] ?? '').split(',').map((each) => each.trim())
  const protocol = protocols.find((each) => offered.includes(each)) ?? ''
  response.upgrade(
    { receiver: answer, protocol, link: null },
    request.getHeader('sec-websocket-key'),
    protocol,
    '',
    context,
  )
}

function requestOf(response: UwsResponse, request: UwsRequest): UpgradeRequest {
  const headers: Record<string, string> = {}
  request.forEach((name, value) => {
    if (name !== '__proto__') headers[name] = name in headers ? `${headers[name]}, ${value}` : value
  })
  return {
    path: request.getUrl(),
    query: request.getQuery() ?? '',
    headers,
    address: Buffer.from(response.getRemoteAddressAsText()).toString(),
    params: null,
  }
}

/** With less than this waiting for the peer, more may be written. */
const emptyEnoughBytes = 64 * 1024

/** What `send` answers when all has gone out. */
const allSent = 1

class UwsLink implements Link {
  /** Null when it is closed: uWebSockets.js throws at whoever touches it then. */
  #socket: UwsSocket | null
  #full = false

  constructor(socket: UwsSocket) {
    this.#socket = socket
  }

  over(): void {
    this.#socket = null
  }

  get full(): boolean {
    return this.#full
  }

  /** Some of what was held has gone out; whether there is room again. */
  drained(): boolean {
    this.#full = this.bufferedBytes >= emptyEnoughBytes
    return !this.#full
  }

  get bufferedBytes(): number {
    return this.#socket?.getBufferedAmount() ?? 0
  }

  write(outgoing: Outgoing): void {
    if (this.#socket?.send(outgoing.payload, outgoing.binary, false) !== allSent) this.#full = true
  }

  /** It corks by a callback only; what is sent outside of one leaves at once. */
  cork(): void {}

  uncork(): void {}

  ping(): void {
    this.#socket?.ping()
  }

  /** It cannot: see `Transport.pausable`. */
  pause(): void {}

  resume(): void {}

  close(code: number, reason: string): void {
    this.#socket?.end(code, reason)
  }

  terminate(): void {
    this.#socket?.close()
  }
}

const names = ['uWebSockets.js', 'uwebsockets']

function load(): Uws {
  // By `require`, which also looks where NODE_PATH points: the package is large and not one of ours.
  const require = createRequire(import.meta.url)
  const failures: string[] = []
  for (const name of names) {
    try {
      const found: unknown = require(name)
      // What has this function is what the interfaces above describe.
      if (typeof found === 'object' && found !== null && 'SSLApp' in found) return found as Uws
    } catch (thrown) {
      const missing = thrown instanceof Error && 'code' in thrown && thrown.code === 'MODULE_NOT_FOUND'
      if (!missing || !String(thrown).includes(`'${name}'`)) failures.push(reasonOf(thrown))
    }
  }
  if (failures.length === 0)
    throw new NodeError(
      'websocket.no-uws',
      'uWebSockets.js is not installed: `npm install uwebsockets`, or `npm install uNetworking/uWebSockets.js`; or use `transport: ws`',
    )
  throw new NodeError(
    'websocket.no-uws',
    `uWebSockets.js does not load here: ${failures.join('; ')}; or use \`transport: ws\``,
  )
}

/** Its own message lists platforms first; the cause is the last line. */
function reasonOf(thrown: unknown): string {
  const lines = String(thrown instanceof Error ? thrown.message : thrown).split('\n')
  return (lines.findLast((line) => line.trim() !== '') ?? '').trim().slice(0, 300)
}
