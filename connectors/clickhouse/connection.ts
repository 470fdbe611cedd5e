import { addAbortSignal, Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client'
import { z } from 'zod'
import type { Expression, NodeContext } from '../../core/define.ts'
import { constant, startExpression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { clickhouseError } from './clickhouse-error.ts'

/** Where the server is and who asks: the same fields for all nodes of this folder. */
export const connectionFields = {
  url: startExpression(z.string().min(1).max(2_000)).describe(
    'The HTTP interface of the server, for example `http://127.0.0.1:8123` or `https://abc.clickhouse.cloud:8443`.',
  ),
  database: startExpression(z.string().min(1).max(200))
    .default(constant('default'))
    .describe('The database of tables that are named without one; `default` when left out.'),
  username: startExpression(z.string().min(1).max(200))
    .default(constant('default'))
    .describe('The user; `default` when left out.'),
  password: startExpression(z.string().max(1_000))
    .default(constant(''))
    .describe('For example `{{ $env.CLICKHOUSE_PASSWORD }}`. It never appears in errors.'),
  compression: z
    .enum(['none', 'gzip'])
    .default('none')
    .describe('Packs what is sent and what comes back: for slow networks, at the price of CPU.'),
}

/** What all nodes let a document add: https://clickhouse.com/docs/operations/settings/settings. */
export const settingsField = z
  .record(
    z.string().regex(/^[a-z][a-z0-9_]{0,99}$/, 'not the name of a setting'),
    z.union([z.string().max(1_000), z.number(), z.boolean(), z.null()]),
  )
  .default({})
  .describe(
    'Settings of the server for these requests, such as `max_threads: 2`. `null` leaves out one that the node sends by itself.',
  )

export interface ConnectionConfig {
  readonly url: Expression<string>
  readonly database: Expression<string>
  readonly username: Expression<string>
  readonly password: Expression<string>
  readonly compression: 'none' | 'gzip'
}

/** Settings of one request by name; null for one that is not sent. */
export type Settings = Readonly<Record<string, string | number | boolean | null>>

export interface Query {
  /** Names its values as `{name:Type}`. */
  readonly sql: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly settings: Settings
}

/** The connection that a config describes; nodes of one pipeline that describe the same one share it. Throws a NodeError `clickhouse.bad-config`. */
export function openConnection(config: ConnectionConfig, context: NodeContext): Connection {
  const read = (field: 'url' | 'database' | 'username' | 'password'): string => {
    const value: unknown = context.value(config[field])
    if (typeof value === 'string') return value
    throw new NodeError(
      'clickhouse.bad-config',
      `${field} of ${context.node} gives ${value === undefined || value === null ? 'nothing' : `a ${typeof value}`}, not text; may this host read what it names (\`--allow-env NAME\`, \`--set NAME=…\`)?`,
    )
  }
  const place: ServerPlace = {
    url: serverUrl(read('url'), context.node),
    database: read('database'),
    username: read('username'),
    password: read('password'),
    compression: config.compression,
  }
  return context.shared(
    `clickhouse ${JSON.stringify(place)}`,
    () => new Connection(place),
    (connection) => connection.close(),
  )
}

interface ServerPlace {
  readonly url: string
  readonly database: string
  readonly username: string
  readonly password: string
  readonly compression: 'none' | 'gzip'
}

/** One client of one server, for one user and database. Whoever asks brings the limits of the request in a signal. */
export class Connection {
  readonly database: string
  readonly #place: ServerPlace
  #client: Promise<ClickHouseClient> | null = null

  constructor(place: ServerPlace) {
    this.#place = place
    this.database = place.database
  }

  /** Sends rows behind an INSERT statement; resolves when the server has them. Throws a NodeError `clickhouse.…`, or the signal's reason. */
  async insert(statement: string, rows: Uint8Array, settings: Settings, signal: AbortSignal): Promise<void> {
    try {
      const client = await this.#open()
      const { stream } = await client.exec({
        query: statement,
        values: Readable.from([rows], { objectMode: false }),
        clickhouse_settings: asSettings(settings),
        abort_signal: signal,
      })
      stream.resume()
      await finished(stream, { signal, cleanup: true })
    } catch (thrown) {
      throw this.#error(thrown, 'rows', signal)
    }
  }

  /**
   * Asks a query and gives the rows as JSON, a line each, as they come. The caller reads to the end, or destroys the stream; an abort does too.
   * Throws a NodeError `clickhouse.…`, or the signal's reason; what fails while the stream is read is for `failed` to explain.
   */
  async query({ sql, parameters, settings }: Query, signal: AbortSignal): Promise<Readable> {
    try {
      const client = await this.#open()
      const { stream } = await client.exec({
        query: sql,
        query_params: parameters,
        clickhouse_settings: asSettings({ default_format: 'JSONEachRow', ...settings }),
        abort_signal: signal,
      })
      return addAbortSignal(signal, stream)
    } catch (thrown) {
      throw this.failed(thrown, signal)
    }
  }

  /** What broke a query, in words; text of the server's among rows is one of such things. */
  failed(thrown: unknown, signal: AbortSignal): unknown {
    return this.#error(thrown, 'query', signal)
  }

  /** Closes the sockets; what is under way is cut. */
  async close(): Promise<void> {
    const client = this.#client
    this.#client = null
    await (await client)?.close()
  }

  #error(thrown: unknown, what: 'rows' | 'query', signal: AbortSignal): unknown {
    if (signal.aborted) return signal.reason
    return clickhouseError(thrown, { place: this.#place.url, what, secrets: [this.#place.password] })
  }

  /** The client is loaded by the first request, so that a document without ClickHouse does not wait for it. */
  #open(): Promise<ClickHouseClient> {
    this.#client ??= import('@clickhouse/client').then(({ ClickHouseLogLevel, createClient }) => {
      const { url, database, username, password, compression } = this.#place
      const packed = compression === 'gzip'
      return createClient({
        url,
        database,
        username,
        password,
        application: 'millrace',
        compression: { request: packed, response: packed },
        // Nodes bound their requests by themselves, in number and in time.
        max_open_connections: socketsMax,
        request_timeout: noTimeout,
        keep_alive: { enabled: true, eagerly_destroy_stale_sockets: true },
        // Errors are thrown, and told there; the client's own log would name queries.
        log: { level: ClickHouseLogLevel.OFF },
      })
    })
    return this.#client
  }
}

const socketsMax = 1_000
/** The longest that a timer can be. */
const noTimeout = 2_147_483_647

/** The client's type lists the settings that it knows; a server may know more or fewer. */
function asSettings(settings: Settings): ClickHouseSettings {
  return Object.fromEntries(
    Object.entries(settings).flatMap(([name, value]) => (value === null ? [] : [[name, value]])),
  )
}

/** The address without anything that may hold a secret. */
function serverUrl(text: string, node: string): string {
  const url = URL.canParse(text) ? new URL(text) : null
  const wrong = (what: string): NodeError => new NodeError('clickhouse.bad-config', `url of ${node} ${what}`)
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw wrong('is not an address such as http://127.0.0.1:8123 (the HTTP interface, not port 9000)')
  if (url.username !== '' || url.password !== '')
    throw wrong('holds a user or a password; give them as `username` and `password`')
  if (url.search !== '' || url.hash !== '' || url.pathname !== '/')
    throw wrong('holds more than a host and a port; use `database` and `settings` for the rest')
  return url.origin
}
