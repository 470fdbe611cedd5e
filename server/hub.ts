import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { NodeError } from '../core/flow/failure.ts'
import type { Hub, HubArrival, HubHead, HubReply, HubRequest, HubRoute, HubUpgrade, Log } from '../core/host.ts'
import type { Query } from '../core/query.ts'
import { queryOf } from '../core/query.ts'
import { watchArrival } from './arrival.ts'
import type { BodyLimits } from './body.ts'
import { BodyAborted, hasBody, readBody } from './body.ts'
import { HttpError } from './http-error.ts'
import type { ServerLimits } from './limits.ts'
import type { ServerReply } from './reply.ts'
import { createReply } from './reply.ts'
import type { Router } from './router.ts'
import { createRouter } from './router.ts'
import type { Spool, SpooledFile } from './spool.ts'

/** The hub as its server sees it. */
export interface ServerHub extends Hub {
  /** Takes the request when its path belongs to a workflow; false leaves it to others. `headers` go into every answer. */
  handle(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    headers: Readonly<Record<string, string>>,
  ): boolean
  /** Hands the connection on when its path belongs to a workflow; false leaves it to others. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, path: string): boolean
  readonly routes: number
}

export interface HubOptions {
  readonly limits: ServerLimits
  /** Made on the first upload. */
  readonly spool: () => Promise<Spool>
  readonly log: Log
}

type Handler = (request: HubRequest, reply: HubReply) => void
interface Target {
  readonly route: HubRoute
  readonly handler: Handler
  readonly arriving: ((arrival: HubArrival) => void) | undefined
}

const pathPattern = /^(\/|(\/:?[A-Za-z0-9._~-]+)+\/?)$/
const methodsKnown = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const reserved = ['/api', '/livez', '/readyz', '/metrics']

/** The door for workflows' own routes; it stands ahead of everything else, since most requests come through it. */
export function createHub(options: HubOptions): ServerHub {
  const router = createRouter<Target>()
  const upgrades = createRouter<(upgrade: HubUpgrade) => void>()
  let routes = 0
  return {
    get routes() {
      return routes
    },
    route(route, handler, arriving) {
      claim(router, { route, handler, arriving })
      routes += 1
      let released = false
      return () => {
        if (released) return
        released = true
        routes -= 1
        router.remove(route.methods, route.path)
      }
    },
    upgrade(path, handler) {
      checkPath(path)
      if (!upgrades.add(['GET'], path, handler))
        throw new NodeError('hub.route-taken', `WebSockets at ${path} are another workflow's; choose another path.`)
      let released = false
      return () => {
        if (!released) upgrades.remove(['GET'], path)
        released = true
      }
    },
    handleUpgrade(request, socket, head, path) {
      const match = upgrades.find('GET', path)
      if (match.kind !== 'found') return false
      try {
        match.target({ params: match.params, request, socket, head })
      } catch (thrown) {
        options.log.write('error', `The handler of WebSockets at ${path} threw`, { error: String(thrown) })
        socket.destroy()
      }
      return true
    },
    handle(request, response, url, headers) {
      const method = request.method ?? 'GET'
      const match = router.find(method, url.pathname)
      if (match.kind === 'none') return false
      const { firstByteMsMax, stallMsMax, replyBufferBytesMax } = options.limits
      const reply = createReply(request, response, {
        firstByteMsMax,
        stallMsMax,
        bufferBytesMax: replyBufferBytesMax,
        headers,
      })
      if (match.kind === 'other-method') answerOtherMethod(method, match.allow, reply)
      else void serve(request, response, url, match.target, match.params, reply, options)
      return true
    },
  }
}

function checkPath(path: string): void {
  if (!pathPattern.test(path))
    throw new NodeError(
      'hub.bad-path',
      `The path ${JSON.stringify(path)} cannot be a route; write it like /orders/:id.`,
    )
  if (reserved.some((each) => path === each || path.startsWith(`${each}/`)))
    throw new NodeError('hub.reserved', `The path ${path} belongs to the server itself; choose another one.`)
}

function claim(router: Router<Target>, target: Target): void {
  const { path, methods } = target.route
  checkPath(path)
  const unknown = methods.find((method) => !methodsKnown.has(method))
  if (methods.length === 0 || unknown !== undefined)
    throw new NodeError(
      'hub.bad-method',
      `A route needs methods of ${[...methodsKnown].join(', ')}; ${path} asks for ${unknown ?? 'none'}.`,
    )
  if (!router.add(methods, path, target))
    throw new NodeError(
      'hub.route-taken',
      `${methods.join(', ')} ${path} is taken by another workflow; choose another path.`,
    )
}

function answerOtherMethod(method: string, offered: readonly string[], reply: ServerReply): void {
  const allow = [...new Set([...offered, 'OPTIONS', ...(offered.includes('GET') ? ['HEAD'] : [])])].join(', ')
  if (method === 'OPTIONS') reply.send(204, '', { allow })
  // A HEAD must not start a workflow that was written for GET: it says only that the path is there.
  else if (method === 'HEAD' && offered.includes('GET')) reply.send(200, '', { allow })
  else
    reply.refuse(
      new HttpError(405, 'method.not-allowed', `This path does not take ${method}.`, `Use ${allow}.`, { allow }),
    )
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  target: Target,
  params: Readonly<Record<string, string>>,
  reply: ServerReply,
  options: HubOptions,
): Promise<void> {
  const head: HubHead = {
    id: randomUUID(),
    method: request.method ?? 'GET',
    path: url.pathname,
    params,
    query: queryOf(url.searchParams),
    headers: plainHeaders(request),
  }
  try {
    const limits = {
      bytesMax: target.route.bodyBytesMax,
      idleMsMax: options.limits.bodyIdleMsMax,
      onBytes: arrivalOf(head, target, options.log),
    }
    const { body, remove } = await takeBody(request, response, target.route.body, limits, options)
    let kept = false
    reply.onEnd(() => {
      if (!kept) remove()
    })
    if (reply.signal.aborted) return
    target.handler(
      {
        ...head,
        body,
        signal: reply.signal,
        keepFile: () => {
          kept = true
          return remove
        },
      },
      reply,
    )
  } catch (thrown) {
    if (thrown instanceof BodyAborted) response.destroy()
    else if (thrown instanceof HttpError) reply.refuse(thrown)
    else {
      options.log.write('error', `The handler of ${target.route.path} threw`, { error: String(thrown) })
      reply.refuse(new HttpError(500, 'server.error', 'The server failed on this request.', 'Look into its log.'))
    }
  }
}

/** Who watches the body come in; nobody where nobody asked, or where the head does not say how long it is. */
function arrivalOf(head: HubHead, { route, arriving }: Target, log: Log): BodyLimits['onBytes'] {
  const totalBytes = Number(head.headers['content-length'] ?? 0)
  if (arriving === undefined || route.arrivingMs === undefined || !(totalBytes > 0)) return undefined
  return watchArrival(totalBytes, route.arrivingMs, (receivedBytes, expectedMs) => {
    try {
      arriving({ ...head, receivedBytes, totalBytes, expectedMs })
    } catch (thrown) {
      // A hint that failed is no reason to refuse the body.
      log.write('error', `The handler of bodies arriving at ${route.path} threw`, { error: String(thrown) })
    }
  })
}

async function takeBody(
  request: IncomingMessage,
  response: ServerResponse,
  kind: HubRoute['body'],
  limits: BodyLimits,
  options: HubOptions,
): Promise<{ readonly body: unknown; readonly remove: () => void }> {
  const type = (request.headers['content-type'] ?? '').toLowerCase()
  if (type.startsWith('multipart/'))
    throw new HttpError(
      415,
      'body.multipart',
      'Forms (multipart) are not read here.',
      'Send the file as the body: curl -T FILE URL.',
    )
  switch (kind) {
    case 'none':
      if (hasBody(request))
        await readBody(request, response, { ...limits, bytesMax: Math.min(limits.bytesMax, 64 * 1024) })
      return { body: null, remove: nothing }
    case 'bytes':
      return { body: new Uint8Array(await readBody(request, response, limits)), remove: nothing }
    case 'text':
      return { body: decodeText(await readBody(request, response, limits)), remove: nothing }
    case 'json':
      if (
        type !== '' &&
        hasBody(request) &&
        !/^(application\/json|application\/[a-z0-9.+-]+\+json|text\/json)\b/.test(type)
      )
        throw new HttpError(
          415,
          'body.not-json',
          `This takes JSON, not ${type.slice(0, 80)}.`,
          'Send the header Content-Type: application/json.',
        )
      return { body: parseJson(decodeText(await readBody(request, response, limits))), remove: nothing }
    case 'form':
      if (hasBody(request) && !/^application\/x-www-form-urlencoded\b/.test(type))
        throw new HttpError(
          415,
          'body.not-form',
          `This takes the fields of a form, not ${type === '' ? 'a body without a type' : type.slice(0, 80)}.`,
          'Send the header Content-Type: application/x-www-form-urlencoded.',
        )
      return { body: formOf(decodeText(await readBody(request, response, limits))), remove: nothing }
    case 'file': {
      const file = await receiveFile(request, response, limits, options)
      const remove = (): void =>
        void file
          .remove()
          .catch((thrown) => options.log.write('warn', 'A temporary file stayed', { error: String(thrown) }))
      const { path, name, mime, sizeBytes } = file
      return { body: { path, name, mime, sizeBytes }, remove }
    }
  }
}

/** What the disk refuses is told to the log with its cause, and to the caller without: it names folders of this host. */
async function receiveFile(
  request: IncomingMessage,
  response: ServerResponse,
  limits: BodyLimits,
  { spool, log }: HubOptions,
): Promise<SpooledFile> {
  try {
    return await (await spool()).receive(request, response, limits)
  } catch (thrown) {
    if (thrown instanceof HttpError || thrown instanceof BodyAborted) throw thrown
    const remedy = 'Make room, or start it with a TMPDIR that it can write to.'
    log.write('error', `An upload could not be written. ${remedy}`, { error: String(thrown) })
    throw new HttpError(507, 'spool.unwritable', 'The server cannot write uploads now.', 'Try again later.', {
      'retry-after': '30',
    })
  }
}

function nothing(): void {}

function decodeText(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new HttpError(400, 'body.not-utf8', 'The body is not text in UTF-8.', 'Send it in UTF-8.')
  }
}

const formFieldsMax = 10_000

function formOf(text: string): Query {
  const fields = new URLSearchParams(text)
  if (fields.size <= formFieldsMax) return queryOf(fields)
  throw new HttpError(
    400,
    'body.too-many-fields',
    `The form has ${fields.size} fields, and ${formFieldsMax} are taken here.`,
    'Send fewer, or JSON.',
  )
}

/** An empty body is null. The key that reaches a prototype is refused, however it is spelled. */
function parseJson(text: string): unknown {
  if (text.trim() === '') return null
  let value: unknown
  let forbidden = false
  const suspicious = text.includes('__proto__') || text.includes('\\u')
  const watch = (key: string, inner: unknown): unknown => {
    if (key === '__proto__') forbidden = true
    return inner
  }
  try {
    value = suspicious ? JSON.parse(text, watch) : JSON.parse(text)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new HttpError(400, 'body.not-json', `The body is not JSON: ${why}.`, 'Check it with a JSON formatter.')
  }
  if (forbidden)
    throw new HttpError(400, 'body.forbidden-key', 'The body has a field named __proto__.', 'Rename that field.')
  return value
}

function plainHeaders(request: IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return headers
}
