import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { HttpError } from './http-error.ts'

export interface GuardOptions {
  /** True when the server listens on a loopback address only. */
  readonly loopback: boolean
  readonly token: string | null
  /** Origins besides the server's own whose pages may call it. */
  readonly origins: readonly string[]
  /** Names besides the loopback ones under which the server may be addressed. */
  readonly hostnames: readonly string[]
}

/** Who may talk to the server: decides before anything else looks at a request. */
export interface Guard {
  /** Throws an HttpError for a request that came under a foreign name, or from a page of a foreign origin. */
  admit(request: IncomingMessage): void
  /** The first half of `admit`: for those who decide about origins themselves. */
  checkName(request: IncomingMessage): void
  /** Throws an HttpError 401 without the token, where one is set. */
  authorize(request: IncomingMessage): void
  tokenMatches(token: string | null): boolean
  /** The request's origin, when it is a configured foreign one: it gets the CORS headers. */
  foreignOrigin(request: IncomingMessage): string | null
}

const loopbackNames = new Set(['localhost', '127.0.0.1', '[::1]', '::1'])

export function createGuard(options: GuardOptions): Guard {
  const origins = new Set(options.origins)
  const digest = options.token === null ? null : sha256(options.token)
  const tokenMatches = (token: string | null): boolean =>
    digest === null || (token !== null && timingSafeEqual(sha256(token), digest))
  return {
    checkName(request) {
      checkHost(request, options)
    },
    admit(request) {
      checkHost(request, options)
      checkOrigin(request, origins)
    },
    authorize(request) {
      if (tokenMatches(bearer(request))) return
      throw new HttpError(
        401,
        'auth.required',
        'This needs the API token of the server.',
        'Send the header Authorization: Bearer TOKEN.',
        {
          'www-authenticate': 'Bearer',
        },
      )
    },
    tokenMatches,
    foreignOrigin(request) {
      const origin = request.headers.origin
      return origin !== undefined && origins.has(origin) ? origin : null
    },
  }
}

export function isLoopbackAddress(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

/**
 * A page of a foreign site can point its own name at 127.0.0.1 (DNS rebinding) and is then of the "same origin" as we are.
 * The Host header still carries that foreign name, so only known names are served.
 */
function checkHost(request: IncomingMessage, options: GuardOptions): void {
  if (!options.loopback && options.hostnames.length === 0) return
  const name = hostnameOf(request.headers.host)
  if (name !== null && (options.hostnames.includes(name) || (options.loopback && loopbackNames.has(name)))) return
  throw new HttpError(
    421,
    'host.unknown',
    `This server does not answer to the name ${JSON.stringify(String(request.headers.host ?? '').slice(0, 100))}.`,
    'Use 127.0.0.1 or localhost, or start it with the name: millrace serve --hostname NAME, or the option hostnames.',
  )
}

function checkOrigin(request: IncomingMessage, origins: ReadonlySet<string>): void {
  const { origin, host } = request.headers
  if (origin !== undefined) {
    if (origins.has(origin) || sameOrigin(origin, host)) return
    throw foreign(origin)
  }
  // Without an Origin header browsers still tell where a request comes from. A person following a link is welcome.
  const site = request.headers['sec-fetch-site']
  const navigates = request.headers['sec-fetch-mode'] === 'navigate' && request.headers['sec-fetch-dest'] === 'document'
  if ((site === 'cross-site' || site === 'same-site') && !(navigates && request.method === 'GET'))
    throw foreign(String(site))
}

function sameOrigin(origin: string, host: string | undefined): boolean {
  if (host === undefined || !URL.canParse(origin)) return false
  return new URL(origin).host === host.toLowerCase() || origin === `http://${host}` || origin === `https://${host}`
}

function foreign(origin: string): HttpError {
  return new HttpError(
    403,
    'origin.foreign',
    `Pages of ${JSON.stringify(origin.slice(0, 100))} may not call this server.`,
    'If they should, start it with their origin: millrace serve --origin URL, or the option origins.',
  )
}

function hostnameOf(host: string | undefined): string | null {
  if (host === undefined || !URL.canParse(`http://${host}`)) return null
  const url = new URL(`http://${host}`)
  return url.username === '' && url.pathname === '/' ? url.hostname : null
}

function bearer(request: IncomingMessage): string | null {
  const match = /^Bearer ([\x21-\x7e]{1,4096})$/i.exec(request.headers.authorization ?? '')
  return match?.[1] ?? null
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
