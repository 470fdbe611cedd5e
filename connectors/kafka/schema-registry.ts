import { z } from 'zod'
import { NodeError } from '../../core/flow/failure.ts'

export interface SchemaRegistryOptions {
  /** Where the API begins: `https://registry:8081`, or with a path as in `http://apicurio:8080/apis/ccompat/v7`. */
  readonly url: string
  readonly user: { readonly username: string; readonly password: string } | null
  readonly requestMsMax: number
  /** Schemas kept at most; the one that was not asked for the longest goes first. */
  readonly schemasMax: number
}

export interface SchemaText {
  readonly type: 'AVRO' | 'JSON' | 'PROTOBUF'
  readonly text: string
  /** Schemas that this one names, each as a version of a subject. */
  readonly references: readonly SchemaReference[]
}

export interface SchemaReference {
  readonly name: string
  readonly subject: string
  readonly version: number
}

const schemaBytesMax = 4 * 1024 * 1024
const mediaType = 'application/vnd.schemaregistry.v1+json'

const referenceForm = z.object({ name: z.string(), subject: z.string(), version: z.int() })
const schemaForm = z.object({
  schema: z.string(),
  schemaType: z.enum(['AVRO', 'JSON', 'PROTOBUF']).nullish(),
  references: z.array(referenceForm).nullish(),
})
const registeredForm = z.object({ id: z.int() })
const errorForm = z.object({ error_code: z.int().optional(), message: z.string().optional() })

/**
 * The HTTP API of Confluent's Schema Registry, as others speak it too (Apicurio, Karapace, Redpanda).
 * https://docs.confluent.io/platform/current/schema-registry/develop/api.html
 * Rejects with `kafka.unknown-schema`, `kafka.registry-refused`, and retriably with `kafka.registry-unavailable`.
 */
export class SchemaRegistry {
  readonly #options: SchemaRegistryOptions
  readonly #base: string
  /** By path. What stands under an id or a version never changes. */
  readonly #kept = new Map<string, SchemaText>()
  readonly #asking = new Map<string, Promise<SchemaText>>()

  constructor(options: SchemaRegistryOptions) {
    const { protocol } = new URL(options.url)
    if (protocol !== 'http:' && protocol !== 'https:') {
      throw new NodeError(
        'kafka.bad-registry',
        `${options.url} is no address of a schema registry; write http://host:port`,
      )
    }
    this.#options = options
    this.#base = options.url.replace(/\/+$/, '')
  }

  /** The schema with an id. */
  byId(id: number): Promise<SchemaText> {
    return this.#schema(`/schemas/ids/${id}`, `schema ${id}`)
  }

  byVersion(subject: string, version: number): Promise<SchemaText> {
    const path = `/subjects/${encodeURIComponent(subject)}/versions/${version}`
    return this.#schema(path, `version ${version} of ${subject}`)
  }

  /** Registers a schema under a subject, if it is not there yet, and answers its id. */
  async register(subject: string, schema: SchemaText): Promise<number> {
    const { type, text, references } = schema
    // Registries that know Avro alone do not know the field.
    const body = { schema: text, ...(type === 'AVRO' ? {} : { schemaType: type }), references }
    const path = `/subjects/${encodeURIComponent(subject)}/versions`
    const answer = await this.#ask('POST', path, `registering a schema of ${subject}`, JSON.stringify(body))
    return registeredForm.parse(answer).id
  }

  #schema(path: string, what: string): Promise<SchemaText> {
    const kept = this.#kept.get(path)
    if (kept !== undefined) {
      this.#keep(path, kept)
      return Promise.resolve(kept)
    }
    const asking = this.#asking.get(path) ?? this.#load(path, what).finally(() => this.#asking.delete(path))
    this.#asking.set(path, asking)
    return asking
  }

  async #load(path: string, what: string): Promise<SchemaText> {
    const answer = schemaForm.safeParse(await this.#ask('GET', path, what, null))
    if (!answer.success) throw refused(what, 'the registry answered something else than a schema; check its address')
    const { schema, schemaType, references } = answer.data
    const loaded = { type: schemaType ?? 'AVRO', text: schema, references: references ?? [] }
    this.#keep(path, loaded)
    return loaded
  }

  /** A Map keeps its order: what is put in anew stands last. */
  #keep(path: string, schema: SchemaText): void {
    this.#kept.delete(path)
    this.#kept.set(path, schema)
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > this.#options.schemasMax && oldest !== undefined) this.#kept.delete(oldest)
  }

  async #ask(method: 'GET' | 'POST', path: string, what: string, body: string | null): Promise<unknown> {
    const { user, requestMsMax } = this.#options
    const headers: Record<string, string> = { accept: `${mediaType}, application/json` }
    if (body !== null) headers['content-type'] = mediaType
    if (user !== null) {
      headers.authorization = `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`
    }
    try {
      const signal = AbortSignal.timeout(requestMsMax)
      const response = await fetch(this.#base + path, { method, headers, body, signal, redirect: 'error' })
      const text = await boundedText(response, what)
      if (!response.ok) throw statusError(response.status, text, what)
      return parsed(text, what)
    } catch (thrown) {
      if (thrown instanceof NodeError) throw thrown
      const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown
      const isLate = thrown instanceof Error && thrown.name === 'TimeoutError'
      const why = isLate
        ? `no answer within ${requestMsMax} ms`
        : cause instanceof Error
          ? cause.message
          : String(cause)
      throw unavailable(what, `${why} at ${this.#base}`, thrown)
    }
  }
}

async function boundedText(response: Response, what: string): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    bytes += part.length
    if (bytes > schemaBytesMax) throw refused(what, `the answer is over ${schemaBytesMax} bytes`)
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw refused(what, 'the registry answered something else than JSON; check its address')
  }
}

function statusError(status: number, text: string, what: string): NodeError {
  const why = `the registry answered ${status}${reasonIn(text)}`
  if (status === 404) return new NodeError('kafka.unknown-schema', `${what}: ${why}`)
  if (status === 401 || status === 403) return refused(what, `${why}; check user name and password`)
  if (status === 429 || status >= 500) return unavailable(what, why)
  return refused(what, why)
}

function reasonIn(text: string): string {
  try {
    const { message } = errorForm.parse(JSON.parse(text))
    return message === undefined ? '' : ` (${message.slice(0, 300)})`
  } catch {
    return ''
  }
}

function refused(what: string, why: string): NodeError {
  return new NodeError('kafka.registry-refused', `${what}: ${why}`)
}

function unavailable(what: string, why: string, cause?: unknown): NodeError {
  return new NodeError('kafka.registry-unavailable', `${what}: ${why}`, { retriable: true, cause })
}
