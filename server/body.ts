import type { IncomingMessage, ServerResponse } from 'node:http'
import { HttpError } from './http-error.ts'

export interface BodyLimits {
  readonly bytesMax: number
  readonly idleMsMax: number
  /** Hears how many bytes have come, after each piece. */
  readonly onBytes?: ((received: number) => void) | undefined
}

/** Refuses a body by what its headers say, before a byte of it is asked for. */
export function checkBodyHead(request: IncomingMessage, bytesMax: number): void {
  const encoding = request.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity')
    throw new HttpError(
      415,
      'body.encoded',
      `Bodies with content-encoding ${encoding.slice(0, 40)} are not read.`,
      'Send the body uncompressed.',
    )
  const announced = Number(request.headers['content-length'] ?? 0)
  if (announced > bytesMax) throw tooLarge(bytesMax)
}

/** True when a body follows the head. */
export function hasBody(request: IncomingMessage): boolean {
  return request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
}

/**
 * Gives a body to `take`, chunk by chunk and only as fast as it takes them. Throws an HttpError 413 or 408, or a
 * plain abort error when the client goes away in the middle.
 */
export async function eachChunk(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
  take: (chunk: Buffer) => void | Promise<void>,
): Promise<void> {
  checkBodyHead(request, limits.bytesMax)
  if (request.headers.expect?.toLowerCase() === '100-continue') response.writeContinue()
  let bytes = 0
  // Reading by hand, since the async iterator destroys the request, and with it the answer, when it is left early.
  const chunks = chunksOf(request)
  const timer = setTimeout(() => chunks.fail(stalled(limits.idleMsMax)), limits.idleMsMax)
  timer.unref()
  try {
    for (;;) {
      const chunk = await chunks.next()
      if (chunk === null) break
      timer.refresh()
      bytes += chunk.byteLength
      if (bytes > limits.bytesMax) throw tooLarge(limits.bytesMax)
      const taking = take(chunk)
      if (taking !== undefined) await taking
      limits.onBytes?.(bytes)
      timer.refresh()
    }
  } finally {
    clearTimeout(timer)
    chunks.stop()
  }
}

/** A whole body in memory. */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
): Promise<Buffer> {
  const chunks: Buffer[] = []
  await eachChunk(request, response, limits, (chunk) => {
    chunks.push(chunk)
  })
  return Buffer.concat(chunks)
}

/** Thrown when the client went away before its body was complete. Nobody is left to be told. */
export class BodyAborted extends Error {}

interface Chunks {
  /** The next chunk, or null at the end. */
  next(): Promise<Buffer | null>
  /** The one who waits for the next chunk gets this error instead. */
  fail(error: HttpError): void
  stop(): void
}

function chunksOf(request: IncomingMessage): Chunks {
  let wake: () => void = () => {}
  let failed: HttpError | null = null
  const onChange = (): void => wake()
  const events = ['readable', 'end', 'error', 'close'] as const
  for (const event of events) request.on(event, onChange)
  return {
    async next() {
      for (;;) {
        if (failed !== null) throw failed
        const chunk: unknown = request.read()
        if (Buffer.isBuffer(chunk)) return chunk
        if (request.readableEnded && request.complete) return null
        if (request.destroyed || request.errored !== null)
          throw new BodyAborted('the client went away before its body was complete')
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    fail(error) {
      failed = error
      wake()
    },
    stop() {
      for (const event of events) request.off(event, onChange)
    },
  }
}

function stalled(idleMsMax: number): HttpError {
  return new HttpError(
    408,
    'body.stalled',
    `The body stood still for ${idleMsMax} ms.`,
    'Send it again over a better line.',
  )
}

function tooLarge(bytesMax: number): HttpError {
  return new HttpError(
    413,
    'body.too-large',
    `The body is larger than the ${bytesMax} bytes that are taken here.`,
    'Send a smaller one.',
  )
}
