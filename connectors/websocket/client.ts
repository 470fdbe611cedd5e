import { readFile } from 'node:fs/promises'
import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { NodeContext } from '../../core/define.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Host } from '../../core/host.ts'
import { Participants } from './participants.ts'

export interface ClientSettings {
  readonly url: URL
  readonly protocols: readonly string[]
  readonly headers: Readonly<Record<string, string>>
  /** Paths of PEM files. */
  readonly tls: { readonly ca: string | null; readonly cert: string | null; readonly key: string | null }
  readonly onOpen: readonly (string | Uint8Array)[]
  readonly handshakeMsMax: number
  readonly heartbeatMs: number
  readonly waitMs: number
  readonly waitMsMax: number
  readonly attemptsMax: number
  readonly messageBytesMax: number
  readonly closeMsMax: number
}

/** Whoever wants to know what comes. */
export interface ClientReceiver {
  connected(protocol: string): void
  brought(data: Buffer, isBinary: boolean): void
  /** The connection is over; answers whether there is to be another. */
  disconnected(code: number, reason: string): boolean
  /** So many attempts in a row have failed that there will be no other. */
  gaveUp(failure: Failure): void
}

/** A connection that lived so long counts as one that worked, and the next failure as the first. */
const stableMs = 5_000

/** A connection to a server that is made again whenever it ends, until somebody closes the client. */
export class Client {
  readonly #settings: ClientSettings
  readonly #host: Pick<Host, 'clock' | 'random' | 'log'>
  readonly #node: string
  readonly #receiver: ClientReceiver
  readonly #waiting = new Set<() => void>()
  #socket: WebSocket | null = null
  /** What lies under an open socket. */
  #stream: Duplex | null = null
  #open = false
  #paused = false
  #alive = true
  #failures = 0
  #openedAt = 0
  #closing = false
  #lastError = ''
  #cancelTimer: (() => void) | null = null
  #cancelBeat: (() => void) | null = null
  #ended: (() => void) | null = null
  #started: Promise<void> | null = null

  constructor(
    settings: ClientSettings,
    host: Pick<Host, 'clock' | 'random' | 'log'>,
    node: string,
    receiver: ClientReceiver,
  ) {
    this.#settings = settings
    this.#host = host
    this.#node = node
    this.#receiver = receiver
  }

  /** Begins to connect. Rejects with a NodeError only where that can never succeed: files that cannot be read. */
  start(): Promise<void> {
    this.#started ??= this.#dial()
    return this.#started
  }

  /** Reads no more: the server feels it when the buffers in between are full. */
  pause(): void {
    this.#paused = true
    if (this.#open) this.#socket?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#alive = true
    if (this.#open) this.#socket?.resume()
  }

  /**
   * Sends, as soon as there is a connection, and answers how many of them have gone out when the system has taken them, the connection has
   * ended or the signal has cut the wait. Which of those that were under way then have arrived, nobody knows.
   */
  async send(payloads: readonly (string | Uint8Array)[], signal: AbortSignal): Promise<number> {
    await this.#whenOpen(signal)
    const socket = this.#socket
    if (socket === null || signal.aborted) return 0
    return new Promise((resolve) => {
      let gone = 0
      const end = (): void => {
        signal.removeEventListener('abort', end)
        socket.off('close', end)
        resolve(gone)
      }
      const sent = (error?: Error | null): void => {
        if (error !== undefined && error !== null) return end()
        gone += 1
        if (gone === payloads.length) end()
      }
      signal.addEventListener('abort', end)
      socket.on('close', end)
      this.#stream?.cork()
      for (const payload of payloads) socket.send(payload, { binary: typeof payload !== 'string' }, sent)
      this.#stream?.uncork()
    })
  }

  /** Leaves this connection for the next one. */
  leave(): void {
    this.#socket?.terminate()
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#cancelTimer?.()
    this.#wakeAll()
    const socket = this.#socket
    if (socket === null) return
    const ended = new Promise<void>((resolve) => {
      this.#ended = resolve
    })
    const cancel = this.#host.clock.after(this.#settings.closeMsMax, () => socket.terminate())
    // Its answer must be read, whatever we had against reading.
    socket.resume()
    socket.close(1_000)
    await ended
    cancel()
  }

  async #dial(): Promise<void> {
    const { url, protocols, headers, handshakeMsMax, messageBytesMax } = this.#settings
    const tls = await this.#tls()
    if (this.#closing) return
    const socket = new WebSocket(url, [...protocols], {
      headers,
      handshakeTimeout: handshakeMsMax,
      maxPayload: messageBytesMax,
      perMessageDeflate: false,
      followRedirects: false,
      ...tls,
    })
    this.#socket = socket
    this.#lastError = ''
    socket.on('upgrade', (response) => {
      this.#stream = response.socket
    })
    socket.on('open', () => this.#opened(socket))
    socket.on('message', (data, isBinary) => {
      this.#alive = true
      if (Buffer.isBuffer(data) && !this.#closing) this.#receiver.brought(data, isBinary)
    })
    socket.on('ping', () => {
      this.#alive = true
    })
    socket.on('pong', () => {
      this.#alive = true
    })
    socket.on('error', (error) => {
      this.#lastError = error.message
    })
    socket.on('close', (code, reason) => this.#closed(code, reason.toString()))
  }

  async #tls(): Promise<{ readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer }> {
    const { ca, cert, key } = this.#settings.tls
    const read = async (path: string | null): Promise<Buffer | undefined> => {
      if (path === null) return undefined
      try {
        return await readFile(path)
      } catch (thrown) {
        const why = thrown instanceof Error && 'code' in thrown ? thrown.code : thrown
        throw new NodeError('websocket.bad-certificate', `${path} cannot be read (${why}); give the path of a PEM file`)
      }
    }
    const [a, b, c] = await Promise.all([read(ca), read(cert), read(key)])
    return { ...(a && { ca: a }), ...(b && { cert: b }), ...(c && { key: c }) }
  }

  #opened(socket: WebSocket): void {
    this.#open = true
    this.#alive = true
    this.#openedAt = this.#host.clock.elapsed()
    if (this.#paused) socket.pause()
    for (const payload of this.#settings.onOpen) socket.send(payload, { binary: typeof payload !== 'string' })
    this.#say('info', 'is connected to')
    this.#receiver.connected(socket.protocol)
    this.#planBeat(socket)
    this.#wakeAll()
  }

  #closed(code: number, reason: string): void {
    const wasOpen = this.#open
    this.#open = false
    this.#socket = null
    this.#stream = null
    this.#cancelBeat?.()
    this.#cancelBeat = null
    if (wasOpen && this.#host.clock.elapsed() - this.#openedAt >= stableMs) this.#failures = 0
    const again = wasOpen ? this.#receiver.disconnected(code, reason) : true
    this.#ended?.()
    if (this.#closing || !again) return
    this.#failures += 1
    const why = wasOpen ? `the connection has ended with ${code}` : this.#lastError
    const { attemptsMax, waitMs, waitMsMax } = this.#settings
    if (attemptsMax > 0 && this.#failures >= attemptsMax) {
      this.#closing = true
      this.#wakeAll()
      const message = `${this.#node} gives up ${this.#place} after ${this.#failures} failures: ${why}`
      return this.#receiver.gaveUp({ code: 'websocket.gave-up', message, node: this.#node, retriable: true })
    }
    // Between half of it and all of it, so that clients that were cut together do not come back together.
    const full = Math.min(waitMsMax, waitMs * 2 ** Math.min(this.#failures - 1, 20))
    const delayMs = Math.round(full * (0.5 + this.#host.random() / 2))
    this.#say('warn', `(${why}) tries again in ${delayMs} ms to reach`)
    this.#cancelTimer = this.#host.clock.after(delayMs, () => {
      this.#dial().catch((thrown: unknown) => {
        this.#lastError = thrown instanceof Error ? thrown.message : String(thrown)
        this.#closed(1_006, '')
      })
    })
  }

  /** One that is not read cannot be heard, so it is not asked. */
  #planBeat(socket: WebSocket): void {
    const { heartbeatMs } = this.#settings
    if (heartbeatMs === 0) return
    this.#cancelBeat = this.#host.clock.after(heartbeatMs, () => {
      if (this.#paused) this.#alive = true
      else if (!this.#alive) return socket.terminate()
      else {
        this.#alive = false
        socket.ping()
      }
      this.#planBeat(socket)
    })
  }

  /** Resolves when the connection is open or the wait is cut. Throws a NodeError where there will be none. */
  async #whenOpen(signal: AbortSignal): Promise<void> {
    while (!this.#open) {
      if (this.#closing) throw new NodeError('websocket.closed', `${this.#node} is closed`)
      if (signal.aborted) return
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          signal.removeEventListener('abort', wake)
          this.#waiting.delete(wake)
          resolve()
        }
        signal.addEventListener('abort', wake)
        this.#waiting.add(wake)
      })
    }
  }

  #wakeAll(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** The address as far as it may be shown: queries and users often are secrets. */
  get #place(): string {
    const { protocol, host, pathname } = this.#settings.url
    return `${protocol}//${host}${pathname}`
  }

  #say(level: 'info' | 'warn', what: string): void {
    this.#host.log.write(level, `${this.#node} ${what} ${this.#place}`, { node: this.#node })
  }
}

/** The clients of a node's workflow. */
export function clientsOf(context: Pick<NodeContext, 'shared'>): Participants<Client> {
  return context.shared('websocket clients', () => new Participants<Client>('websocket.connect', 'client'))
}
