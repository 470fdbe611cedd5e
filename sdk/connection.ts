import type { ClientFrame } from '../core/protocol/client-frames.ts'
import { decodeFrame, encodeFrame } from '../core/protocol/frame.ts'
import type { ServerFrame } from '../core/protocol/server-frames.ts'
import { parseServerFrame } from '../core/protocol/server-frames.ts'
import { MillraceError } from './errors.ts'

export type ConnectionState = 'connecting' | 'live' | 'reconnecting' | 'closed'

export interface ConnectionOptions {
  readonly url: string
  readonly token: string | null
  /** The socket is up and the server said welcome: subscriptions ask again from where they are. */
  readonly onLive: () => void
  readonly onFrame: (frame: ServerFrame) => void
  /** The socket is gone; a new one is on its way, unless the state is `closed`. */
  readonly onLost: (error: MillraceError) => void
  readonly onState: (state: ConnectionState) => void
}

const pingMs = 15_000
const pongMsMax = 8_000
const connectMsMax = 15_000
const backoffMsMin = 250
const backoffMsMax = 15_000
const frameBytesMax = 64 * 1024 * 1024

/** One WebSocket after the other: connects, notices when it is dead, comes back with growing, scattered pauses. */
export class Connection {
  state: ConnectionState = 'connecting'
  /** Why the last socket was lost, or why the connection is closed. */
  lastError: MillraceError | null = null
  readonly #options: ConnectionOptions
  #socket: WebSocket | null = null
  #attempts = 0
  #retry: ReturnType<typeof setTimeout> | undefined
  #watchdog: ReturnType<typeof setTimeout> | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
    if (typeof globalThis.addEventListener === 'function') {
      globalThis.addEventListener('online', this.#probe)
      globalThis.addEventListener('offline', this.#probe)
      globalThis.document?.addEventListener('visibilitychange', this.#probe)
    }
    this.#connect()
  }

  /** False when there is no live socket now: what must not be lost is sent again by `onLive`. */
  send(frame: ClientFrame): boolean {
    if (this.state !== 'live' || this.#socket === null) return false
    this.#socket.send(encodeFrame(frame))
    return true
  }

  close(error: MillraceError | null = null): void {
    if (this.state === 'closed') return
    this.lastError = error ?? this.lastError
    if (typeof globalThis.removeEventListener === 'function') {
      globalThis.removeEventListener('online', this.#probe)
      globalThis.removeEventListener('offline', this.#probe)
      globalThis.document?.removeEventListener('visibilitychange', this.#probe)
    }
    clearTimeout(this.#retry)
    this.#setState('closed')
    this.#drop()
    this.#options.onLost(error ?? new MillraceError('connection.closed', 'The client was closed.'))
  }

  #connect(): void {
    let socket: WebSocket
    try {
      socket = new WebSocket(this.#options.url)
    } catch {
      this.close(new MillraceError('connection.bad-url', `${this.#options.url} is no address of a WebSocket.`))
      return
    }
    socket.binaryType = 'arraybuffer'
    this.#socket = socket
    this.#watch(connectMsMax)
    const mine = (): boolean => this.#socket === socket
    socket.onopen = () => {
      if (mine()) socket.send(encodeFrame({ kind: 'hello', token: this.#options.token }))
    }
    socket.onmessage = (event: MessageEvent) => {
      if (mine()) this.#received(event.data)
    }
    socket.onclose = () => {
      if (mine()) this.#lost(new MillraceError('connection.lost', 'The connection to the server was lost.'))
    }
    // The reason is not told to a page; `close` follows.
    socket.onerror = () => {}
  }

  #received(data: unknown): void {
    this.#beat()
    const header = data instanceof ArrayBuffer ? decodeFrame(new Uint8Array(data), frameBytesMax) : null
    const frame = header === null ? null : header.ok ? parseServerFrame(header.value) : header
    if (frame === null || !frame.ok) {
      const fault = frame?.fault ?? { code: 'frame.not-binary', message: 'The server sent text.' }
      this.#lost(new MillraceError(fault.code, fault.message))
      return
    }
    this.#take(frame.value)
  }

  #take(frame: ServerFrame): void {
    if (frame.kind === 'pong') return
    if (frame.kind === 'welcome') {
      this.#attempts = 0
      this.#setState('live')
      this.#options.onLive()
    } else if (frame.kind === 'error' && frame.id === null) {
      const error = new MillraceError(frame.code, frame.message)
      // A wrong token stays wrong, and a protocol that is not understood will not be understood next time.
      if (frame.code === 'auth.required' || frame.code.startsWith('frame.') || frame.code.startsWith('hello.'))
        this.close(error)
      else this.#lost(error)
    } else this.#options.onFrame(frame)
  }

  /** Something came: all is well until the next ping, which must be answered. */
  #beat(): void {
    this.#watch(pingMs, () => {
      this.#ping()
    })
  }

  #ping(): void {
    // Asked even while `send` would refuse: the answer is what shows whether the socket lives.
    if (this.#socket?.readyState === 1) this.#socket.send(encodeFrame({ kind: 'ping' }))
    this.#watch(pongMsMax)
  }

  /** One timer at a time: by default it gives the socket up. */
  #watch(
    ms: number,
    then: () => void = () => this.#lost(new MillraceError('connection.lost', 'The server does not answer.')),
  ): void {
    clearTimeout(this.#watchdog)
    this.#watchdog = setTimeout(then, ms)
  }

  /** The network came or went, or the page woke up: find out at once instead of at the next beat. */
  readonly #probe = (): void => {
    if (this.state === 'live') this.#ping()
    else if (this.state !== 'closed' && this.#socket === null && globalThis.navigator?.onLine !== false) {
      clearTimeout(this.#retry)
      this.#connect()
    }
  }

  #lost(error: MillraceError): void {
    if (this.state === 'closed') return
    this.lastError = error
    this.#drop()
    this.#setState('reconnecting')
    this.#options.onLost(error)
    // Full jitter over a doubling window: many pages do not come back in step after a restart.
    const window = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(this.#attempts, 10))
    this.#attempts += 1
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => this.#connect(), window * (0.25 + 0.75 * Math.random()))
  }

  #drop(): void {
    clearTimeout(this.#watchdog)
    const socket = this.#socket
    this.#socket = null
    socket?.close()
  }

  #setState(state: ConnectionState): void {
    if (this.state === state) return
    this.state = state
    this.#options.onState(state)
  }
}
