import { Deadline, wait } from '../../core/flow/deadline.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Clock, Log } from '../../core/host.ts'
import type { Connection, Settings } from './connection.ts'
import type { ColumnTypes, Cursor, PolledTable, PollQuery } from './poll-query.ts'
import { describeTable, lastRow, nextRows, rowsAt, typeOf } from './poll-query.ts'
import { parsedRow, readLines } from './read-rows.ts'

const pageBytesMax = 64_000_000
const columnsMax = 100_000
const backoffMs = 200
const backoffMsMax = 30_000

export interface TablePollOptions extends PolledTable {
  readonly node: string
  readonly connection: Connection
  readonly from: 'start' | 'end'
  /** Rows with a greater value only. */
  readonly after: string | null
  readonly everyMs: number
  /** Of one query. */
  readonly rowsMax: number
  /** Rows of one value that are remembered. */
  readonly tiesMax: number
  readonly timeoutMs: number
  readonly settings: Settings
  readonly clock: Clock
  readonly log: Log
}

interface Page {
  /** Rows that have not been read before, as JSON. */
  readonly lines: readonly string[]
  /** Whether more rows are there already. */
  readonly more: boolean
}

/** Reads a table that grows: what is there, and then what comes, in the order of a column. Its state is the cursor alone. */
export class TablePoll implements AsyncIterable<Uint8Array> {
  readonly #options: TablePollOptions
  readonly #closing = new AbortController()
  #types: ColumnTypes = new Map()
  #cursor: Cursor | null = null
  /** Without a tie-break: rows that were read and have the cursor's value, with their number. */
  #seen = new Map<string, number>()
  #seenCount = 0

  constructor(options: TablePollOptions) {
    this.#options = options
  }

  /** Ends a wait, a query and the iteration. */
  close(): void {
    this.#closing.abort(new NodeError('execution.stopped', 'the execution was stopped'))
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const { everyMs, clock } = this.#options
    const { signal } = this.#closing
    await this.#patiently(() => this.#begin())
    while (!signal.aborted) {
      const page = await this.#patiently(() => this.#next())
      if (page.lines.length > 0) yield Buffer.from(`${page.lines.join('\n')}\n`)
      if (!page.more) await wait(clock, everyMs, [signal])
    }
  }

  async #begin(): Promise<void> {
    const { table, column, tieBreak, from, after, tiesMax } = this.#options
    const types = new Map<string, string>()
    for (const line of (await this.#ask(describeTable(table), columnsMax)).lines)
      types.set(fieldOf(line, 'name') ?? '', fieldOf(line, 'type') ?? '')
    this.#types = types
    for (const each of tieBreak === null ? [column] : [column, tieBreak]) typeOf(types, each, table)
    if (after !== null) this.#cursor = { value: after, tie: null, again: false }
    const [last] = from === 'end' ? (await this.#ask(lastRow(this.#options), 1)).lines : []
    if (last === undefined) return
    const cursor = this.#cursorAt(last)
    if (cursor.again) {
      // What stands at the end beside the last row is not news either.
      const beside = await this.#ask(rowsAt(this.#options, types, cursor, tiesMax + 1), tiesMax + 1)
      this.#remember(cursor, beside.lines)
    }
    this.#cursor = cursor
  }

  /** Reads the next rows and moves the cursor behind them. */
  async #next(): Promise<Page> {
    const limit = this.#options.rowsMax + this.#seenCount
    const page = await this.#ask(nextRows(this.#options, this.#types, this.#cursor, limit), limit)
    const last = page.lines.at(-1)
    if (last === undefined) return page
    const cursor = this.#cursorAt(last)
    if (cursor.again) this.#remember(cursor, page.lines)
    this.#cursor = cursor
    return page
  }

  /** Notes which rows with the cursor's value have been read: the last ones of those that have just come, and earlier ones of the same value. */
  #remember(cursor: Cursor, lines: readonly string[]): void {
    const { tiesMax, column, node } = this.#options
    if (cursor.value !== this.#cursor?.value) {
      this.#seen = new Map()
      this.#seenCount = 0
    }
    for (const line of lines.toReversed()) {
      if (fieldOf(line, column) !== cursor.value) break
      this.#seen.set(line, (this.#seen.get(line) ?? 0) + 1)
      this.#seenCount += 1
    }
    if (this.#seenCount > tiesMax)
      throw new NodeError(
        'clickhouse.too-many-ties',
        `more than ${tiesMax} rows have ${column} = ${cursor.value}; give ${node} a \`tieBreak\`, or raise \`tiesMax\``,
      )
  }

  #cursorAt(line: string): Cursor {
    const { column, tieBreak, table } = this.#options
    const value = fieldOf(line, column)
    const tie = tieBreak === null ? null : fieldOf(line, tieBreak)
    if (value === null || (tieBreak !== null && tie === null))
      throw new NodeError(
        'clickhouse.bad-column',
        `a row of ${table} came without ${value === null ? column : tieBreak}`,
      )
    return { value, tie, again: tieBreak === null }
  }

  /** The rows of an answer, up to a page's size, without those that have been seen. */
  async #ask(query: PollQuery, rowsMax: number): Promise<Page> {
    const { connection, settings, clock, timeoutMs, node } = this.#options
    const deadline = new Deadline(clock, timeoutMs, `the query of ${node}`, [this.#closing.signal])
    const lines: string[] = []
    const seen = new Map(this.#seen)
    let rows = 0
    let bytes = 0
    try {
      const answer = await connection.query({ ...query, settings }, deadline.signal)
      for await (const texts of readLines(answer, noLimits)) {
        for (const text of texts) {
          rows += 1
          const times = seen.get(text) ?? 0
          if (times > 0) seen.set(text, times - 1)
          else {
            lines.push(text)
            bytes += text.length
          }
        }
        if (bytes >= pageBytesMax) break
      }
      return { lines, more: rows >= rowsMax || bytes >= pageBytesMax }
    } catch (thrown) {
      throw connection.failed(thrown, deadline.signal)
    } finally {
      deadline.clear()
    }
  }

  /** Tries again what may succeed later, for as long as it takes: a source whose server is away waits for it. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    const { clock, log, node } = this.#options
    const { signal } = this.#closing
    for (let attempt = 0; ; attempt++) {
      try {
        const done = await work()
        if (attempt > 0) log.write('info', `${node} reads again`, { node })
        return done
      } catch (thrown) {
        if (signal.aborted || !(thrown instanceof NodeError && thrown.retriable)) throw thrown
        if (attempt === 0) log.write('warn', `${thrown.message}; ${node} tries again`, { node, code: thrown.code })
        await wait(clock, Math.min(backoffMs * 2 ** attempt, backoffMsMax), [signal])
        signal.throwIfAborted()
      }
    }
  }
}

const noLimits = { rowBytesMax: pageBytesMax, bytesMax: Number.POSITIVE_INFINITY }

/** The value of a row's column as text; null for what cannot be a cursor's. */
function fieldOf(line: string, column: string): string | null {
  const row = parsedRow(line)
  const value: unknown = typeof row === 'object' && row !== null ? Reflect.get(row, column) : null
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : null
}
