import { isIP } from 'node:net'
import type { ConnectionOptions as LinkOptions } from '@platformatic/kafka'
import { Connection } from '@platformatic/kafka'
import type { ConnectionOptions } from '../../driver.ts'
import { closed } from '../../kafka-errors.ts'
import { connectionSettings } from '../connection-settings.ts'
import { RecordWire } from './record-wire.ts'

export interface Place {
  readonly host: string
  readonly port: number
}

/** More than any of us has under way to one broker: what may be under way is ours to limit. */
const requestsMax = 1_000

/**
 * Connections to brokers, opened when first used and again after they broke. A broker answers one request of a connection after the other,
 * so what may wait long, like a fetch, has a connection of its own: each use has a name.
 */
export class Links {
  readonly #clientId: string
  readonly #settings: LinkOptions
  readonly #open = new Map<string, Promise<Connection>>()
  readonly #wires = new WeakMap<Connection, RecordWire>()
  #closed = false

  constructor(options: ConnectionOptions) {
    this.#clientId = options.clientId
    this.#settings = { ...connectionSettings(options), maxInflights: requestsMax }
  }

  /** `requestMsMax` counts for the connection, and so for all requests of its use. */
  get(place: Place, use: string, requestMsMax?: number): Promise<Connection> {
    if (this.#closed) return Promise.reject(closed('client'))
    const name = `${place.host}:${place.port}/${use}`
    const open = this.#open.get(name)
    if (open !== undefined) return open
    const opening = this.#connect(place, requestMsMax, () => {
      if (this.#open.get(name) === opening) this.#open.delete(name)
    })
    this.#open.set(name, opening)
    return opening
  }

  /** The same, for requests that carry records. */
  async wire(place: Place, use: string, requestMsMax?: number): Promise<RecordWire> {
    const connection = await this.get(place, use, requestMsMax)
    const known = this.#wires.get(connection)
    if (known !== undefined) return known
    const wire = new RecordWire(connection, this.#clientId)
    this.#wires.set(connection, wire)
    return wire
  }

  /** Cuts all connections to a broker; what is under way there fails. */
  drop({ host, port }: Place): void {
    for (const [name, opening] of this.#open) {
      if (!name.startsWith(`${host}:${port}/`)) continue
      this.#open.delete(name)
      opening.then(
        (connection) => connection.socket.destroy(),
        () => undefined,
      )
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const open = [...this.#open.values()]
    this.#open.clear()
    await Promise.allSettled(open.map(async (each) => (await each).close()))
  }

  async #connect(place: Place, requestMsMax: number | undefined, gone: () => void): Promise<Connection> {
    const { host, port } = place
    const settings = { ...this.#settings, tlsServerName: isIP(host) === 0 ? host : undefined }
    if (requestMsMax !== undefined) settings.requestTimeout = requestMsMax
    const connection = new Connection(this.#clientId, settings)
    // Each request learns of an error by itself.
    connection.on('error', () => undefined)
    connection.once('close', gone)
    try {
      await connection.connect(host, port)
      if (this.#closed) throw closed('client')
      return connection
    } catch (thrown) {
      gone()
      await connection.close().catch(() => undefined)
      throw thrown
    }
  }
}
