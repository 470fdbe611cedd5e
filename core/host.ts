import type { Failure } from './flow/failure.ts'
import type { AnswerHeaders } from './header-text.ts'
import type { Query } from './query.ts'

/**
 * What core needs from the world. Core does no I/O and reads no clock: the outside implements these interfaces,
 * tests implement them on virtual time, and one file (the server's or the CLI's main) joins them.
 */
export interface Host {
  readonly clock: Clock
  readonly random: () => number
  /** A new id, unique on this host, URL-safe. */
  readonly id: () => string
  /** Names under `$env` that the operator of this host allows, with their values. */
  readonly env: Readonly<Record<string, string>>
  /** Read once per batch, so a change is seen by the next one. */
  readonly vars: () => Readonly<Record<string, unknown>>
  readonly log: Log
  /** Takes what no error port took. Resolves when the letters are safe; a rejection is an infrastructure failure. */
  readonly deadLetter: (letters: readonly DeadLetter[], signal: AbortSignal) => Promise<void>
  /** Absent where the host has none: a document that needs one gets a problem, not a crash. */
  readonly pools?: Pools
  readonly hub?: Hub
  readonly topics?: Topics
  readonly files?: Files
  readonly standardStreams?: StandardStreams
  /** Takes sampled spans of workflows with `telemetry: trace`. Absent where nobody collects them. */
  readonly span?: (span: Span) => void
  /** Which of the workflow's lanes this is; absent where there is one. */
  readonly lane?: { readonly index: number; readonly count: number }
  /** Where a thread notes what it works on, for the watchdog outside. Absent where nobody watches. */
  readonly watch?: Watch
}

/** One batch's way through one stage, sampled. Times are milliseconds since the epoch. */
export interface Span {
  readonly workflow: string
  readonly execution: string
  /** The nodes that the stage runs, in order. */
  readonly nodes: readonly string[]
  readonly startMs: number
  readonly durationMs: number
  readonly messagesIn: number
  readonly messagesOut: number
}

/** Shared memory between a thread and its watchdog; plain stores, a third of a nanosecond each. */
export interface Watch {
  /** `[0]`: the node at work, its index plus one; 0 when none is. `[1]`: beats. */
  readonly slots: Int32Array
}

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Milliseconds with fractions from any fixed point: for how long something took. */
  elapsed(): number
  /** Calls back once after `delayMs`; the answer cancels it. */
  after(delayMs: number, callback: () => void): () => void
  /** Calls back in a later turn of the event loop, before any timer: how a pump yields. */
  soon(callback: () => void): void
}

export interface Log {
  write(level: 'debug' | 'info' | 'warn' | 'error', text: string, fields?: Readonly<Record<string, unknown>>): void
}

export interface DeadLetter {
  readonly workflow: string
  readonly execution: string
  readonly failure: Failure
  readonly value: unknown
  readonly key: string | Uint8Array | null
  readonly time: number
}

/** Elastic workers. Tasks are registered functions, called by name; nothing executable is ever shipped. */
export interface Pools {
  /** Makes sure that a pool with these options exists; options are compared by name, the first ones win. */
  pool(options: PoolOptions): Pool
}

export interface PoolOptions {
  readonly name: string
  readonly backend: 'inline' | 'thread' | 'process'
  /** Hard bound on runners, booting ones included. */
  readonly max: number
  readonly min: number
  /** Tasks that one runner works on at once. */
  readonly concurrencyMax: number
  readonly idleShutdownMs: number
}

export interface Pool {
  /** Runs a task to its last value and answers that. */
  call(task: string, input: unknown, options?: TaskOptions): Promise<unknown>
  /** Starts a task and forgets it; resolves when a runner has accepted it. */
  cast(task: string, input: unknown, options?: TaskOptions): Promise<void>
  /** Streams what the task yields while it runs. Not asking for the next value suspends the task. */
  stream(task: string, input: unknown, options?: TaskOptions): AsyncIterable<unknown>
}

export interface TaskOptions {
  readonly signal?: AbortSignal
  /** The whole task's limit. */
  readonly timeoutMs?: number
  /** Values that may be on their way before the reader has taken them. */
  readonly window?: number
  readonly onProgress?: (progress: TaskProgress) => void
}

export interface TaskProgress {
  /** 0 to 1, or null where the task cannot tell. */
  readonly share: number | null
  readonly note: string
}

/** The server's door for triggers that live on its port. */
export interface Hub {
  /**
   * Claims a route. Throws a NodeError when it is taken. The answer releases it. `arriving` hears, at most once for each request and before
   * `handler`, of a body whose end is near, as `HubRoute.arrivingMs` says; the body may still be cut.
   */
  route(
    route: HubRoute,
    handler: (request: HubRequest, reply: HubReply) => void,
    arriving?: (arrival: HubArrival) => void,
  ): () => void
  /**
   * Claims a path for connections that ask to become WebSockets; whoever claims it answers them, also where it refuses.
   * Throws a NodeError when it is taken, or where sockets cannot be had. The answer releases it.
   */
  upgrade(path: string, handler: (upgrade: HubUpgrade) => void): () => void
}

/** A connection that asks to become a WebSocket. It came under a name that the server answers to; nothing else has been checked. */
export interface HubUpgrade {
  readonly params: Readonly<Record<string, string>>
  /** Request, socket and first bytes, as Node's HTTP server gives them. Core knows no types of Node: who takes them looks what they are. */
  readonly request: unknown
  readonly socket: unknown
  readonly head: unknown
}

export interface HubRoute {
  readonly methods: readonly string[]
  /** `/orders/:id`; parameters arrive in `request.params`. */
  readonly path: string
  /** How the body is handed over. `file` spools it to a temporary file that the answer's end removes, unless it is kept. */
  readonly body: 'json' | 'form' | 'text' | 'bytes' | 'file' | 'none'
  readonly bodyBytesMax: number
  /** How long before a body's end `arriving` hears of it, judged by the body's speed so far. */
  readonly arrivingMs?: number | undefined
}

/** What a request's head says. */
export interface HubHead {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly headers: Readonly<Record<string, string>>
}

/** A request whose body is about to be complete. */
export interface HubArrival extends HubHead {
  readonly receivedBytes: number
  readonly totalBytes: number
  /** When the rest is expected, in milliseconds from now. */
  readonly expectedMs: number
}

export interface HubRequest extends HubHead {
  /** By `HubRoute.body`: parsed JSON, the fields of a form as a `Query`, text, bytes, `UploadedFile`, or null. */
  readonly body: unknown
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal
  /** Keeps the spooled file of a `file` body beyond the answer; calling what it answers removes the file. */
  keepFile(): () => void
}

export interface UploadedFile {
  readonly path: string
  readonly name: string
  readonly mime: string
  readonly sizeBytes: number
}

/** One HTTP answer: whole, or streamed piece by piece with back-pressure. */
export interface HubReply {
  readonly answered: boolean
  /** Answers whole and ends. `body` other than text or bytes is sent as JSON. */
  send(status: number, body: unknown, headers?: AnswerHeaders): void
  /** Begins a streamed answer. NDJSON: a line per value; SSE: an event per value. */
  begin(status: number, format: 'ndjson' | 'sse', headers?: AnswerHeaders): void
  /** Writes one value; resolves when the socket took it, so a slow reader is felt. Rejects when the client has gone. */
  write(value: unknown, event?: string): Promise<void>
  /** Ends a streamed answer. Idempotent. */
  end(): void
  /** Runs once when the answer is over, however it ended. */
  onEnd(callback: () => void): void
}

/** Named streams with offsets that outside readers resume by. */
export interface Topics {
  /** Appends values in order; resolves when readers may see them and no reader's window forbids more. */
  publish(topic: string, values: readonly unknown[], signal: AbortSignal): Promise<void>
}

/** The only way to the file system: the host decides which folders a workflow may touch. */
export interface Files {
  /** The absolute path for one that a document names; throws a NodeError `file.not-allowed` outside the allowed folders. */
  resolve(path: string, access: 'read' | 'write'): string
}

export interface StandardStreams {
  readonly input: AsyncIterable<Uint8Array>
  /** Resolves when the chunk was taken. */
  write(chunk: Uint8Array | string): Promise<void>
}
