import type { ServerFrame, WireOutcome } from '../core/protocol/server-frames.ts'
import { readOutcome } from '../core/protocol/server-frames.ts'
import type { ConnectionState } from './connection.ts'
import { Connection } from './connection.ts'
import { MillraceError } from './errors.ts'
import type { HttpDoor, StreamOptions } from './http.ts'
import { callApi, streamValues } from './http.ts'
import type { Gap, SubscribeOptions, Subscription, TopicMessage } from './subscription.ts'
import { TopicSubscription } from './subscription.ts'
import type { UploadBody, UploadOptions } from './upload.ts'
import { uploadValues } from './upload.ts'

export interface ConnectOptions {
  /** The API token of the server, where it has one. */
  readonly token?: string | null
}

export interface RunOptions {
  /** Node id of the trigger; the workflow's first event trigger when absent. */
  readonly entry?: string
  /** Stops the execution. */
  readonly signal?: AbortSignal
}

/** An execution that this client started. */
export interface Run<T> {
  readonly execution: string
  /** Name of the topic that its results come by: what the workflow publishes to `executions/ID`. */
  readonly topic: string
  /**
   * Values in order, each once. Ends with the execution. Throws `execution.failed` when that failed, and `results.incomplete`
   * behind the last value when messages of it failed and lie in the dead-letter.
   */
  readonly results: AsyncIterable<T>
  /** How it ended, once `results` has. */
  readonly outcome: WireOutcome | null
  /** Drains the execution and ends it; with `kill` cuts it at once. */
  stop(options?: { readonly kill?: boolean }): Promise<WireOutcome>
}

export interface ExecutionView {
  readonly id: string
  readonly workflow: string
  readonly entry: string
  readonly state: string
  readonly startedAt: number
  readonly endedAt: number | null
  readonly outcome: WireOutcome | null
}

export interface Topic<T> {
  readonly name: string
  /** Reads the topic with `for await`. An abort ends the loop without an error. */
  subscribe(options?: SubscribeOptions): Subscription<T>
  /** Reads the topic by callback; resolves when it has ended, rejects as the loop would throw. */
  listen(onMessage: (message: TopicMessage<T>) => void | Promise<void>, options?: SubscribeOptions): Promise<void>
}

/** A client of one server, over one WebSocket that comes back by itself. Close it: in Node it keeps the process alive. */
export interface Client {
  readonly url: string
  readonly state: ConnectionState
  /** Why the connection was lost the last time. */
  readonly lastError: MillraceError | null
  /** Calls back at each change of `state`; the answer unregisters. */
  onState(callback: (state: ConnectionState) => void): () => void
  run<T = unknown>(workflow: string, input?: unknown, options?: RunOptions): Promise<Run<T>>
  topic<T = unknown>(name: string): Topic<T>
  /** Sends a file to an endpoint of a workflow and gives the values that it answers, as they come. */
  upload<T = unknown>(path: string, body: UploadBody, options?: UploadOptions): AsyncGenerator<T, void, undefined>
  /** Reads a streaming endpoint of a workflow: NDJSON or SSE. */
  stream<T = unknown>(path: string, options?: StreamOptions): AsyncGenerator<T, void, undefined>
  /** One call of the server's own HTTP API, answered with JSON: `api('GET', '/api/workflows')`. */
  api(method: string, path: string, body?: unknown): Promise<unknown>
  readonly executions: {
    list(): Promise<readonly ExecutionView[]>
    get(id: string): Promise<ExecutionView>
    stop(id: string, options?: { readonly kill?: boolean }): Promise<WireOutcome>
  }
  close(): void
}

/** Connects to a server, such as `http://127.0.0.1:4600`; in a page, `location.origin`. Answers at once, see `state`. Throws `connection.bad-url`. */
export function connect(url: string, options: ConnectOptions = {}): Client {
  return new RealtimeClient(url, options)
}

interface PendingRun {
  readonly resolve: (frame: Extract<ServerFrame, { kind: 'ran' }>) => void
  readonly reject: (error: MillraceError) => void
  readonly send: () => void
  sent: boolean
}

const runMsMax = 30_000
const stopMsMax = 120_000

class RealtimeClient implements Client {
  readonly url: string
  readonly executions: Client['executions']
  readonly #door: HttpDoor
  readonly #connection: Connection
  readonly #subscriptions = new Map<number, TopicSubscription<unknown>>()
  readonly #runs = new Map<number, PendingRun>()
  readonly #watchers = new Set<(state: ConnectionState) => void>()
  #ids = 0

  constructor(url: string, options: ConnectOptions) {
    if (!/^(http|ws)s?:\/\//i.test(url) || !URL.canParse(url))
      throw new MillraceError('connection.bad-url', `${JSON.stringify(url)} is no address of a server.`, {
        remedy: 'Write it with its protocol, such as http://127.0.0.1:4600.',
      })
    const base = new URL(url)
    base.protocol = base.protocol.replace('ws', 'http')
    const socket = new URL('/api/realtime', base)
    socket.protocol = base.protocol.replace('http', 'ws')
    this.url = base.origin
    this.#door = { base: base.href, token: options.token ?? null }
    this.executions = {
      list: async () => readViews(await this.api('GET', '/api/executions')),
      get: async (id) => readView(await this.api('GET', `/api/executions/${encodeURIComponent(id)}`)),
      stop: (id, how) => this.#stop(id, how?.kill === true),
    }
    this.#connection = new Connection({
      url: socket.href,
      token: this.#door.token,
      onLive: () => this.#live(),
      onFrame: (frame) => this.#frame(frame),
      onLost: (error) => this.#lost(error),
      onState: (state) => {
        for (const watcher of this.#watchers) watcher(state)
      },
    })
  }

  get state(): ConnectionState {
    return this.#connection.state
  }

  get lastError(): MillraceError | null {
    return this.#connection.lastError
  }

  onState(callback: (state: ConnectionState) => void): () => void {
    this.#watchers.add(callback)
    return () => this.#watchers.delete(callback)
  }

  async run<T>(workflow: string, input?: unknown, options: RunOptions = {}): Promise<Run<T>> {
    const aborted = (): boolean => options.signal?.aborted === true
    if (aborted()) throw new MillraceError('aborted', 'The call was aborted.')
    const { execution, topic } = await this.#start(workflow, input, options)
    const onAbort = (): void => {
      this.#stop(execution, false).catch(() => {})
    }
    options.signal?.addEventListener('abort', onAbort, { once: true })
    if (aborted()) onAbort()
    const gaps: Gap[] = []
    // From before the first offset, not from `start`: results that were dropped already must be noticed.
    const subscription = this.topic<T>(topic).subscribe({ after: -1, onGap: (gap) => gaps.push(gap) })
    return {
      execution,
      topic,
      results: resultsOf(subscription, gaps),
      get outcome() {
        return subscription.outcome
      },
      stop: (how) => this.#stop(execution, how?.kill === true),
    }
  }

  topic<T>(name: string): Topic<T> {
    const subscribe = (options: SubscribeOptions = {}): Subscription<T> => this.#subscribe<T>(name, options)
    return {
      name,
      subscribe,
      async listen(onMessage, options) {
        for await (const message of subscribe(options)) await onMessage(message)
      },
    }
  }

  upload<T>(path: string, body: UploadBody, options?: UploadOptions): AsyncGenerator<T, void, undefined> {
    return uploadValues<T>(this.#door, path, body, options)
  }

  stream<T>(path: string, options?: StreamOptions): AsyncGenerator<T, void, undefined> {
    return streamValues<T>(this.#door, path, options)
  }

  api(method: string, path: string, body?: unknown): Promise<unknown> {
    return callApi(this.#door, method, path, body)
  }

  close(): void {
    this.#connection.close()
  }

  #subscribe<T>(name: string, options: SubscribeOptions): Subscription<T> {
    this.#ids += 1
    const subscription = new TopicSubscription<T>(this.#ids, name, options, {
      send: (frame) => this.#connection.send(frame),
      forget: (id) => this.#subscriptions.delete(id),
    })
    if (this.state === 'closed') subscription.lost(this.#closedError(), true)
    else if (subscription.state !== 'ended') {
      this.#subscriptions.set(subscription.id, subscription)
      if (this.state === 'live') subscription.open()
    }
    return subscription
  }

  #start(workflow: string, input: unknown, options: RunOptions): Promise<Extract<ServerFrame, { kind: 'ran' }>> {
    if (this.state === 'closed') return Promise.reject(this.#closedError())
    this.#ids += 1
    const id = this.#ids
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () =>
          settle(() => reject(new MillraceError('connection.timeout', 'The server did not start the run in time.'))),
        runMsMax,
      )
      const settle = (how: () => void): void => {
        clearTimeout(timer)
        this.#runs.delete(id)
        how()
      }
      const run: PendingRun = {
        resolve: (frame) => settle(() => resolve(frame)),
        reject: (error) => settle(() => reject(error)),
        send: () => {
          run.sent = this.#connection.send({ kind: 'run', id, workflow, entry: options.entry ?? null, input })
        },
        sent: false,
      }
      this.#runs.set(id, run)
      run.send()
    })
  }

  async #stop(id: string, kill: boolean): Promise<WireOutcome> {
    const path = `/api/executions/${encodeURIComponent(id)}${kill ? '?kill=true' : ''}`
    const answer = await callApi(this.#door, 'DELETE', path, undefined, stopMsMax)
    const outcome = readOutcome(
      typeof answer === 'object' && answer !== null && 'outcome' in answer ? answer.outcome : null,
    )
    if (outcome === null) throw broken(path)
    return outcome
  }

  #live(): void {
    for (const run of this.#runs.values()) if (!run.sent) run.send()
    for (const subscription of this.#subscriptions.values()) subscription.open()
  }

  #frame(frame: ServerFrame): void {
    if (!('id' in frame) || frame.id === null) return
    const run = this.#runs.get(frame.id)
    if (run === undefined) this.#subscriptions.get(frame.id)?.take(frame)
    else if (frame.kind === 'ran') run.resolve(frame)
    else if (frame.kind === 'error') run.reject(new MillraceError(frame.code, frame.message))
  }

  #lost(error: MillraceError): void {
    const closed = this.state === 'closed'
    // A run that was sent may have started or not: sending it again could start it twice, so its caller decides.
    for (const run of [...this.#runs.values()]) if (closed || run.sent) run.reject(error)
    for (const subscription of [...this.#subscriptions.values()]) subscription.lost(error, closed)
  }

  #closedError(): MillraceError {
    return this.lastError ?? new MillraceError('connection.closed', 'The client was closed.')
  }
}

async function* resultsOf<T>(subscription: Subscription<T>, gaps: readonly Gap[]): AsyncGenerator<T, void, undefined> {
  const checkWhole = (): void => {
    const [gap] = gaps
    if (gap === undefined) return
    const which = `${gap.from} to ${gap.to ?? 'the last'}`
    throw new MillraceError(
      'results.gap',
      `Results ${which} are gone: they were read too slowly, or the server was started anew.`,
    )
  }
  try {
    for await (const message of subscription) {
      checkWhole()
      yield message.value
    }
  } catch (thrown) {
    // The server that ran it is no more, and the one that took its place knows nothing of it.
    const unknown = thrown instanceof MillraceError && thrown.code === 'topic.unknown'
    throw unknown ? new MillraceError('execution.lost', 'The execution was lost: the server was started anew.') : thrown
  }
  checkWhole()
  const { outcome } = subscription
  if (outcome?.state === 'failed') {
    const { failure } = outcome
    throw new MillraceError(
      'execution.failed',
      failure === null ? 'The execution failed.' : `${failure.message} (${failure.code})`,
    )
  }
  if (outcome?.state === 'lost') throw new MillraceError('execution.lost', 'The execution was lost.')
  const letters = outcome?.deadLetters ?? 0
  if (letters > 0)
    throw new MillraceError(
      'results.incomplete',
      `${letters === 1 ? 'A message' : `${letters} messages`} of the execution failed and ${letters === 1 ? 'lies' : 'lie'} in the dead-letter of the server.`,
    )
}

function readViews(answer: unknown): readonly ExecutionView[] {
  const list: unknown =
    typeof answer === 'object' && answer !== null && 'executions' in answer ? answer.executions : null
  if (!Array.isArray(list)) throw broken('/api/executions')
  return list.map(readView)
}

function readView(value: unknown): ExecutionView {
  if (typeof value !== 'object' || value === null || !('id' in value) || !('workflow' in value))
    throw broken('/api/executions')
  const read = (name: string): unknown => Reflect.get(value, name)
  const endedAt = read('endedAt')
  return {
    id: String(value.id),
    workflow: String(value.workflow),
    entry: String(read('entry')),
    state: String(read('state')),
    startedAt: Number(read('startedAt')),
    endedAt: typeof endedAt === 'number' ? endedAt : null,
    outcome: readOutcome(read('outcome')),
  }
}

function broken(path: string): MillraceError {
  return new MillraceError('answer.broken', `The server's answer to ${path} is not of the expected form.`)
}
