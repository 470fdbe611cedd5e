import type { Source, TriggerContext } from '../../core/define.ts'
import { failureOf } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import { message } from '../../core/flow/message.ts'
import type { Admitted } from './admission.ts'
import type { ConnectionOwner, ConnectionRules } from './connection.ts'
import { Connection, closeCodes } from './connection.ts'
import { Connections } from './connections.ts'
import { Inbox } from './inbox.ts'
import type { Decoder } from './incoming.ts'
import { unreadable } from './incoming.ts'
import type { ServeConfig } from './serve-config.ts'
import type { Door, Receiver, UpgradeRequest } from './transport.ts'
import { Refusal } from './transport.ts'

/** The output ports of the nodes that read sockets, by index. */
export const ports = { open: 0, message: 1, close: 2, error: 3 } as const
export const portNames = Object.keys(ports)

/** What a server is made of besides its config. */
export interface ServerParts {
  readonly admission: (request: UpgradeRequest) => Admitted | Refusal
  readonly decode: Decoder
  readonly pausable: boolean
}

/** Connections are looked after in so many turns of a heartbeat, so that not all are asked at once. */
const beatParts = 8

/** A WebSocket server as a source: lets connections in, reads them as far as there is credit, and gives what they bring to the flow. */
export class ServerSource implements Source, Door, ConnectionOwner {
  readonly connections: Connections
  readonly rules: ConnectionRules
  readonly pausable: boolean
  readonly #config: ServeConfig
  readonly #context: TriggerContext
  readonly #admission: ServerParts['admission']
  readonly #decode: Decoder
  readonly #inbox: Inbox
  readonly #begin: number
  /** Connections that are not read because there is no room for what they bring. */
  readonly #held = new Set<Connection>()
  /** Connections that have sent too much. */
  readonly #flooded = new Set<Connection>()
  #part = 0
  #beatPart = 0
  #cancelBeat: (() => void) | null = null
  #cancelCalm: (() => void) | null = null
  #cancelNote: (() => void) | null = null
  readonly #losses = new Map<string, number>()
  #closeListener: (() => Promise<void>) | null = null
  #forget: (() => void) | null = null
  #closing = false
  #emptied: (() => void) | null = null

  constructor(config: ServeConfig, parts: ServerParts, context: TriggerContext) {
    this.#config = config
    this.#context = context
    this.#admission = parts.admission
    this.#decode = parts.decode
    this.pausable = parts.pausable
    this.connections = new Connections(config)
    this.rules = {
      ...config,
      messagesPerSecondMax: config.messagesPerSecondMax === 0 ? Number.POSITIVE_INFINITY : config.messagesPerSecondMax,
      bytesPerSecondMax: config.bytesPerSecondMax === 0 ? Number.POSITIVE_INFINITY : config.bytesPerSecondMax,
    }
    this.#inbox = new Inbox(context, this)
    this.#begin = this.#inbox.now
    this.#planBeat()
  }

  /** What stops the listening. */
  listensBy(closeListener: () => Promise<void>): void {
    this.#closeListener = closeListener
  }

  /** What makes it unknown to those that send. */
  knownBy(forget: () => void): void {
    this.#forget = forget
  }

  get second(): number {
    return Math.floor((this.#inbox.now - this.#begin) / 1_000)
  }

  admit(request: UpgradeRequest): Receiver | Refusal {
    if (this.#closing) return busy('The server is stopping.')
    const admitted = this.#admission(request)
    if (admitted instanceof Refusal) return admitted
    if (this.connections.full) return busy(`${this.#config.connectionsMax} connections are open.`)
    if (this.connections.fullFor(request.address))
      return new Refusal(429, 'websocket.too-many-connections', 'Too many connections from one address.', {
        'retry-after': '10',
      })
    return this.#admitted(request, admitted)
  }

  #admitted(request: UpgradeRequest, { path, params, query, headers }: Admitted): Connection {
    const id = this.#context.host.id()
    const { address } = request
    // The headers are told once, with `open`, and not kept.
    const opening = { connection: id, path, params, query, protocol: '', address, headers }
    this.#beatPart = (this.#beatPart + 1) % beatParts
    return new Connection(id, address, opening, this.#beatPart, this)
  }

  connected(connection: Connection, protocol: string): void {
    const opening = { ...connection.meta, protocol }
    const { connection: id, path, params, query, address } = connection.meta
    connection.meta = { connection: id, path, params, query, protocol, address }
    this.connections.add(connection)
    this.#push(ports.open, connection, message(opening, connection.id, this.#inbox.now, connection.meta), 0)
    if (this.#inbox.crowded) this.#hold(connection)
  }

  brought(connection: Connection, data: Buffer, isBinary: boolean): void {
    if (!this.pausable && this.#inbox.full) return this.#refuse(connection)
    const { now } = this.#inbox
    const { id, meta } = connection
    try {
      const value = this.#decode(data, isBinary)
      this.#push(ports.message, connection, message(value, id, now, meta), data.byteLength)
    } catch (thrown) {
      const failed = { error: failureOf(thrown, this.#context.node), value: unreadable(data, isBinary) }
      this.#push(ports.error, connection, message(failed, id, now, meta), data.byteLength)
    }
    if (this.#inbox.crowded) this.#hold(connection)
  }

  flooded(connection: Connection): void {
    if (this.rules.onFlood === 'close' || !this.pausable) connection.expel(closeCodes.policy, 'too many messages')
    else if (!this.#flooded.has(connection)) {
      connection.pause('flood')
      this.#flooded.add(connection)
      this.#cancelCalm ??= this.#context.host.clock.after(calmMs, () => this.#calm())
    }
  }

  disconnected(connection: Connection, code: number, reason: string): void {
    this.#held.delete(connection)
    this.#flooded.delete(connection)
    if (this.connections.size === 0) this.#emptied?.()
    if (this.#closing) return
    const closing = message({ code, reason }, connection.id, this.#inbox.now, connection.meta)
    this.#push(ports.close, connection, closing, 0, true)
  }

  tooSlow(dropped: number | 'closed'): void {
    if (dropped === 'closed') this.#note('slow readers closed')
    else this.#note('messages dropped for slow readers', dropped)
  }

  overfull(): void {
    for (const connection of this.connections.all()) this.#hold(connection)
  }

  roomy(): void {
    const held = [...this.#held]
    this.#held.clear()
    for (const connection of held) connection.resume('gate')
  }

  closed(ticket: number): void {
    this.#inbox.closed(ticket)
  }

  again(ticket: number): readonly Message[] | null {
    return this.#inbox.again(ticket)
  }

  pause(): void {
    this.#inbox.pause()
  }

  resume(): void {
    this.#inbox.resume()
    this.roomy()
  }

  async close(): Promise<void> {
    this.#closing = true
    this.#cancelBeat?.()
    this.#cancelCalm?.()
    this.#cancelNote?.()
    this.#inbox.close()
    await this.#closeListener?.()
    this.#forget?.()
    const emptied = new Promise<void>((resolve) => {
      this.#emptied = resolve
    })
    for (const connection of [...this.connections.all()])
      connection.close(closeCodes.goingAway, 'the server is stopping')
    if (this.connections.size === 0) return
    const cancel = this.#context.host.clock.after(this.#config.closeMsMax, () => {
      for (const connection of [...this.connections.all()]) connection.terminate()
    })
    await emptied
    cancel()
  }

  #push(port: number, connection: Connection, each: Message, bytes: number, last = false): void {
    this.#inbox.push(port, this.#config.scope === 'connection' ? connection : null, each, bytes, last)
  }

  /** Nothing more is wanted from this one for now. */
  #hold(connection: Connection): void {
    if (!this.pausable || this.#held.has(connection)) return
    this.#held.add(connection)
    connection.pause('gate')
  }

  /** There is no room for what it has brought, and it could not be kept from bringing it. */
  #refuse(connection: Connection): void {
    this.#inbox.newTurn()
    if (this.#config.overflow === 'close') connection.expel(closeCodes.tryAgainLater, 'too much at once')
    this.#note('messages for which there was no room')
  }

  /** Counts what is lost, and says so now and then: once for each would be a flood of its own. */
  #note(what: string, count = 1): void {
    const { host, node } = this.#context
    this.#losses.set(what, (this.#losses.get(what) ?? 0) + count)
    this.#cancelNote ??= host.clock.after(noteMs, () => {
      this.#cancelNote = null
      for (const [each, total] of this.#losses) host.log.write('warn', `${node}: ${total} ${each}`, { node })
      this.#losses.clear()
    })
  }

  #calm(): void {
    this.#cancelCalm = null
    this.#inbox.newTurn()
    for (const connection of [...this.#flooded]) {
      if (!connection.calm()) continue
      this.#flooded.delete(connection)
      connection.resume('flood')
    }
    if (this.#flooded.size > 0) this.#cancelCalm = this.#context.host.clock.after(calmMs, () => this.#calm())
  }

  #planBeat(): void {
    const { heartbeatMs } = this.#config
    if (heartbeatMs === 0) return
    this.#cancelBeat = this.#context.host.clock.after(heartbeatMs / beatParts, () => {
      this.#part = (this.#part + 1) % beatParts
      for (const connection of this.connections.all()) if (connection.beatPart === this.#part) connection.beat()
      this.#planBeat()
    })
  }
}

/** How often it is looked whether those who sent too much may be read again. */
const calmMs = 250
/** How often losses are written to the log. */
const noteMs = 1_000

function busy(text: string): Refusal {
  return new Refusal(503, 'websocket.busy', text, { 'retry-after': '5' })
}
