import type { Outgoing } from './outgoing.ts'

/**
 * The door to what speaks WebSocket on the wire. A transport listens, asks before each upgrade, and tells what its sockets receive;
 * everything else (limits, rooms, slow readers, credit) stands on this side, once for all transports.
 */
export interface Transport {
  /** Whether its sockets can be kept from reading; where they cannot, the config's `overflow` says what becomes of a flood. */
  readonly pausable: boolean
  /** Listens. Rejects with a NodeError that says what to do when it cannot. */
  listen(options: ListenOptions, door: Door): Promise<Listener>
}

export interface ListenOptions {
  readonly host: string
  /** 0 takes any free port. */
  readonly port: number
  /** Other threads or processes may listen on the same port; the system shares connections among them. */
  readonly reusePort: boolean
  /** Paths of PEM files. `ca`: clients must show a certificate that it signed. */
  readonly tls: { readonly cert: string; readonly key: string; readonly ca: string | null } | null
  readonly sockets: SocketOptions
  /** For request line and headers to arrive. */
  readonly headMsMax: number
  /** Connections that have not asked for their upgrade yet, from one address. */
  readonly handshakesPerAddressMax: number
  readonly connectionsMax: number
}

/** What holds for the sockets wherever their port is. */
export interface SocketOptions {
  /** Subprotocols that the server speaks, in the order of preference. */
  readonly protocols: readonly string[]
  /** A longer message closes its connection with 1009. */
  readonly messageBytesMax: number
  /** How long a peer may take to answer a close. */
  readonly closeMsMax: number
}

/** A port that is open. */
export interface Listener {
  readonly port: number
  /** Takes no more connections; those that are open stay. */
  close(): Promise<void>
}

/** Whoever decides about connections and takes what they bring. */
export interface Door {
  /** Decides before the upgrade. The answer is the receiver of that connection, which nothing has been promised yet, or a refusal. */
  admit(request: UpgradeRequest): Receiver | Refusal
}

/** A request to become a WebSocket, before anybody has agreed. */
export interface UpgradeRequest {
  readonly path: string
  /** What stands behind `?`, undecoded. */
  readonly query: string
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly address: string
  /** Where somebody else has matched the path already. */
  readonly params: Readonly<Record<string, string>> | null
}

/** An HTTP answer in place of an upgrade. */
export class Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    this.status = status
    this.code = code
    this.message = message
    this.headers = headers
  }

  /** What the client reads. */
  get body(): string {
    return JSON.stringify({ error: { code: this.code, message: this.message } })
  }
}

/** Takes what one socket brings. Its methods are called by functions that all sockets of a transport share. */
export interface Receiver {
  /** The upgrade is done. Called once, before anything else. */
  opened(link: Link, protocol: string): void
  /** A whole message. The bytes are lent until it returns. */
  received(data: Buffer, isBinary: boolean): void
  /** The peer has answered a ping. */
  ponged(): void
  /** What the link held has gone out. */
  drained(): void
  /** Called once, last. 1006 where no close frame came. */
  closed(code: number, reason: string): void
}

/** One open socket. */
export interface Link {
  /** It holds much for a peer that does not read: better wait for `drained`. */
  readonly full: boolean
  /** Bytes that it holds for the peer. */
  readonly bufferedBytes: number
  write(outgoing: Outgoing): void
  /** What is written between the two goes out in one piece. */
  cork(): void
  uncork(): void
  ping(): void
  /** Reads no more; only where the transport is pausable. What has been read already may still come. */
  pause(): void
  resume(): void
  /** Says goodbye, and cuts a peer that does not answer in time. */
  close(code: number, reason: string): void
  /** Cuts without a word. */
  terminate(): void
}
