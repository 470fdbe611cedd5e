import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocket, WebSocketServer } from 'ws'
import type { Outgoing } from '../outgoing.ts'
import type { Door, Link, Listener, ListenOptions, Receiver, SocketOptions, Transport } from '../transport.ts'
import { Refusal } from '../transport.ts'
import { openPort } from './port.ts'

/** The default transport: the package `ws` behind Node's own HTTP server. */
export const wsTransport: Transport = {
  pausable: true,
  listen: (options, door) => listen(options, door),
}

async function listen(options: ListenOptions, door: Door): Promise<Listener> {
  const upgrades = createUpgrades(options.sockets, door)
  return openPort(options, (request, socket, head) => upgrades.upgrade(request, socket, head, null))
}

/** Makes sockets of connections that some HTTP server hands over. */
export interface Upgrades {
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, params: Readonly<Record<string, string>> | null): void
}

/** For a port of one's own, and for a server that gives away its upgrades. */
export function createUpgrades(options: SocketOptions, door: Door): Upgrades {
  const { protocols, messageBytesMax, closeMsMax } = options
  const settings = {
    noServer: true,
    WebSocket: ServedSocket,
    // A deflate state per socket costs more memory than all else here, and small messages gain nothing by it.
    perMessageDeflate: false,
    // Several messages that one read of the socket gave are one batch, not one turn of the event loop each.
    allowSynchronousEvents: true,
    clientTracking: false,
    maxPayload: messageBytesMax,
    closeTimeout: closeMsMax,
    handleProtocols: (offered: ReadonlySet<string>) => protocols.find((each) => offered.has(each)) ?? false,
  }
  const server = new WebSocketServer<typeof ServedSocket>(settings)
  return {
    upgrade(request, socket, head, params) {
      const answer = door.admit(requestOf(request, params))
      if (answer instanceof Refusal) return refuse(socket, answer)
      server.handleUpgrade(request, socket, head, (webSocket) => webSocket.begin(socket, answer))
    },
  }
}

/** A socket that is its own link, so that there is one object for both. */
class ServedSocket extends WebSocket implements Link {
  #socket: Duplex | null = null
  #receiver: Receiver | null = null
  #awaitsDrain = false

  begin(socket: Duplex, receiver: Receiver): void {
    this.#socket = socket
    this.#receiver = receiver
    receiver.opened(this, this.protocol)
  }

  /** What happens goes straight to the receiver: a list of listeners per socket costs a quarter of a kilobyte. */
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const [first, second] = args
    if (event === 'message' && Buffer.isBuffer(first)) this.#receiver?.received(first, second === true)
    else if (event === 'pong') this.#receiver?.ponged()
    else if (event === 'close') this.#receiver?.closed(Number(first), String(second))
    // Also a broken or oversize frame is told here; `ws` closes the socket by itself, with the code that fits.
    return true
  }

  get full(): boolean {
    const socket = this.#socket
    if (socket === null || !socket.writableNeedDrain) return false
    if (!this.#awaitsDrain) {
      this.#awaitsDrain = true
      socket.once('drain', () => {
        this.#awaitsDrain = false
        this.#receiver?.drained()
      })
    }
    return true
  }

  get bufferedBytes(): number {
    return this.#socket?.writableLength ?? 0
  }

  /** `ws` writes whole frames in one go, so a frame that was made before goes straight to the socket between two of them. */
  write(outgoing: Outgoing): void {
    if (this.readyState === WebSocket.OPEN) this.#socket?.write(outgoing.frame)
  }

  cork(): void {
    this.#socket?.cork()
  }

  uncork(): void {
    this.#socket?.uncork()
  }

  override ping(): void {
    if (this.readyState === WebSocket.OPEN) super.ping()
  }
}

function requestOf(
  request: IncomingMessage,
  params: Readonly<Record<string, string>> | null,
): Parameters<Door['admit']>[0] {
  const target = request.url ?? '/'
  const mark = target.indexOf('?')
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  return {
    path: mark < 0 ? target : target.slice(0, mark),
    query: mark < 0 ? '' : target.slice(mark + 1),
    headers,
    address: request.socket.remoteAddress ?? '',
    params,
  }
}

/** Answers in place of an upgrade, and closes. */
function refuse(socket: Duplex, refusal: Refusal): void {
  const { status, body, headers } = refusal
  const all = {
    connection: 'close',
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    ...headers,
  }
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  socket.on('error', () => socket.destroy())
  socket.end(`HTTP/1.1 ${status} Refused\r\n${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}
