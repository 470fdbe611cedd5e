import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer as createHttpServer } from 'node:http'
import type { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { Clock, Hub, Log, Topics } from '../core/host.ts'
import type { Execution, Pipeline } from '../core/pipeline.ts'
import { BodyAborted } from './body.ts'
import { EventLoopWatch } from './event-loop.ts'
import { createGuard, isLoopbackAddress } from './guard.ts'
import { HttpError, refuse, refuseSocket } from './http-error.ts'
import type { ServerHub } from './hub.ts'
import { createHub } from './hub.ts'
import type { ServerLimits } from './limits.ts'
import { defaultLimits } from './limits.ts'
import { serveMetrics } from './live-metrics.ts'
import type { PageMount, Pages } from './pages.ts'
import { createPages } from './pages.ts'
import { prometheusText } from './prometheus.ts'
import type { Realtime } from './realtime.ts'
import { createRealtime, realtimePath } from './realtime.ts'
import type { Spool } from './spool.ts'
import { createSpool, removeStaleSpools } from './spool.ts'
import { watchStalls } from './stall-alarm.ts'
import { systemClock } from './system-clock.ts'
import type { TopicLimits, TopicStore } from './topics.ts'
import { createTopics } from './topics.ts'
import type { Relaunch, Workflows } from './workflows.ts'
import { createWorkflows } from './workflows.ts'

export interface ServerOptions {
  /** Address to listen on. Other machines can reach it only when it is not a loopback one; then a token is needed. */
  readonly host?: string
  /** 0 takes any free port. */
  readonly port?: number
  /** What API clients must send; null lets everyone on this machine in. */
  readonly token?: string | null
  /** Origins, such as `https://console.example`, whose pages may call this server. Its own always may. */
  readonly origins?: readonly string[]
  /** Names under which the server may be addressed besides 127.0.0.1 and localhost. */
  readonly hostnames?: readonly string[]
  readonly pages?: readonly PageMount[]
  readonly log?: Log
  readonly clock?: Clock
  /** Where the folder for uploads is made; the system's own place for temporary files when absent. */
  readonly temporaryDirectory?: string
  /**
   * For who deploys after it listens: false until all is deployed. Until then the server says that it starts, by `/readyz` and where a
   * path is not there yet.
   */
  readonly hasStarted?: () => boolean
  readonly limits?: Partial<Omit<ServerLimits, 'topics'>> & { readonly topics?: Partial<TopicLimits> }
}

/** A server that listens. */
export interface MillraceServer {
  /** For the host of the pipelines that are deployed here. */
  readonly hub: Hub
  readonly topics: Topics & Pick<TopicStore, 'end'>
  readonly url: string
  readonly port: number
  /**
   * Shows the workflow in the API and opens its triggers. One that has an id which is taken takes over from what runs there: its streams go
   * on without a gap. `relaunch` reads the workflow again when a client asks for it. Answers its stream execution, if any. Rejects with a NodeError `workflow.bad-id` for an id that cannot stand in an address, and when a trigger does not open.
   */
  deploy(id: string, pipeline: Pipeline, relaunch?: Relaunch): Promise<Execution | null>
  /** Puts what `relaunch` gives in the place of what runs. */
  reload(id: string): Promise<void>
  undeploy(id: string): Promise<void>
  /** Takes no more, drains executions, ends streams, closes sockets; cuts what is left at the limit. Idempotent. */
  close(): Promise<void>
}

const methodsKnown = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
const silent: Log = { write: () => {} }

/** Builds a server and listens. Throws when the address is taken, or is reachable from outside without a token. */
export async function createServer(options: ServerOptions = {}): Promise<MillraceServer> {
  const host = options.host ?? '127.0.0.1'
  const token = options.token ?? null
  const loopback = isLoopbackAddress(host)
  if (!loopback && token === null)
    throw new Error(
      `Listening on ${host} lets other machines in: set an API token, which \`millrace serve\` takes from MILLRACE_TOKEN, or listen on 127.0.0.1.`,
    )
  const server = new HttpSide(options, loopback, token)
  try {
    await server.listen(host, options.port ?? 4600)
  } catch (thrown) {
    await server.close()
    throw thrown
  }
  return server
}

class HttpSide implements MillraceServer {
  readonly hub: ServerHub
  readonly topics: TopicStore
  url = ''
  port = 0
  readonly #limits: ServerLimits
  readonly #log: Log
  readonly #clock: Clock
  readonly #workflows: Workflows
  readonly #realtime: Realtime
  readonly #guard
  readonly #eventLoop = new EventLoopWatch()
  readonly #stopWatching: () => void
  readonly #http: Server
  readonly #pages: Pages | null
  readonly #temporaryDirectory: string | undefined
  readonly #hasStarted: () => boolean
  readonly #perClient = new Map<string, number>()
  #requests = 0
  #spool: Promise<Spool> | null = null
  #api: Promise<(request: IncomingMessage, response: ServerResponse) => Promise<void>> | null = null
  #closing: Promise<void> | null = null

  constructor(options: ServerOptions, loopback: boolean, token: string | null) {
    const limits: ServerLimits = {
      ...defaultLimits,
      ...options.limits,
      topics: { ...defaultLimits.topics, ...options.limits?.topics },
    }
    const clock = options.clock ?? systemClock
    this.#limits = limits
    this.#clock = clock
    this.#log = options.log ?? silent
    this.#temporaryDirectory = options.temporaryDirectory
    this.#hasStarted = options.hasStarted ?? (() => true)
    this.#guard = createGuard({ loopback, token, origins: options.origins ?? [], hostnames: options.hostnames ?? [] })
    this.hub = createHub({ limits, spool: () => this.#openSpool(), log: this.#log })
    this.#workflows = createWorkflows({
      clock,
      log: this.#log,
      runningMax: limits.executionsRunningMax,
      keptMax: limits.executionsKeptMax,
      onEnded: (execution, outcome) => this.topics.endExecution(execution, outcome),
    })
    this.topics = createTopics({ clock, limits: limits.topics, admit: (topic) => this.#workflows.admit(topic) })
    serveMetrics(this.topics, this.#workflows, clock)
    this.#stopWatching = watchStalls(this.#workflows, clock, this.#log)
    this.#realtime = createRealtime({ guard: this.#guard, limits, topics: this.topics, workflows: this.#workflows })
    this.#pages = options.pages === undefined || options.pages.length === 0 ? null : createPages(options.pages)
    this.#http = createHttpServer({
      maxHeaderSize: limits.headBytesMax,
      headersTimeout: limits.headMsMax,
      // Uploads may take their time: what stands still is cut by the body's own limit.
      requestTimeout: 0,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: Math.min(1_000, limits.headMsMax),
      // A client that offers HTTP/2 as well, as Java's does with every request, is served as it came; only WebSockets are changed to.
      shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
    })
    this.#http.maxConnections = limits.connectionsMax
    this.#http.on('request', (request, response) => this.#serve(request, response))
    this.#http.on('checkContinue', (request, response) => this.#serve(request, response))
    this.#http.on('checkExpectation', (request, response) =>
      refuse(
        request,
        response,
        new HttpError(
          417,
          'expect.unknown',
          `This server cannot do what is expected: ${request.headers.expect?.slice(0, 100)}.`,
          'Send Expect: 100-continue, or none.',
        ),
      ),
    )
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head))
    this.#http.on('clientError', (error, socket) => answerClientError(error, socket, limits))
  }

  async listen(host: string, port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', (error) => reject(listenError(error, host, port)))
      this.#http.listen(port, host, () => {
        this.#http.removeAllListeners('error')
        resolve()
      })
    })
    const address = this.#http.address()
    this.port = typeof address === 'object' && address !== null ? address.port : port
    const shown = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host
    this.url = `http://${shown.includes(':') ? `[${shown}]` : shown}:${this.port}`
    // What a killed server left behind is removed now and not with the first upload, when the disk may be full of it.
    removeStaleSpools(this.#temporaryDirectory).catch((thrown: unknown) =>
      this.#log.write('warn', 'Old uploads could not be removed', { error: String(thrown) }),
    )
  }

  deploy(id: string, pipeline: Pipeline, relaunch?: Relaunch): Promise<Execution | null> {
    return this.#workflows.deploy(id, pipeline, relaunch)
  }

  reload(id: string): Promise<void> {
    return this.#workflows.reload(id)
  }

  undeploy(id: string): Promise<void> {
    return this.#workflows.undeploy(id)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const release = this.#count(request)
    response.once('close', release)
    request.url = originForm(request.url ?? '/')
    this.#route(request, response).catch((thrown: unknown) => {
      if (thrown instanceof HttpError) return refuse(request, response, thrown)
      // Nobody is left to be told.
      if (thrown instanceof BodyAborted) return response.destroy()
      this.#log.write('error', `${request.method} ${request.url} failed`, { error: String(thrown) })
      refuse(
        request,
        response,
        new HttpError(500, 'server.error', 'The server failed on this request.', 'Look into its log.'),
      )
    })
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    request.url = originForm(request.url ?? '/')
    try {
      this.#guard.checkName(request)
      if (this.#closing === null && this.hub.handleUpgrade(request, socket, head, urlOf(request).pathname)) return
    } catch (thrown) {
      socket.on('error', () => socket.destroy())
      if (!(thrown instanceof HttpError)) throw thrown
      return refuseSocket(socket, thrown)
    }
    this.#realtime.upgrade(request, socket, head)
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!methodsKnown.has(request.method ?? ''))
      throw new HttpError(501, 'method.unknown', `This server knows no method ${request.method}.`)
    const url = urlOf(request)
    // Probes come under any name and tell nothing; they are answered to the last.
    if (url.pathname === '/livez') return answerText(request, response, 200, 'ok\n')
    if (url.pathname === '/readyz') return this.#answerReady(request, response)
    this.#checkLoad(request)
    this.#guard.admit(request)
    const cors = corsHeaders(this.#guard.foreignOrigin(request))
    if (request.method === 'OPTIONS' && cors['access-control-allow-origin'] !== undefined) {
      // An origin that is listed may send what it likes: a webhook reads headers of its caller's making.
      const asked = request.headers['access-control-request-headers']
      const allowed = asked === undefined ? {} : { 'access-control-allow-headers': asked }
      response.writeHead(204, { ...cors, ...allowed, 'access-control-max-age': '600' }).end()
      return
    }
    if (this.#closing !== null)
      throw new HttpError(503, 'server.closing', 'The server is closing.', 'Try again in a moment.', {
        'retry-after': '2',
        connection: 'close',
      })
    if (this.hub.handle(request, response, url, cors)) return
    if (url.pathname === '/metrics') {
      this.#guard.authorize(request)
      return answerText(request, response, 200, this.#metrics())
    }
    if (url.pathname === realtimePath)
      throw new HttpError(
        426,
        'websocket.expected',
        'This path speaks WebSocket, and the request asks for none.',
        'Connect with the SDK; a proxy in between has to pass the headers Upgrade and Connection on.',
        { upgrade: 'websocket' },
      )
    if (url.pathname.startsWith('/api/')) {
      this.#guard.authorize(request)
      for (const [name, value] of Object.entries(cors)) response.setHeader(name, value)
      const api = await this.#openApi()
      return api(request, response)
    }
    if (this.#pages !== null && (await this.#pages.handle(request, response, url.pathname))) return
    // Who calls a webhook in the moment of a restart would take 404 for its end.
    if (!this.#hasStarted())
      throw new HttpError(503, 'server.starting', 'The server is starting.', 'Try again in a moment.', {
        'retry-after': '1',
      })
    throw new HttpError(
      404,
      'path.unknown',
      `Nothing is at ${url.pathname.slice(0, 200)}.`,
      'GET /api/openapi.json lists the API.',
    )
  }

  #answerReady(request: IncomingMessage, response: ServerResponse): void {
    if (this.#closing !== null) answerText(request, response, 503, 'closing\n')
    else if (this.#hasStarted() && this.#workflows.ready) answerText(request, response, 200, 'ok\n')
    else answerText(request, response, 503, 'starting\n')
  }

  #count(request: IncomingMessage): () => void {
    const client = request.socket.remoteAddress ?? ''
    this.#requests += 1
    this.#perClient.set(client, (this.#perClient.get(client) ?? 0) + 1)
    return () => {
      this.#requests -= 1
      const left = (this.#perClient.get(client) ?? 1) - 1
      if (left === 0) this.#perClient.delete(client)
      else this.#perClient.set(client, left)
    }
  }

  #checkLoad(request: IncomingMessage): void {
    const { requestsMax, requestsPerClientMax } = this.#limits
    if (this.#requests > requestsMax)
      throw new HttpError(503, 'server.busy', `${requestsMax} requests are under way.`, 'Try again later.', {
        'retry-after': '1',
      })
    if ((this.#perClient.get(request.socket.remoteAddress ?? '') ?? 0) > requestsPerClientMax)
      throw new HttpError(
        429,
        'client.too-many-requests',
        `${requestsPerClientMax} requests of yours are under way.`,
        'Wait for some of them.',
        {
          'retry-after': '1',
        },
      )
  }

  /** The API and its schemas are loaded when somebody first asks: an idle server stays small. */
  #openApi(): Promise<(request: IncomingMessage, response: ServerResponse) => Promise<void>> {
    this.#api ??= import('./api.ts').then((module) =>
      module.createApi({
        limits: this.#limits,
        topics: this.topics,
        workflows: this.#workflows,
        hub: this.hub,
        log: this.#log,
        clock: this.#clock,
      }),
    )
    return this.#api
  }

  #openSpool(): Promise<Spool> {
    if (this.#spool !== null) return this.#spool
    const spool = createSpool(this.#limits.spoolBytesMax, this.#temporaryDirectory)
    this.#spool = spool
    // A folder that cannot be made now, as on a system that is read-only, is tried again with the next upload.
    spool.catch(() => {
      this.#spool = null
    })
    return spool
  }

  #metrics(): string {
    return prometheusText({
      workflows: this.#workflows,
      topics: this.topics,
      sockets: this.#realtime.sockets,
      requests: this.#requests,
      eventLoop: this.#eventLoop.look(),
    })
  }

  async #close(): Promise<void> {
    this.#stopWatching()
    this.#eventLoop.close()
    const stopped = new Promise<void>((resolve) => this.#http.close(() => resolve()))
    this.#http.closeIdleConnections()
    const drained = this.#workflows.close(this.#limits.closeMsMax).catch((thrown: unknown) => {
      this.#log.write('error', 'A workflow did not close', { error: String(thrown) })
    })
    await Promise.race([drained, delay(this.#limits.closeMsMax, undefined, { ref: false })])
    this.#realtime.close()
    this.topics.close()
    // Pages and readers of topics would keep their connections for ever; a moment is theirs to see the end.
    const soon = setTimeout(
      () => {
        this.#realtime.terminate()
        this.#http.closeAllConnections()
      },
      Math.min(500, this.#limits.closeMsMax),
    )
    await stopped
    clearTimeout(soon)
    this.#realtime.terminate()
    const spool = await this.#spool?.catch(() => null)
    await spool?.close()
  }
}

function listenError(error: Error, host: string, port: number): Error {
  const code = 'code' in error ? error.code : ''
  if (code === 'EADDRINUSE')
    return new Error(`Port ${port} on ${host} is taken by another program: stop that one, or choose another port.`, {
      cause: error,
    })
  if (code === 'EADDRNOTAVAIL')
    return new Error(`${host} is no address of this machine: listen on another one.`, { cause: error })
  if (code === 'EACCES')
    return new Error(`Port ${port} may not be opened by this user: choose one above 1023.`, { cause: error })
  return error
}

/** Path and query of a request's target; what is sent as if to a proxy names the server as well. (RFC 9112, 3.2) */
function originForm(target: string): string {
  if (target.startsWith('/')) return target
  const url = URL.parse(target)
  return url === null || !/^https?:$/.test(url.protocol) ? '/' : url.pathname + url.search
}

function urlOf(request: IncomingMessage): URL {
  // Only path and query count; the base is there because URL wants one.
  const text = `http://millrace.invalid${request.url}`
  if (!URL.canParse(text)) throw new HttpError(400, 'path.bad', 'The request names no path that can be read.')
  return new URL(text)
}

function corsHeaders(origin: string | null): Record<string, string> {
  if (origin === null) return {}
  return {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
    vary: 'origin',
  }
}

function answerText(request: IncomingMessage, response: ServerResponse, status: number, text: string): void {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    throw new HttpError(405, 'method.not-allowed', `This path does not take ${request.method}.`, 'Use GET.', {
      allow: 'GET, HEAD',
    })
  response.writeHead(status, {
    'content-type': 'text/plain; version=0.0.4; charset=utf-8',
    'cache-control': 'no-store',
  })
  response.end(request.method === 'HEAD' ? undefined : text)
}

/** What is not HTTP, or came too slowly, gets a short answer and is cut. */
function answerClientError(error: Error, socket: Duplex, limits: ServerLimits): void {
  const code = 'code' in error ? error.code : ''
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  refuseSocket(socket, clientError(error, code, limits))
}

function clientError(error: Error, code: unknown, { headBytesMax, headMsMax }: ServerLimits): HttpError {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new HttpError(
      431,
      'head.too-large',
      `The request line and the headers are longer than the ${headBytesMax} bytes that are taken here.`,
      'Send a shorter address, fewer headers or cookies.',
    )
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new HttpError(
      408,
      'head.slow',
      `The request line and the headers were not there after ${headMsMax} ms.`,
      'Send it again over a better line.',
    )
  const why = 'reason' in error ? `: ${error.reason}` : ''
  return new HttpError(400, 'request.unreadable', `This is no request that can be read${why}.`, 'Speak HTTP/1.1.')
}
