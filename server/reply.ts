import type { IncomingMessage, ServerResponse } from 'node:http'
import { NodeError } from '../core/flow/failure.ts'
import type { AnswerHeaders } from '../core/header-text.ts'
import type { HubReply } from '../core/host.ts'
import { jsonText } from '../core/json/json-text.ts'
import { isBytes } from '../core/protocol/frame.ts'
import { HttpError, refuse } from './http-error.ts'
import type { PaceLimits } from './paced-writer.ts'
import { goneError, PacedWriter } from './paced-writer.ts'

export interface ReplyOptions extends PaceLimits {
  readonly firstByteMsMax: number
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

class Reply implements ServerReply {
  answered = false
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #options: ReplyOptions
  readonly #gone = new AbortController()
  readonly #onEnd: (() => void)[] = []
  #format: 'ndjson' | 'sse' | null = null
  #over = false
  readonly #writer: PacedWriter
  readonly #firstByte: NodeJS.Timeout

  constructor(request: IncomingMessage, response: ServerResponse, options: ReplyOptions) {
    this.#request = request
    this.#response = response
    this.#options = options
    this.#firstByte = setTimeout(() => this.#late(), options.firstByteMsMax)
    this.#firstByte.unref()
    this.#writer = new PacedWriter(response, options)
    response.on('close', () => this.#finish())
  }

  get signal(): AbortSignal {
    return this.#gone.signal
  }

  send(status: number, body: unknown, headers: AnswerHeaders = {}): void {
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

  begin(status: number, format: 'ndjson' | 'sse', headers: AnswerHeaders = {}): void {
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
    if (this.#over) throw goneError()
    if (this.#format === null)
      throw new NodeError('reply.not-streaming', 'Nothing can be written before the streamed answer was begun.')
    const piece = Buffer.from(encodePiece(this.#format, value, event))
    await this.#writer.put(piece)
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
    if (!this.#response.writableFinished) this.#gone.abort(goneError())
    for (const callback of this.#onEnd.splice(0)) callback()
  }
}

function encodeBody(body: unknown): { readonly bytes: Buffer; readonly type: string } {
  if (isBytes(body))
    return { bytes: Buffer.from(body.buffer, body.byteOffset, body.byteLength), type: 'application/octet-stream' }
  if (typeof body === 'string') return { bytes: Buffer.from(body), type: 'text/plain; charset=utf-8' }
  return { bytes: Buffer.from(jsonText(body) ?? 'null'), type: 'application/json; charset=utf-8' }
}

function encodePiece(format: 'ndjson' | 'sse', value: unknown, event: string | undefined): string {
  const json = jsonText(value) ?? 'null'
  if (format === 'ndjson') return `${json}\n`
  // JSON has no raw line breaks; an event's name may, and would begin a field of its own.
  return event === undefined ? `data: ${json}\n\n` : `event: ${event.replace(/[\r\n]+/g, ' ')}\ndata: ${json}\n\n`
}

/** Headers of a workflow's making: those that would break the answer's framing are left out, and so are broken ones. */
function clean(headers: AnswerHeaders): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    if (framing.has(lower) || !/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(lower)) continue
    kept[lower] = typeof value === 'string' ? cleanText(value) : value.map(cleanText)
  }
  return kept
}

function cleanText(value: string): string {
  return value.replace(/[^\t\x20-\x7e\x80-\xff]/g, '')
}

const framing = new Set(['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'upgrade', 'trailer'])
