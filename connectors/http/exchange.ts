import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Agent, request as requestPlain } from 'node:http'
import { request as requestSecure, Agent as SecureAgent } from 'node:https'
import type { Transform } from 'node:stream'
import type { Zlib } from 'node:zlib'
import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw, createZstdDecompress } from 'node:zlib'
import { NodeError } from '../../core/flow/failure.ts'
import { guardedLookup, refuseForbidden } from './forbidden-addresses.ts'
import { place } from './place.ts'

export interface HttpRequest {
  readonly method: string
  readonly url: URL
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | null
}

export interface HttpResponse {
  readonly status: number
  /** Names in lower case. Values of repeated ones are joined by a comma; only `set-cookie`, which may hold commas, is a list (RFC 9110, 5.3). */
  readonly headers: Readonly<IncomingHttpHeaders>
  /** Unpacked. */
  readonly body: Uint8Array
}

export interface HttpLimits {
  readonly signal: AbortSignal
  readonly responseBytesMax: number
}

/** Keeps connections open between requests; at most so many to one host. */
export class HttpClient {
  readonly #plain: Agent
  readonly #secure: SecureAgent

  constructor(connectionsMax: number) {
    const options = { keepAlive: true, maxSockets: connectionsMax, maxFreeSockets: connectionsMax, timeout: idleMsMax }
    this.#plain = new Agent(options)
    this.#secure = new SecureAgent(options)
  }

  close(): void {
    this.#plain.destroy()
    this.#secure.destroy()
  }

  /** One request and its whole answer; redirects are answers. Throws a NodeError `http.…`, or the signal's reason. */
  async exchange(asked: HttpRequest, limits: HttpLimits): Promise<HttpResponse> {
    refuseForbidden(asked.url)
    for (let attempt = 0; ; attempt++) {
      const sent = this.#send(asked, limits.signal)
      try {
        return await read(await answerOf(sent), asked, limits)
      } catch (thrown) {
        sent.on('error', () => undefined)
        sent.destroy()
        if (limits.signal.aborted) throw limits.signal.reason
        // The server may have closed an idle connection while the request was on its way to it.
        if (sent.reusedSocket && attempt === 0 && repeatable.has(asked.method) && codeOf(thrown) === 'ECONNRESET')
          continue
        throw httpError(thrown, asked)
      }
    }
  }

  #send(asked: HttpRequest, signal: AbortSignal): ClientRequest {
    const { method, url, body } = asked
    const headers: Record<string, string> = { 'accept-encoding': 'gzip, deflate, br, zstd', ...asked.headers }
    if (body !== null) headers['content-length'] = String(body.byteLength)
    const secure = url.protocol === 'https:'
    const options = { method, headers, signal, lookup: guardedLookup }
    const sent = secure
      ? requestSecure(url, { ...options, agent: this.#secure })
      : requestPlain(url, { ...options, agent: this.#plain })
    sent.end(body ?? undefined)
    return sent
  }
}

const idleMsMax = 15_000
const repeatable = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE'])

function answerOf(sent: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.once('response', resolve)
    sent.once('error', reject)
  })
}

async function read(answer: IncomingMessage, asked: HttpRequest, limits: HttpLimits): Promise<HttpResponse> {
  const tooLarge = (): NodeError =>
    new NodeError('http.too-large', `${place(asked)} answered more than ${limits.responseBytesMax} bytes`)
  if (Number(answer.headers['content-length'] ?? 0) > limits.responseBytesMax && asked.method !== 'HEAD')
    throw tooLarge()
  const unpack = await unpackerOf(answer)
  if (unpack !== null) {
    answer.on('error', (error) => unpack.destroy(error))
    answer.pipe(unpack)
  }
  const pieces: Uint8Array[] = []
  let bytes = 0
  try {
    for await (const piece of unpack ?? answer) {
      bytes += piece.length
      if (bytes > limits.responseBytesMax) throw tooLarge()
      pieces.push(piece)
    }
  } catch (thrown) {
    // HEAD, 204 and 304 may name an encoding and have no body, and servers send an empty one as it is.
    if (unpack === null || unpack.bytesWritten > 0 || codeOf(thrown) !== 'Z_BUF_ERROR') throw thrown
  } finally {
    unpack?.destroy()
  }
  return { status: answer.statusCode ?? 0, headers: { ...answer.headers }, body: Buffer.concat(pieces) }
}

async function unpackerOf(answer: IncomingMessage): Promise<(Transform & Zlib) | null> {
  switch (answer.headers['content-encoding']?.trim().toLowerCase()) {
    case 'gzip':
    case 'x-gzip':
      return createGunzip()
    case 'deflate':
      // Some servers leave out zlib's header (RFC 9110, 8.4.1.2), whose first byte ends in 8; bare deflate never begins so.
      return ((await firstByteOf(answer)) & 0x0f) === 0x08 ? createInflate() : createInflateRaw()
    case 'br':
      return createBrotliDecompress()
    case 'zstd':
      return createZstdDecompress()
    default:
      return null
  }
}

/** The first byte of a body, which stays in it; 8 where there is none. Throws what the answer broke with. */
async function firstByteOf(answer: IncomingMessage): Promise<number> {
  const signs = ['readable', 'end', 'error', 'close']
  await new Promise<void>((resolve) => {
    const seen = (): void => {
      for (const sign of signs) answer.off(sign, seen)
      resolve()
    }
    for (const sign of signs) answer.on(sign, seen)
  })
  if (answer.errored !== null) throw answer.errored
  const chunk: unknown = answer.read()
  if (!Buffer.isBuffer(chunk)) return 8
  answer.unshift(chunk)
  return chunk[0] ?? 8
}

const reasons: Readonly<Record<string, { readonly code: string; readonly why: string; readonly retriable: boolean }>> =
  {
    ECONNREFUSED: { code: 'http.refused', why: 'nobody listens there', retriable: true },
    ECONNRESET: { code: 'http.cut', why: 'the connection was cut before the answer was whole', retriable: true },
    EPIPE: { code: 'http.cut', why: 'the connection was cut before the request was whole', retriable: true },
    ETIMEDOUT: { code: 'http.unreachable', why: 'the host does not answer', retriable: true },
    EHOSTUNREACH: { code: 'http.unreachable', why: 'no way leads to the host', retriable: true },
    ENETUNREACH: { code: 'http.unreachable', why: 'no way leads to the host', retriable: true },
    EAI_AGAIN: { code: 'http.no-name', why: 'the name cannot be looked up now', retriable: true },
    ENOTFOUND: { code: 'http.no-name', why: 'there is no host of this name', retriable: false },
    Z_DATA_ERROR: { code: 'http.bad-encoding', why: 'the answer cannot be unpacked', retriable: false },
    Z_BUF_ERROR: { code: 'http.cut', why: 'the packed answer ends too early', retriable: true },
  }

/** The failure of a request in words; nothing of its headers, query or body is in it. */
function httpError(thrown: unknown, asked: HttpRequest): NodeError {
  if (thrown instanceof NodeError) return thrown
  const code = codeOf(thrown)
  const known = reasons[code]
  if (known !== undefined)
    return new NodeError(known.code, `${place(asked)}: ${known.why}`, { retriable: known.retriable, cause: thrown })
  if (code.includes('CERT') || code.includes('SELF_SIGNED') || code.startsWith('ERR_TLS') || code.includes('SIGNATURE'))
    return new NodeError('http.bad-certificate', `${place(asked)}: its certificate cannot be trusted (${code})`, {
      cause: thrown,
    })
  return new NodeError('http.failed', `${place(asked)} failed${code === '' ? '' : ` (${code})`}`, {
    retriable: true,
    cause: thrown,
  })
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''
}
