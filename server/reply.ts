import type { IncomingMessage, ServerResponse } from 'node:http'
import { NodeError } from '../core/flow/failure.ts'
import type { HubReply } from '../core/host.ts'
import { isBytes } from '../core/protocol/frame.ts'
import { HttpError, refuse } from './http-error.ts'

export interface ReplyOptions {
  readonly firstByteMsMax: number
  readonly stallMsMax: number
  readonly bufferBytesMax: number
  /** Sent with every answer. */
  readonly headers: Readonly<Record<string, string>>
}

/** A reply and what its server needs beside it. */
export interface ServerReply extends HubReply {
  /** Aborted when the client went away before the answer was complete. */
  readonly signal: AbortSignal
  /** Answers with an error, unless an answer has begun; then the connection is cut, which a client can tell from an end. */
  refuse(error: HttpError): void
}

/** Wraps a response. Every piece leaves at once; what the socket does not take is felt by `write`. */
export function createReply(request: IncomingMessage, response: ServerResponse, options: ReplyOptions): ServerReply {
  return new Reply(request, response, options)
}

/** A large value leaves in slices, so that a slow but living reader is seen to make progress. */
const sliceBytesMax = 64 * 1024

interface Waiter {
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

class Reply implements ServerReply {
  answered = false
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #options: ReplyOptions
  readonly #gone = new AbortController()
  readonly #onEnd: (() => void)[] = []
  #format: 'ndjson' | 'sse' | null = null
  #over = false
  #waiters: Waiter[] = []
  #stall: NodeJS.Timeout | null = null
  #pending = 0
  readonly #firstByte: NodeJS.Timeout

  constructor(request: IncomingMessage, response: ServerResponse, options: ReplyOptions) {
    this.#request = request
    this.#response = response
    this.#options = options
    this.#firstByte = setTimeout(() => this.#late(), options.firstByteMsMax)
    this.#firstByte.unref()
    response.on('drain', () => this.#drained())
    response.on('close', () => this.#finish())
    // A write to a socket that was reset reports here; `close` follows and does the work.
    response.on('error', () => {})
  }

  get signal(): AbortSignal {
    return this.#gone.signal
  }

  send(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): void {
    if (this.#over) return
    if (this.answered)
      throw new NodeError('reply.answered', 'This request was answered already; an answer is sent once.')
    const { bytes, type } = encodeBody(body)
    this.#begin()
    const bare = status === 204 || status === 304
    this.#response.writeHead(status, {
      ...(bare ? {} : { 'content-type': type, 'content-length': bytes.byteLength }),
      ...this.#options.headers,
      ...clean(headers),
    })
    this.#response.end(bare || this.#request.method === 'HEAD' ? undefined : bytes)
  }

  begin(status: number, format: 'ndjson' | 'sse', headers: Readonly<Record<string, string>> = {}): void {
    if (this.#over) return
    if (this.answered)
      throw new NodeError('reply.answered', 'This request was answered already; a stream cannot begin after that.')
    this.#begin()
    this.#format = format
    this.#response.writeHead(status, {
      'content-type': format === 'sse' ? 'text/event-stream; charset=utf-8' : 'application/x-ndjson; charset=utf-8',
      'cache-control': 'no-store',
      // Asks proxies not to hold pieces back.
      'x-accel-buffering': 'no',
      ...this.#options.headers,
      ...clean(headers),
    })
    this.#response.flushHeaders()
  }

  async write(value: unknown, event?: string): Promise<void> {
    if (this.#over) throw this.#goneError()
    if (this.#format === null)
      throw new NodeError('reply.not-streaming', 'Nothing can be written before the streamed answer was begun.')
    const piece = Buffer.from(encodePiece(this.#format, value, event))
    await this.#put(piece)
  }

  end(): void {
    if (this.#over || this.#format === null || this.#response.writableEnded) return
    this.#response.end()
  }

  onEnd(callback: () => void): void {
    if (this.#over) callback()
    else this.#onEnd.push(callback)
  }

  refuse(error: HttpError): void {
    if (this.#over) return
    if (this.answered) {
      this.#response.destroy()
      return
    }
    this.#begin()
    refuse(this.#request, this.#response, error)
  }

  #begin(): void {
    this.answered = true
    clearTimeout(this.#firstByte)
  }

  #put(piece: Buffer): Promise<void> {
    if (this.#response.writableEnded)
      return Promise.reject(
        new NodeError('reply.ended', 'The streamed answer has ended; nothing can be written to it.'),
      )
    if (this.#pending + piece.byteLength > this.#options.bufferBytesMax && this.#pending > 0) {
      const text = `More than ${this.#options.bufferBytesMax} bytes wait for a slow reader; await each write.`
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
    this.#stall = setTimeout(() => this.#response.destroy(), this.#options.stallMsMax)
    this.#stall.unref()
  }

  #drained(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter.resolve()
  }

  #late(): void {
    const seconds = Math.round(this.#options.firstByteMsMax / 1000)
    this.refuse(
      new HttpError(
        504,
        'reply.late',
        `The workflow did not answer within ${seconds} seconds.`,
        'Answer earlier, or stream the answer.',
      ),
    )
  }

  /** The answer is over: sent whole, cut, or the client has gone. */
  #finish(): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#firstByte)
    if (this.#stall !== null) clearTimeout(this.#stall)
    const waiters = this.#waiters
    this.#waiters = []
    const error = this.#goneError()
    if (!this.#response.writableFinished) this.#gone.abort(error)
    for (const waiter of waiters) waiter.reject(error)
    for (const callback of this.#onEnd.splice(0)) callback()
  }

  #goneError(): NodeError {
    return new NodeError(
      'reply.client-gone',
      'The client has gone, or took nothing for too long; nobody reads this answer any more.',
    )
  }
}

function encodeBody(body: unknown): { readonly bytes: Buffer; readonly type: string } {
  if (isBytes(body))
    return { bytes: Buffer.from(body.buffer, body.byteOffset, body.byteLength), type: 'application/octet-stream' }
  if (typeof body === 'string') return { bytes: Buffer.from(body), type: 'text/plain; charset=utf-8' }
  return { bytes: Buffer.from(toJson(body)), type: 'application/json; charset=utf-8' }
}

function encodePiece(format: 'ndjson' | 'sse', value: unknown, event: string | undefined): string {
  const json = toJson(value)
  if (format === 'ndjson') return `${json}\n`
  // JSON has no raw line breaks; an event's name may, and would begin a field of its own.
  return event === undefined ? `data: ${json}\n\n` : `event: ${event.replace(/[\r\n]+/g, ' ')}\ndata: ${json}\n\n`
}

/** JSON in which bytes are base64 text, in place. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value, function (this: unknown, key, inner: unknown) {
    // `inner` has gone through toJSON, which a Buffer has; the object itself still holds the bytes.
    const raw: unknown = typeof this === 'object' && this !== null ? Reflect.get(this, key) : inner
    return isBytes(raw) ? Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('base64') : inner
  })
  return text ?? 'null'
}

/** Headers of a workflow's making: those that would break the answer's framing are left out, and so are broken ones. */
function clean(headers: Readonly<Record<string, string>>): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (framing.has(lower) || !/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(lower)) continue
    kept[lower] = String(value).replace(/[^\t\x20-\x7e\x80-\xff]/g, '')
  }
  return kept
}

const framing = new Set(['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade', 'trailer'])
