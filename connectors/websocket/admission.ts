import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type { Query } from '../../core/query.ts'
import { queryOf } from '../../core/query.ts'
import type { PathPattern } from './path-pattern.ts'
import type { UpgradeRequest } from './transport.ts'
import { Refusal } from './transport.ts'

export interface AdmissionRules {
  /** Null where the server has matched the path already. */
  readonly path: PathPattern | null
  /** Origins whose pages may connect, beside the server's own; `*` lets all in. */
  readonly origins: readonly string[]
  readonly protocols: readonly string[]
  readonly token: TokenRules | null
}

export interface TokenRules {
  /** Any of them will do, so that one can be replaced by the next. */
  readonly values: readonly string[]
  readonly from: readonly ('header' | 'query' | 'protocol')[]
  /** Name of the query parameter. */
  readonly query: string
  /** What a subprotocol begins with that carries the token. */
  readonly protocolPrefix: string
}

/** What an upgrade brings that was let in. The token is in none of it. */
export interface Admitted {
  readonly path: string
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly headers: Readonly<Record<string, string>>
}

/** Decides about an upgrade by what it says: its path, its page's origin, its token, its subprotocols. */
export function createAdmission(rules: AdmissionRules): (request: UpgradeRequest) => Admitted | Refusal {
  const digests = rules.token?.values.map(sha256) ?? []
  return (request) => {
    const params = request.params ?? rules.path?.match(request.path) ?? null
    if (params === null) return new Refusal(404, 'websocket.unknown-path', 'Nothing is at this path.')
    if (!originMayConnect(request.headers, rules.origins))
      return new Refusal(403, 'websocket.foreign-origin', 'Pages of this origin may not connect.')
    const query = new URLSearchParams(request.query)
    const offered = listOf(request.headers['sec-websocket-protocol'])
    if (rules.token !== null) {
      const shown = tokensIn(rules.token, request.headers, query, offered)
      if (!shown.some((each) => matches(each, digests)))
        return new Refusal(401, 'websocket.token-required', 'This needs a token.', { 'www-authenticate': 'Bearer' })
      if (rules.token.from.includes('query')) query.delete(rules.token.query)
    }
    const asked = offered.filter((each) => !carriesToken(each, rules.token))
    if (rules.protocols.length > 0 && asked.length > 0 && !asked.some((each) => rules.protocols.includes(each)))
      return new Refusal(400, 'websocket.no-common-protocol', `This speaks ${rules.protocols.join(', ')}.`)
    return {
      path: request.path,
      params,
      query: sharedWhenEmpty(queryOf(query)),
      headers: shownHeaders(request.headers, rules.token),
    }
  }
}

/**
 * Programs send no origin. A browser always does, and a page's script cannot change it. A page of our own host is let in without being
 * listed only where that is no name of the DNS: a foreign page could have its own name point at this machine and would be of the
 * "same origin" then (DNS rebinding).
 */
function originMayConnect(headers: UpgradeRequest['headers'], origins: readonly string[]): boolean {
  const { origin, host } = headers
  if (origin === undefined || origins.includes('*') || origins.includes(origin)) return true
  if (host === undefined || !URL.canParse(origin)) return false
  const { hostname, host: itsHost } = new URL(origin)
  const plain = hostname.replace(/^\[(.*)\]$/, '$1')
  return itsHost === host.toLowerCase() && (hostname === 'localhost' || isIP(plain) !== 0)
}

function tokensIn(
  token: TokenRules,
  headers: UpgradeRequest['headers'],
  query: URLSearchParams,
  offered: readonly string[],
): readonly string[] {
  const found: string[] = []
  const bearer = /^Bearer ([\x21-\x7e]{1,4096})$/i.exec(headers.authorization ?? '')?.[1]
  if (token.from.includes('header') && bearer !== undefined) found.push(bearer)
  const asked = query.get(token.query)
  if (token.from.includes('query') && asked !== null) found.push(asked)
  if (token.from.includes('protocol'))
    for (const each of offered) if (carriesToken(each, token)) found.push(each.slice(token.protocolPrefix.length))
  return found
}

function carriesToken(protocol: string, token: TokenRules | null): boolean {
  return token?.from.includes('protocol') === true && protocol.startsWith(token.protocolPrefix)
}

/** Compares digests: how long it takes tells nothing, not even about the length. */
function matches(shown: string, digests: readonly Buffer[]): boolean {
  const digest = sha256(shown)
  let found = false
  for (const each of digests) if (timingSafeEqual(digest, each)) found = true
  return found
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function listOf(header: string | undefined): readonly string[] {
  return header === undefined ? [] : header.split(',').map((each) => each.trim())
}

const none: Readonly<Record<string, never>> = Object.freeze({})

/** Most connections have neither a query nor headers to show; they share one empty object. */
function sharedWhenEmpty<T>(fields: Readonly<Record<string, T>>): Readonly<Record<string, T>> {
  return Object.keys(fields).length === 0 ? none : fields
}

/** What a workflow sees: neither the handshake's own headers nor the token. */
function shownHeaders(headers: UpgradeRequest['headers'], token: TokenRules | null): Readonly<Record<string, string>> {
  const hidden = token?.from.includes('header') === true ? 'authorization' : ''
  const shown = Object.entries(headers).filter(
    ([name]) => !/^(sec-websocket-|upgrade$|connection$)/.test(name) && name !== hidden && name !== '__proto__',
  )
  return sharedWhenEmpty(Object.fromEntries(shown))
}
