import type { Source, TriggerContext } from '../../core/define.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { failureOf } from '../../core/flow/failure.ts'
import type { Message, Meta } from '../../core/flow/message.ts'
import { message } from '../../core/flow/message.ts'
import type { ClientReceiver } from './client.ts'
import { Client, clientsOf } from './client.ts'
import { clientSettings } from './client-config.ts'
import type { ConnectConfig } from './connect-config.ts'
import { Inbox } from './inbox.ts'
import type { Decoder } from './incoming.ts'
import { decoderOf, unreadable } from './incoming.ts'
import { ports } from './server-source.ts'

/** Connects, and makes the connection known to the nodes that write. */
export async function openClient(config: ConnectConfig, context: TriggerContext): Promise<Source> {
  const source = new ClientSource(config, context)
  try {
    await source.client.start()
  } catch (thrown) {
    await source.close()
    throw thrown
  }
  source.knownBy(clientsOf(context).add(context.node, source.client))
  return source
}

/** How often losses are written to the log. */
const noteMs = 1_000

/** What a server sends us, as a source; the connection comes back by itself. */
class ClientSource implements Source, ClientReceiver {
  readonly client: Client
  readonly #config: ConnectConfig
  readonly #context: TriggerContext
  readonly #decode: Decoder
  readonly #inbox: Inbox
  #forget: (() => void) | null = null
  #connections = 0
  #meta: Meta = {}
  #heardAt = 0
  #cancelIdle: (() => void) | null = null
  #lost = 0
  #cancelNote: (() => void) | null = null

  constructor(config: ConnectConfig, context: TriggerContext) {
    this.#config = config
    this.#context = context
    this.#decode = decoderOf(config.decode)
    this.#inbox = new Inbox(context, this)
    this.client = new Client(clientSettings(config, context), context.host, context.node, this)
  }

  knownBy(forget: () => void): void {
    this.#forget = forget
  }

  connected(protocol: string): void {
    this.#connections += 1
    this.#meta = { connection: this.#connections, protocol }
    this.#heardAt = this.#inbox.now
    this.#planIdle()
    this.#push(ports.open, this.#meta, 0)
  }

  brought(data: Buffer, isBinary: boolean): void {
    const { overflow } = this.#config
    if (overflow !== 'pause' && this.#inbox.full && !this.#makesRoom()) return
    this.#heardAt = this.#inbox.now
    try {
      this.#push(ports.message, this.#decode(data, isBinary), data.byteLength)
    } catch (thrown) {
      const failed = { error: failureOf(thrown, this.#context.node), value: unreadable(data, isBinary) }
      this.#push(ports.error, failed, data.byteLength)
    }
    if (overflow === 'pause' && this.#inbox.crowded) this.client.pause()
  }

  disconnected(code: number, reason: string): boolean {
    this.#cancelIdle?.()
    this.#cancelIdle = null
    this.#push(ports.close, { code, reason }, 0)
    if (this.#config.onClose === 'reconnect' || code !== 1_000) return true
    this.#inbox.end()
    return false
  }

  gaveUp(failure: Failure): void {
    this.#context.fail(failure)
  }

  overfull(): void {
    if (this.#config.overflow === 'pause') this.client.pause()
  }

  roomy(): void {
    this.client.resume()
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
    this.client.resume()
  }

  async close(): Promise<void> {
    this.#cancelIdle?.()
    this.#cancelNote?.()
    this.#inbox.close()
    this.#forget?.()
    await this.client.close()
  }

  /** A message is lost, the oldest or the one that has come; whether there is room for that one. */
  #makesRoom(): boolean {
    this.#lost += 1
    this.#cancelNote ??= this.#context.host.clock.after(noteMs, () => {
      const { host, node } = this.#context
      this.#cancelNote = null
      host.log.write('warn', `${node}: ${this.#lost} messages dropped, the flow is behind`, { node })
      this.#lost = 0
    })
    return this.#config.overflow === 'drop-oldest' && this.#inbox.dropOldest(ports.message)
  }

  /** A feed that has gone silent is left for a new connection; one that we do not read is silent by our own doing. */
  #planIdle(): void {
    const { idleMsMax } = this.#config
    if (idleMsMax === 0) return
    this.#cancelIdle = this.#context.host.clock.after(idleMsMax / 4, () => {
      this.#inbox.newTurn()
      const { now, crowded } = this.#inbox
      if (crowded) this.#heardAt = now
      if (now - this.#heardAt >= idleMsMax) this.client.leave()
      else this.#planIdle()
    })
  }

  #push(port: number, value: unknown, bytes: number): void {
    // Connections that come and go while nobody takes anything must not pile up either.
    if (port !== ports.message && this.#inbox.full) return
    this.#inbox.push(port, null, message(value, null, this.#inbox.now, this.#meta), bytes)
  }
}
