import type { NodeContext } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Connection } from './connection.ts'
import { Participants } from './participants.ts'

export interface ConnectionsLimits {
  readonly connectionsMax: number
  readonly connectionsPerAddressMax: number
  readonly roomsPerConnectionMax: number
}

export const roomNameCharactersMax = 200

/** The open connections of one server: by id, by room, by address. What the nodes that send, sort into rooms and close find each other by. */
export class Connections {
  /** Bytes that wait for slow readers, of all connections together. */
  waitingBytes = 0
  /** Writes of nodes that send, by number; see `Connection.lastWrite`. */
  writes = 0
  readonly #limits: ConnectionsLimits
  readonly #byId = new Map<string, Connection>()
  readonly #rooms = new Map<string, Set<Connection>>()
  readonly #addresses = new Map<string, number>()

  constructor(limits: ConnectionsLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#byId.size
  }

  get full(): boolean {
    return this.#byId.size >= this.#limits.connectionsMax
  }

  /** Whether one address has as many as it may have. */
  fullFor(address: string): boolean {
    return (this.#addresses.get(address) ?? 0) >= this.#limits.connectionsPerAddressMax
  }

  all(): IterableIterator<Connection> {
    return this.#byId.values()
  }

  get(id: string): Connection | undefined {
    return this.#byId.get(id)
  }

  /** The members of a room; undefined where nobody is in it. */
  room(name: string): ReadonlySet<Connection> | undefined {
    return this.#rooms.get(name)
  }

  add(connection: Connection): void {
    this.#byId.set(connection.id, connection)
    const { address } = connection
    this.#addresses.set(address, (this.#addresses.get(address) ?? 0) + 1)
  }

  remove(connection: Connection): void {
    if (!this.#byId.delete(connection.id)) return
    for (const room of connection.rooms ?? []) this.#leave(connection, room)
    connection.rooms = null
    const left = (this.#addresses.get(connection.address) ?? 1) - 1
    if (left === 0) this.#addresses.delete(connection.address)
    else this.#addresses.set(connection.address, left)
  }

  /** Puts a connection into a room, which is made with its first member. Throws a NodeError when it is in too many. */
  join(connection: Connection, name: string): void {
    if (this.#byId.get(connection.id) !== connection || connection.rooms?.has(name) === true) return
    const { roomsPerConnectionMax } = this.#limits
    if (connection.rooms !== null && connection.rooms.size >= roomsPerConnectionMax)
      throw new NodeError(
        'websocket.too-many-rooms',
        `connection ${connection.id} is in ${roomsPerConnectionMax} rooms already; leave one, or raise roomsPerConnectionMax`,
      )
    connection.rooms ??= new Set()
    connection.rooms.add(name)
    const members = this.#rooms.get(name)
    if (members === undefined) this.#rooms.set(name, new Set([connection]))
    else members.add(connection)
  }

  leave(connection: Connection, name: string): void {
    if (connection.rooms?.delete(name) === true) this.#leave(connection, name)
  }

  #leave(connection: Connection, name: string): void {
    const members = this.#rooms.get(name)
    members?.delete(connection)
    if (members?.size === 0) this.#rooms.delete(name)
  }
}

/** The servers of a node's workflow. */
export function serversOf(context: Pick<NodeContext, 'shared'>): Participants<Connections> {
  return context.shared('websocket servers', () => new Participants<Connections>('websocket.serve', 'server'))
}
