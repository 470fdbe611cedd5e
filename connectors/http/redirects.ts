import { isUtf8 } from 'node:buffer'
import { NodeError } from '../../core/flow/failure.ts'
import type { HttpRequest, HttpResponse } from './exchange.ts'
import { place } from './place.ts'

const redirecting = new Set([301, 302, 303, 307, 308])
/** What may follow to another origin; any other header may be a secret that was meant for the first one only. */
const harmless = new Set(['accept', 'accept-language', 'content-type', 'content-language', 'user-agent'])

/**
 * The request that an answer redirects to, or null when it does not. Methods change as browsers change them
 * (Fetch standard, HTTP-redirect fetch). Throws a NodeError for a place where no request can go.
 */
export function redirected(asked: HttpRequest, answer: HttpResponse): HttpRequest | null {
  const { location } = answer.headers
  if (!redirecting.has(answer.status) || location === undefined) return null
  const url = URL.parse(textOf(location), asked.url)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new NodeError('http.bad-redirect', `${place(asked)} redirects to a place that is no HTTP address`)
  if (asked.url.protocol === 'https:' && url.protocol === 'http:')
    throw new NodeError('http.bad-redirect', `${place(asked)} redirects from HTTPS to plain HTTP, which is refused`)
  const becomesGet =
    (answer.status === 303 && asked.method !== 'HEAD') ||
    ((answer.status === 301 || answer.status === 302) && asked.method === 'POST')
  const kept = Object.entries(asked.headers).filter(
    ([name]) => (url.origin === asked.url.origin || harmless.has(name)) && !(becomesGet && name.startsWith('content-')),
  )
  return {
    method: becomesGet ? 'GET' : asked.method,
    url,
    headers: Object.fromEntries(kept),
    body: becomesGet ? null : asked.body,
  }
}

/** Servers that do not percent-encode a place send it as UTF-8, whose bytes headers give one by one. */
function textOf(location: string): string {
  const bytes = Buffer.from(location, 'latin1')
  return isUtf8(bytes) ? bytes.toString('utf8') : location
}
