import type { SinkWriter, WriteFailure } from '../../core/define.ts'
import { Deadline } from '../../core/flow/deadline.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'
import type { Clock } from '../../core/host.ts'
import { RowError } from './clickhouse-error.ts'
import type { Insert, Row } from './insert.ts'
import { cutByBytes, insertOf } from './insert.ts'

/** Rows of an insert with a bad row are sent again in sections of so many, so that one bad row does not cost all of them again. */
const sectionRows = 1_000
/** Requests that one write may take to find its bad rows. */
const requestsMax = 2_000

export interface InserterOptions {
  readonly node: string
  readonly clock: Clock
  /** The row of a message; throws a NodeError for a message that has none. */
  readonly rowOf: (message: Message, scope: Scope) => string
  /** Sends rows under a token; throws a RowError when a row is to blame, or another NodeError. */
  readonly send: (insert: Insert, signal: AbortSignal) => Promise<void>
  /** Bytes of one insert; a row over it is refused. */
  readonly bytesMax: number
  readonly timeoutMs: number
}

/**
 * Writes messages as inserts. A row that the server refuses fails alone: it is looked for, and the rest is sent without it.
 * An insert of which nobody knows whether it arrived is repeated exactly as it was, with its token, whatever it is asked to write besides.
 */
export class Inserter implements SinkWriter {
  readonly #options: InserterOptions
  /** By their first message. */
  readonly #unsure = new WeakMap<Message, Insert>()

  constructor(options: InserterOptions) {
    this.#options = options
  }

  async write(
    messages: readonly Message[],
    signal: AbortSignal,
    scopeOf: (index: number) => Scope,
  ): Promise<readonly WriteFailure[]> {
    const { clock, timeoutMs, node } = this.#options
    const deadline = new Deadline(clock, timeoutMs, `the insert of ${node}`, [signal])
    const write = new Write(this.#options, deadline.signal, this.#unsure)
    try {
      for (const rows of this.#inserts(messages, scopeOf, write)) await write.insert(rows)
    } finally {
      deadline.clear()
    }
    signal.throwIfAborted()
    return write.failures
  }

  async close(): Promise<void> {}

  /** What is to be sent, in order: new rows cut by size, and inserts of an earlier write whose outcome is unknown, as they were. */
  *#inserts(messages: readonly Message[], scopeOf: (index: number) => Scope, write: Write): Generator<readonly Row[]> {
    let fresh: Row[] = []
    for (let index = 0; index < messages.length; index++) {
      const message = messages[index]
      if (message === undefined) continue
      const again = this.#unsureAt(messages, index)
      if (again !== null) {
        yield* cutByBytes(fresh, this.#options.bytesMax)
        fresh = []
        const begin = index
        yield again.messages.map((each, at) => ({ index: begin + at, message: each, text: again.texts[at] ?? '' }))
        index += again.messages.length - 1
        continue
      }
      try {
        fresh.push({ index, message, text: this.#rowOf(message, scopeOf(index)) })
      } catch (thrown) {
        write.fail([{ index }], failureOf(thrown, this.#options.node))
      }
    }
    yield* cutByBytes(fresh, this.#options.bytesMax)
  }

  #rowOf(message: Message, scope: Scope): string {
    const { rowOf, bytesMax } = this.#options
    const text = rowOf(message, scope)
    if (text.length * 3 < bytesMax || Buffer.byteLength(text) < bytesMax) return text
    throw new NodeError(
      'clickhouse.row-too-large',
      `the row has ${Buffer.byteLength(text)} bytes; the limit (\`bytesMax\`) is ${bytesMax}`,
    )
  }

  #unsureAt(messages: readonly Message[], index: number): Insert | null {
    const first = messages[index]
    const insert = first === undefined ? undefined : this.#unsure.get(first)
    if (first === undefined || insert === undefined) return null
    this.#unsure.delete(first)
    return insert.messages.every((each, at) => messages[index + at] === each) ? insert : null
  }
}

/** The inserts of one call of `write`, and what became of them. */
class Write {
  readonly failures: WriteFailure[] = []
  readonly #options: InserterOptions
  readonly #signal: AbortSignal
  readonly #unsure: WeakMap<Message, Insert>
  #requests = 0
  /** The server is away, or time is over: nothing more is tried. */
  #over: Failure | null = null

  constructor(options: InserterOptions, signal: AbortSignal, unsure: WeakMap<Message, Insert>) {
    this.#options = options
    this.#signal = signal
    this.#unsure = unsure
  }

  fail(rows: readonly { readonly index: number }[], failure: Failure): void {
    for (const { index } of rows) this.failures.push({ index, failure })
  }

  async insert(rows: readonly Row[]): Promise<void> {
    const refused = await this.#send(rows)
    if (refused === null) return
    if (rows.length <= sectionRows) return this.#separate(rows, refused)
    for (let at = 0; at < rows.length; at += sectionRows) {
      const section = rows.slice(at, at + sectionRows)
      const error = await this.#send(section)
      if (error !== null) await this.#separate(section, error)
    }
  }

  /** Takes the bad rows out of rows of which at least one was refused, and sends the rest together. */
  async #separate(refused: readonly Row[], error: RowError): Promise<void> {
    let rows = refused
    let why: RowError | null = error
    while (why !== null) {
      const suspect: Row | undefined = rows[(why.row ?? 0) - 1]
      if (suspect === undefined || rows.length === 1) return this.#halve(rows, why)
      const own = await this.#send([suspect])
      if (own !== null) this.fail([suspect], this.#failureOf(own))
      rows = rows.filter((row) => row !== suspect)
      why = await this.#send(rows)
      // The server named a row that it takes, which is in the table now: what it names is of no use.
      if (why !== null && own === null) return this.#halve(rows, why)
    }
  }

  async #halve(refused: readonly Row[], error: RowError): Promise<void> {
    if (refused.length === 1) return this.fail(refused, this.#failureOf(error))
    const middle = Math.ceil(refused.length / 2)
    for (const half of [refused.slice(0, middle), refused.slice(middle)]) {
      const why = await this.#send(half)
      if (why !== null) await this.#halve(half, why)
    }
  }

  /** One request. Answers the error when a row is to blame; any other failure is that of all the rows. */
  async #send(rows: readonly Row[]): Promise<RowError | null> {
    if (rows.length === 0) return null
    if (this.#over !== null) {
      this.fail(rows, this.#over)
      return null
    }
    if (++this.#requests > requestsMax) {
      this.#over = {
        code: 'clickhouse.too-many-bad-rows',
        message: `one write holds so many rows that the server refuses that ${requestsMax} requests did not find them all; these were not tried`,
        node: this.#options.node,
        retriable: true,
      }
      this.fail(rows, this.#over)
      return null
    }
    const insert = insertOf(rows)
    try {
      await this.#options.send(insert, this.#signal)
      return null
    } catch (thrown) {
      if (thrown instanceof RowError) return thrown
      const failure = this.#failureOf(thrown)
      if (failure.retriable) {
        this.#over = failure
        const first = insert.messages[0]
        if (first !== undefined) this.#unsure.set(first, insert)
      }
      this.fail(rows, failure)
      return null
    }
  }

  #failureOf(thrown: unknown): Failure {
    return failureOf(thrown, this.#options.node)
  }
}
