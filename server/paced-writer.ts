import type { ServerResponse } from 'node:http'
import { NodeError } from '../core/flow/failure.ts'

export interface PaceLimits {
  /** How long a reader may take nothing at all before it is cut. */
  readonly stallMsMax: number
  /** What may wait for a slow reader when its writer does not. */
  readonly bufferBytesMax: number
}

/** A large piece leaves in slices, so that a slow but living reader is seen to make progress. */
const sliceBytesMax = 64 * 1024

interface Waiter {
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

/** Writes pieces to a response at the pace of its reader. The response's owner ends it. */
export class PacedWriter {
  readonly #response: ServerResponse
  readonly #limits: PaceLimits
  #waiters: Waiter[] = []
  #stall: NodeJS.Timeout | null = null
  #pending = 0
  #over = false

  constructor(response: ServerResponse, limits: PaceLimits) {
    this.#response = response
    this.#limits = limits
    response.on('drain', () => this.#drained())
    response.on('close', () => this.#closed())
    // A write to a socket that was reset reports here; `close` follows and does the work.
    response.on('error', () => {})
  }

  /** Resolves when the socket took the piece. Rejects with `reply.client-gone`, `reply.ended` or `reply.overrun`. */
  put(piece: Buffer): Promise<void> {
    if (this.#over) return Promise.reject(goneError())
    if (this.#response.writableEnded)
      return Promise.reject(
        new NodeError('reply.ended', 'The streamed answer has ended; nothing can be written to it.'),
      )
    if (this.#pending + piece.byteLength > this.#limits.bufferBytesMax && this.#pending > 0) {
      const text = `More than ${this.#limits.bufferBytesMax} bytes wait for a slow reader; await each write.`
      return Promise.reject(new NodeError('reply.overrun', text))
    }
    let taken = true
    this.#pending += piece.byteLength
    for (let at = 0; at < piece.byteLength; at += sliceBytesMax) {
      const slice = piece.subarray(at, at + sliceBytesMax)
      taken = this.#response.write(slice, () => this.#progressed(slice.byteLength))
    }
    this.#watchStall()
    if (taken) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  #progressed(bytes: number): void {
    this.#pending -= bytes
    if (this.#stall !== null) clearTimeout(this.#stall)
    this.#stall = null
    if (this.#pending > 0 && !this.#over) this.#watchStall()
  }

  #watchStall(): void {
    if (this.#stall !== null) return
    this.#stall = setTimeout(() => this.#response.destroy(), this.#limits.stallMsMax)
    this.#stall.unref()
  }

  #drained(): void {
    for (const waiter of this.#waiters.splice(0)) waiter.resolve()
  }

  #closed(): void {
    this.#over = true
    if (this.#stall !== null) clearTimeout(this.#stall)
    for (const waiter of this.#waiters.splice(0)) waiter.reject(goneError())
  }
}

export function goneError(): NodeError {
  const text = 'The client has gone, or took nothing for too long; nobody reads this answer any more.'
  return new NodeError('reply.client-gone', text)
}
