import type { z } from 'zod'
import type { NodeContext } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'
import { headerText } from '../../core/header-text.ts'
import { addFields, encodeBody } from './bodies.ts'
import type { HttpRequest } from './exchange.ts'
import type { httpRequestConfig } from './http-request-config.ts'
import { place } from './place.ts'

type Config = z.infer<typeof httpRequestConfig>

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Makes what makes the request of a message. Throws a NodeError that says which field is wrong, without what it holds. */
export function requestBuilder(config: Config, context: NodeContext): (message: Message, scope: Scope) => HttpRequest {
  const urlOf = context.reader(config.url)
  const methodOf = context.reader(config.method)
  const query = Object.entries(config.query).map(([name, each]) => ({ name, read: context.reader(each) }))
  const headers = Object.entries(config.headers).map(([name, each]) => ({
    name: name.toLowerCase(),
    read: context.reader(each),
  }))
  const bodyOf = config.body === undefined ? null : context.reader(config.body)
  return (message, scope) => {
    const method: unknown = methodOf(message, scope)
    if (typeof method !== 'string' || !methods.has(method))
      throw new NodeError(
        'http.bad-method',
        `the method is ${JSON.stringify(method)}; use one of ${[...methods].join(', ')}`,
      )
    const url = parseUrl(urlOf(message, scope))
    const sent: Record<string, string> = { accept: '*/*', 'user-agent': 'millrace' }
    if (url.username !== '' || url.password !== '') {
      sent.authorization = `Basic ${Buffer.from(`${decoded(url.username)}:${decoded(url.password)}`).toString('base64')}`
      url.username = ''
      url.password = ''
    }
    for (const { name, read } of query) addFields(url.searchParams, { [name]: read(message, scope) })
    let bytes: Uint8Array | null = null
    if (bodyOf !== null) {
      const encoded = encodeBody(bodyOf(message, scope), config.send)
      bytes = encoded.bytes
      sent['content-type'] = encoded.type
      if (bytes.byteLength > config.requestBytesMax)
        throw new NodeError(
          'http.body-too-large',
          `the body for ${place({ method, url })} has ${bytes.byteLength} bytes; the limit is ${config.requestBytesMax}`,
        )
    }
    for (const { name, read } of headers) sent[name] = headerText(name, read(message, scope), 'http.bad-header')
    return { method, url, headers: sent, body: bytes }
  }
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    throw new NodeError(
      'http.bad-url',
      'the user or password in the url has a % that begins no percent-encoded sign; write it as %25',
    )
  }
}

function parseUrl(text: unknown): URL {
  const url = typeof text === 'string' ? URL.parse(text) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw new NodeError(
      'http.bad-url',
      `the url is ${typeof text === 'string' ? 'no whole http: or https: address' : typeof text}`,
    )
  return url
}
