import { Deadline, wait } from '../../core/flow/deadline.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Clock } from '../../core/host.ts'
import type { ReceiveFormat } from './bodies.ts'
import { decodeBody } from './bodies.ts'
import type { HttpClient, HttpRequest, HttpResponse } from './exchange.ts'
import { place } from './place.ts'
import { redirected } from './redirects.ts'

export interface RequesterOptions {
  readonly receive: ReceiveFormat
  readonly output: 'response' | 'body'
  readonly failFromStatus: number
  readonly timeoutMs: number
  readonly responseBytesMax: number
  readonly redirectsMax: number
  readonly retryAfterMsMax: number
}

const originsMax = 1_000

/**
 * Makes what asks and answers with a node's value: follows redirects, judges the status,
 * and leaves a server alone for as long as its Retry-After says.
 */
export function createRequester(
  client: HttpClient,
  options: RequesterOptions,
  clock: Clock,
): (request: HttpRequest, signal: AbortSignal) => Promise<unknown> {
  /** Until when an origin wants to be left alone. */
  const busyUntil = new Map<string, number>()

  const follow = async (request: HttpRequest, signal: AbortSignal): Promise<[HttpRequest, HttpResponse]> => {
    let asked = request
    for (let redirects = 0; ; redirects++) {
      const answer = await client.exchange(asked, { signal, responseBytesMax: options.responseBytesMax })
      const next = options.redirectsMax === 0 ? null : redirected(asked, answer)
      if (next === null) return [asked, answer]
      if (redirects >= options.redirectsMax)
        throw new NodeError(
          'http.too-many-redirects',
          `${place(request)} redirects more than ${options.redirectsMax} times`,
        )
      asked = next
    }
  }

  const respectRetryAfter = (asked: HttpRequest, answer: HttpResponse): void => {
    const waitMs = Math.min(retryAfterMs(answer, clock.now()), options.retryAfterMsMax)
    if (waitMs <= 0) return
    if (busyUntil.size >= originsMax) busyUntil.clear()
    busyUntil.set(asked.url.origin, clock.now() + waitMs)
  }

  const leaveAlone = async (request: HttpRequest, signal: AbortSignal): Promise<void> => {
    const until = busyUntil.get(request.url.origin)
    if (until === undefined) return
    const leftMs = until - clock.now()
    if (leftMs > 0) await wait(clock, leftMs, [signal])
    else busyUntil.delete(request.url.origin)
    signal.throwIfAborted()
  }

  return async (request, signal) => {
    await leaveAlone(request, signal)
    const deadline = new Deadline(clock, options.timeoutMs, place(request), [signal])
    try {
      const [asked, answer] = await follow(request, deadline.signal)
      if (answer.status >= options.failFromStatus) {
        respectRetryAfter(asked, answer)
        throw statusError(asked, answer)
      }
      const body = decodeBody(answer, options.receive, place(asked))
      return options.output === 'body' ? body : { status: answer.status, headers: answer.headers, body }
    } catch (thrown) {
      throw signal.aborted || !deadline.signal.aborted
        ? thrown
        : new NodeError('http.timeout', `${place(request)} took longer than ${options.timeoutMs} ms`, {
            retriable: true,
          })
    } finally {
      deadline.clear()
    }
  }
}

const retriableBelow500 = new Set([408, 425, 429])

function statusError(asked: HttpRequest, answer: HttpResponse): NodeError {
  const { status, headers } = answer
  const after = headers['retry-after']
  const wish = after === undefined || !/^[\w ,:+-]{1,40}$/.test(after) ? '' : `; it asks to wait: ${after}`
  return new NodeError('http.status', `${place(asked)} answered ${status}${wish}`, {
    retriable: status >= 500 || retriableBelow500.has(status),
  })
}

/** How long a server asks to be left alone (RFC 9110, 10.2.3): seconds or a date. 0 where it does not. */
function retryAfterMs(answer: HttpResponse, now: number): number {
  const after = answer.headers['retry-after']?.trim() ?? ''
  if (/^\d{1,9}$/.test(after)) return Number(after) * 1000
  const date = Date.parse(after)
  return Number.isNaN(date) ? 0 : date - now
}
