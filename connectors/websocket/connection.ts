import type { Failure } from '../../core/flow/failure.ts'
import type { Meta } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'
import type { ScopeHolder } from './inbox.ts'
import type { Outgoing } from './outgoing.ts'
import type { Link, Receiver } from './transport.ts'

export interface ConnectionRules {
  /** Infinity where there is no limit. */
  readonly messagesPerSecondMax: number
  readonly bytesPerSecondMax: number
  readonly onFlood: 'pause' | 'close'
  /** What may wait for one slow reader. */
  readonly bufferedBytesMax: number
  /** What may wait for all slow readers together. */
  readonly bufferedTotalBytesMax: number
  readonly onSlow: 'drop-oldest' | 'drop-newest' | 'close'
}

/** The server that a connection belongs to. */
export interface ConnectionOwner {
  readonly rules: ConnectionRules
  /** Where it is found while it is open, and where all that waits for slow readers is added up. */
  readonly connections: { waitingBytes: number; remove(connection: Connection): void }
  /** Whether its sockets can be kept from reading. */
  readonly pausable: boolean
  /** Whole seconds since some fixed point, read once per turn. */
  readonly second: number
  connected(connection: Connection, protocol: string): void
  brought(connection: Connection, data: Buffer, isBinary: boolean): void
  /** It sends more than it may; it is not read until `calm`. */
  flooded(connection: Connection): void
  /** It did not read in time: so many messages were dropped, or it is closed. */
  tooSlow(dropped: number | 'closed'): void
  disconnected(connection: Connection, code: number, reason: string): void
}

/** Why a connection is not read. */
export const pauseCauses = { gate: 1, flood: 2 } as const
export type PauseCause = keyof typeof pauseCauses

/** Close codes of RFC 6455 §7.4.1 and of its registry. */
export const closeCodes = { goingAway: 1001, policy: 1008, failed: 1011, tryAgainLater: 1013 } as const

/** One client of a server: what it may send, what waits for it, where it belongs. It must stay small: there are tens of thousands. */
export class Connection implements Receiver, ScopeHolder {
  readonly id: string
  readonly address: string
  /** Which turn of a heartbeat asks after it. */
  readonly beatPart: number
  /** Shared by all of its messages. */
  meta: Meta
  scope: Scope | null = null
  executionOver = false
  /** Made when it joins one. */
  rooms: Set<string> | null = null
  /** The last write that had something for it; see `websocket.send`. */
  lastWrite = 0
  corked = false
  readonly #owner: ConnectionOwner
  #link: Link | null = null
  #closing = false
  #alive = true
  #pauses = 0
  #second = 0
  #messages = 0
  #bytes = 0
  #waiting: Waiting | null = null
  #goodbye: { readonly code: number; readonly reason: string } | null = null

  constructor(id: string, address: string, meta: Meta, beatPart: number, owner: ConnectionOwner) {
    this.id = id
    this.address = address
    this.meta = meta
    this.beatPart = beatPart
    this.#owner = owner
  }

  get open(): boolean {
    return this.#link !== null && !this.#closing
  }

  opened(link: Link, protocol: string): void {
    this.#link = link
    this.#second = this.#owner.second
    this.#owner.connected(this, protocol)
  }

  received(data: Buffer, isBinary: boolean): void {
    this.#alive = true
    if (this.#closing) return
    if (this.#countsAsFlood(data.byteLength)) this.#owner.flooded(this)
    this.#owner.brought(this, data, isBinary)
  }

  ponged(): void {
    this.#alive = true
  }

  drained(): void {
    this.#alive = true
    const waiting = this.#waiting
    const link = this.#link
    if (link === null) return
    while (waiting !== null && waiting.count > 0 && !link.full) this.#writeNext(waiting, link)
    if (waiting !== null && waiting.count > 0) return
    this.#waiting = null
    if (this.#goodbye !== null) this.#sayGoodbye(this.#goodbye.code, this.#goodbye.reason)
  }

  closed(code: number, reason: string): void {
    this.#closing = true
    this.#link = null
    this.#forgetWaiting()
    this.#owner.connections.remove(this)
    this.#owner.disconnected(this, code, reason)
  }

  scopeEnded(failure: Failure | null): void {
    this.executionOver = true
    if (failure === null || failure.code === 'execution.stopped' || failure.code === 'execution.killed')
      this.close(closeCodes.goingAway, 'the execution has ended')
    else this.close(closeCodes.failed, 'the execution has failed')
  }

  /** Sends a message, or does with it what the policy for slow readers says; false when the connection is closed or closing. */
  send(outgoing: Outgoing): boolean {
    const link = this.#link
    if (link === null || this.#closing) return false
    if (this.#waiting === null && !this.#isFull(link)) link.write(outgoing)
    else this.#wait(outgoing, link)
    return true
  }

  /** What is sent from here on until `uncork` goes out in one piece. */
  cork(): void {
    this.corked = true
    this.#link?.cork()
  }

  uncork(): void {
    if (!this.corked) return
    this.corked = false
    this.#link?.uncork()
  }

  /** Says goodbye behind what still waits to be sent. */
  close(code: number, reason: string): void {
    if (this.#closing || this.#link === null) return
    this.#closing = true
    // The peer's answer must be read, whatever we had against reading.
    if (this.#pauses !== 0) this.#link.resume()
    this.#pauses = 0
    if (this.#waiting === null) this.#sayGoodbye(code, reason)
    else this.#goodbye = { code, reason }
  }

  /** Says goodbye at once and reads no more: to one who does not keep to the rules. The transport cuts it in a moment. */
  expel(code: number, reason: string): void {
    if (this.#closing) return
    this.#closing = true
    this.#forgetWaiting()
    if (this.#owner.pausable) this.#link?.pause()
    this.#link?.close(code, reason)
  }

  terminate(): void {
    this.#link?.terminate()
  }

  /** Called at each beat: asks whether the peer is there, and cuts it when it has not answered since the last beat. */
  beat(): void {
    // Whoever is not read cannot be heard.
    if (this.#pauses !== 0) this.#alive = true
    else if (!this.#alive) this.terminate()
    else {
      this.#alive = false
      this.#link?.ping()
    }
  }

  pause(cause: PauseCause): void {
    if (this.#closing) return
    if (this.#pauses === 0) this.#link?.pause()
    this.#pauses |= pauseCauses[cause]
  }

  resume(cause: PauseCause): void {
    if ((this.#pauses & pauseCauses[cause]) === 0) return
    this.#pauses &= ~pauseCauses[cause]
    if (this.#pauses === 0) this.#link?.resume()
  }

  /** Whether what it sent too much has been made up for by waiting. */
  calm(): boolean {
    this.#forgive()
    const { messagesPerSecondMax, bytesPerSecondMax } = this.#owner.rules
    return this.#messages < messagesPerSecondMax && this.#bytes < bytesPerSecondMax
  }

  /** Counts a message; each second that passes takes back as much as a second allows, so what was too much is owed. */
  #countsAsFlood(bytes: number): boolean {
    const { messagesPerSecondMax, bytesPerSecondMax } = this.#owner.rules
    if (this.#owner.second !== this.#second) this.#forgive()
    this.#messages += 1
    this.#bytes += bytes
    return this.#messages > messagesPerSecondMax || this.#bytes > bytesPerSecondMax
  }

  #forgive(): void {
    const { rules, second } = this.#owner
    const passed = second - this.#second
    if (passed <= 0) return
    this.#second = second
    this.#messages = Math.max(0, this.#messages - passed * rules.messagesPerSecondMax)
    this.#bytes = Math.max(0, this.#bytes - passed * rules.bytesPerSecondMax)
  }

  /** A corked socket looks full when it only has not been let: so it is let first. */
  #isFull(link: Link): boolean {
    if (!link.full) return false
    if (!this.corked) return true
    this.uncork()
    return link.full
  }

  #wait(outgoing: Outgoing, link: Link): void {
    const { rules, connections } = this.#owner
    const waiting = this.#waiting ?? new Waiting()
    this.#waiting = waiting
    const fits = (): boolean =>
      waiting.bytes + link.bufferedBytes + outgoing.bytes <= rules.bufferedBytesMax &&
      connections.waitingBytes + outgoing.bytes <= rules.bufferedTotalBytesMax
    if (!fits()) {
      if (rules.onSlow === 'close') {
        this.#owner.tooSlow('closed')
        return this.expel(closeCodes.tryAgainLater, 'this reader is too slow')
      }
      let dropped = 0
      if (rules.onSlow === 'drop-oldest')
        for (; waiting.count > 0 && !fits(); dropped++) connections.waitingBytes -= waiting.shift()?.bytes ?? 0
      const room = fits()
      this.#owner.tooSlow(room ? dropped : dropped + 1)
      if (!room) return
    }
    waiting.push(outgoing)
    connections.waitingBytes += outgoing.bytes
  }

  #writeNext(waiting: Waiting, link: Link): void {
    const next = waiting.shift()
    if (next === undefined) return
    this.#owner.connections.waitingBytes -= next.bytes
    link.write(next)
  }

  #forgetWaiting(): void {
    if (this.#waiting !== null) this.#owner.connections.waitingBytes -= this.#waiting.bytes
    this.#waiting = null
    this.#goodbye = null
  }

  #sayGoodbye(code: number, reason: string): void {
    this.#goodbye = null
    this.#link?.close(code, reason)
  }
}

/** Frames that wait for a slow reader. */
class Waiting {
  bytes = 0
  #frames: Outgoing[] = []
  #first = 0

  get count(): number {
    return this.#frames.length - this.#first
  }

  push(outgoing: Outgoing): void {
    this.#frames.push(outgoing)
    this.bytes += outgoing.bytes
  }

  shift(): Outgoing | undefined {
    const next = this.#frames[this.#first]
    if (next === undefined) return undefined
    this.#first += 1
    this.bytes -= next.bytes
    if (this.#first > 64 && this.#first * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#first)
      this.#first = 0
    }
    return next
  }
}
