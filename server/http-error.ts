import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'

/** An answer that is not a success: what, and what to do. Thrown inside the server, written as `{ error: { code, message, remedy } }`. */
export class HttpError extends Error {
  readonly status: number
  readonly code: string
  readonly remedy: string | null
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    code: string,
    text: string,
    remedy: string | null = null,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(text)
    this.name = 'HttpError'
    this.status = status
    this.code = code
    this.remedy = remedy
    this.headers = headers
  }
}

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly remedy?: string }
}

export function errorBody(code: string, message: string, remedy: string | null): ErrorBody {
  return { error: remedy === null ? { code, message } : { code, message, remedy } }
}

/** Bytes of a refused body that are still read, so that the client gets to see the answer instead of a reset. */
const lingerBytesMax = 1024 * 1024
const lingerMsMax = 2_000

/**
 * Answers with an error, whole. A body that is still on its way is read on for a moment and then cut,
 * since closing at once would make many clients lose the answer.
 */
export function refuse(request: IncomingMessage, response: ServerResponse, error: HttpError): void {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  const body = JSON.stringify(errorBody(error.code, error.message, error.remedy))
  const unread = !request.complete
  response.writeHead(error.status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...error.headers,
    ...(unread ? { connection: 'close' } : {}),
  })
  response.end(request.method === 'HEAD' ? undefined : body)
  if (unread) linger(request)
}

/** What has no response object, an upgrade or a request that could not be read, gets an ordinary HTTP answer all the same. */
export function refuseSocket(socket: Duplex, error: HttpError): void {
  const body = JSON.stringify(errorBody(error.code, error.message, error.remedy))
  const head = [
    `HTTP/1.1 ${error.status} Refused`,
    'connection: close',
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(body)}`,
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}

function linger(request: IncomingMessage): void {
  let left = lingerBytesMax
  const cut = (): void => {
    clearTimeout(timer)
    request.socket.destroySoon()
  }
  const timer = setTimeout(cut, lingerMsMax)
  timer.unref()
  request.on('data', (chunk: Buffer) => {
    left -= chunk.byteLength
    if (left <= 0) cut()
  })
  request.once('end', () => clearTimeout(timer))
  request.once('error', () => clearTimeout(timer))
  request.once('close', () => clearTimeout(timer))
  request.resume()
}
