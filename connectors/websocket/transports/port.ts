import { readFile } from 'node:fs/promises'
import type { IncomingMessage, Server, ServerOptions } from 'node:http'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { NodeError } from '../../../core/flow/failure.ts'
import type { Listener, ListenOptions } from '../transport.ts'

/** Takes a connection that asks for an upgrade. */
export type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

/** A port that does nothing but upgrades; whoever asks for something else, or for nothing at all, is sent away. */
export async function openPort(options: ListenOptions, onUpgrade: OnUpgrade): Promise<Listener> {
  const server = await createServer(options)
  const handshakes = new Handshakes(options.handshakesPerAddressMax)
  // Beside those that are open, some may be on their way.
  server.maxConnections = options.connectionsMax + 1_000
  server.on(options.tls === null ? 'connection' : 'secureConnection', (socket: Socket) => handshakes.begin(socket))
  server.on('request', (_request, response) => {
    response.writeHead(426, { upgrade: 'websocket', connection: 'close', 'content-type': 'text/plain' })
    response.end('This port speaks WebSocket only.\n')
  })
  server.on('upgrade', (request, socket, head) => {
    handshakes.end(request.socket)
    try {
      onUpgrade(request, socket, head)
    } catch {
      // Whatever a stranger has sent: it costs the stranger's connection and nobody else's.
      socket.destroy()
    }
  })
  await listening(server, options)
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : options.port,
    async close() {
      server.close()
      server.closeAllConnections()
      // The port itself is free when the event loop has closed its handle; the sockets that are open live on.
      await nextTurn()
    },
  }
}

async function createServer(options: ListenOptions): Promise<Server> {
  const { headMsMax, tls } = options
  const limits: ServerOptions = {
    maxHeaderSize: 16 * 1024,
    headersTimeout: headMsMax,
    requestTimeout: headMsMax,
    keepAliveTimeout: headMsMax,
    connectionsCheckingInterval: Math.min(1_000, headMsMax),
  }
  if (tls === null) return createHttpServer(limits)
  const [cert, key, ca] = await Promise.all([pem(tls.cert), pem(tls.key), tls.ca === null ? undefined : pem(tls.ca)])
  try {
    return createHttpsServer({ ...limits, cert, key, ca, requestCert: ca !== undefined, handshakeTimeout: headMsMax })
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new NodeError('websocket.bad-certificate', `the certificate in ${tls.cert} and ${tls.key} is no use: ${why}`)
  }
}

async function pem(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (thrown) {
    const why = thrown instanceof Error && 'code' in thrown ? thrown.code : thrown
    throw new NodeError('websocket.bad-certificate', `${path} cannot be read (${why}); give the path of a PEM file`)
  }
}

function listening(server: Server, options: ListenOptions): Promise<void> {
  const { host, port, reusePort } = options
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(listenError(error, host, port))
    server.once('error', failed)
    server.listen({ host, port, reusePort }, () => {
      server.off('error', failed)
      resolve()
    })
  })
}

/** What a person can do about a port that does not open. */
export function listenError(error: Error, host: string, port: number): NodeError {
  const code = 'code' in error ? error.code : ''
  const said =
    code === 'EADDRINUSE'
      ? `port ${port} on ${host} is taken by another program: stop that one, or choose another port`
      : code === 'EADDRNOTAVAIL'
        ? `${host} is no address of this machine: listen on another one`
        : code === 'EACCES'
          ? `port ${port} may not be opened by this user: choose one above 1023`
          : code === 'ENOTSUP'
            ? 'this system cannot share a port: leave out reusePort'
            : `port ${port} on ${host} cannot be opened: ${error.message}`
  return new NodeError('websocket.cannot-listen', said, { cause: error })
}

/** Counts, by address, the connections that have not asked for their upgrade yet: one client must not hold all of them. */
class Handshakes {
  readonly #perAddressMax: number
  readonly #addresses = new Map<Socket, string>()
  readonly #counts = new Map<string, number>()
  readonly #onClose: (this: Socket) => void

  constructor(perAddressMax: number) {
    this.#perAddressMax = perAddressMax
    const end = (socket: Socket): void => this.end(socket)
    this.#onClose = function () {
      end(this)
    }
  }

  begin(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    const count = (this.#counts.get(address) ?? 0) + 1
    if (count > this.#perAddressMax) {
      socket.destroy()
      return
    }
    this.#counts.set(address, count)
    this.#addresses.set(socket, address)
    socket.on('close', this.#onClose)
  }

  end(socket: Socket): void {
    const address = this.#addresses.get(socket)
    if (address === undefined) return
    this.#addresses.delete(socket)
    socket.off('close', this.#onClose)
    const left = (this.#counts.get(address) ?? 1) - 1
    if (left === 0) this.#counts.delete(address)
    else this.#counts.set(address, left)
  }
}
