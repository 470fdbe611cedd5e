import { NodeError } from '../../core/flow/failure.ts'
import type { AvroReader } from './avro-schema.ts'
import { avroReader } from './avro-schema.ts'
import type { Decoder } from './decode.ts'
import type { RecordBlock } from './driver.ts'
import { insist } from './drivers/insist.ts'
import type { SchemaRegistry, SchemaText } from './schema-registry.ts'

/** A value begins with a zero and the id of its schema in four bytes. */
const frameBytes = 5
/** Schemas that one schema may name, and they again. */
const namedMax = 100
/** For how long a schema that is not there is not asked for again. */
const refusalMs = 30_000
/** How many schemas are asked for at once. */
const askedMax = 8

/** Why values with a schema cannot be read. */
interface Refusal {
  readonly error: NodeError
  readonly untilMs: number
}

/**
 * Reads values in Confluent's framing, by the Avro schemas that their registry has. Fields become fields, unions of several records name
 * the record, bytes are bytes, logical types keep their underlying value; a whole number beyond 2^53 is an error.
 */
export class AvroDecoder implements Decoder {
  readonly #registry: SchemaRegistry
  readonly #awayMsMax: number
  readonly #readersMax: number
  readonly #readers = new Map<number, AvroReader>()
  readonly #refusals = new Map<number, Refusal>()
  /** Of the last value that was read: the next one mostly has the same schema. */
  #lastId = -1
  #lastReader: AvroReader | null = null

  /** `awayMsMax`: how long a registry that does not answer is asked again before reading fails. */
  constructor(registry: SchemaRegistry, awayMsMax: number, schemasMax: number) {
    this.#registry = registry
    this.#awayMsMax = awayMsMax
    this.#readersMax = schemasMax
  }

  prepare(block: RecordBlock): Promise<void> | null {
    let missing: Set<number> | null = null
    let lastId = -1
    for (const cursor = block.cursor(); cursor.next(); ) {
      const id = idAt(cursor.bytes, cursor.valueStart, cursor.valueEnd)
      if (id < 0 || id === lastId) continue
      lastId = id
      if (this.#isAtHand(id) || this.#isRefused(id)) continue
      missing ??= new Set()
      missing.add(id)
    }
    return missing === null ? null : this.#load([...missing])
  }

  decode(bytes: Buffer, start: number, end: number): unknown {
    if (end < 0) return null
    const id = idAt(bytes, start, end)
    if (id < 0) {
      throw new NodeError(
        'kafka.not-framed',
        'the value does not begin with a zero and the id of a schema, as Avro values do',
      )
    }
    return this.#readerOf(id).read(bytes.subarray(start + frameBytes, end))
  }

  #readerOf(id: number): AvroReader {
    if (id === this.#lastId && this.#lastReader !== null) return this.#lastReader
    const reader = this.#readers.get(id)
    if (reader === undefined) {
      throw this.#refusals.get(id)?.error ?? new NodeError('kafka.unknown-schema', `schema ${id} was not loaded`)
    }
    this.#lastId = id
    this.#lastReader = reader
    return reader
  }

  async #load(ids: number[]): Promise<void> {
    const load = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) await this.#loadOne(id)
    }
    await Promise.all(Array.from({ length: askedMax }, load))
  }

  /** One that is not there or cannot be used is the values' own trouble; a registry that is away is everybody's. */
  async #loadOne(id: number): Promise<void> {
    try {
      const schema = await insist(this.#awayMsMax, () => this.#registry.byId(id))
      if (schema.type !== 'AVRO') {
        throw new NodeError(
          'kafka.bad-schema',
          `schema ${id} is ${schema.type}, not Avro; choose another way to decode`,
        )
      }
      const reader = avroReader(schema.text, await this.#named(schema, id))
      this.#refusals.delete(id)
      this.#readers.set(id, reader)
      const [oldest] = this.#readers.keys()
      if (this.#readers.size > this.#readersMax && oldest !== undefined) this.#readers.delete(oldest)
    } catch (thrown) {
      if (!(thrown instanceof NodeError) || thrown.retriable) throw thrown
      if (this.#refusals.size >= this.#readersMax) this.#refusals.clear()
      this.#refusals.set(id, { error: thrown, untilMs: performance.now() + refusalMs })
    }
  }

  /** Texts of the schemas that one names, each after those that it names itself. */
  async #named(schema: SchemaText, id: number): Promise<readonly string[]> {
    const texts = new Map<string, string>()
    const visit = async (each: SchemaText): Promise<void> => {
      for (const { subject, version } of each.references) {
        const name = `${subject}/${version}`
        if (texts.has(name)) continue
        if (texts.size >= namedMax)
          throw new NodeError('kafka.bad-schema', `schema ${id} names over ${namedMax} others`)
        // Its place in the order is after its own references, but a ring must find it here.
        texts.set(name, '')
        const named = await insist(this.#awayMsMax, () => this.#registry.byVersion(subject, version))
        await visit(named)
        texts.delete(name)
        texts.set(name, named.text)
      }
    }
    await visit(schema)
    return [...texts.values()]
  }

  /** A Map keeps its order: what is wanted now is the last to be dropped. */
  #isAtHand(id: number): boolean {
    const reader = this.#readers.get(id)
    if (reader === undefined) return false
    this.#readers.delete(id)
    this.#readers.set(id, reader)
    return true
  }

  #isRefused(id: number): boolean {
    const refusal = this.#refusals.get(id)
    return refusal !== undefined && performance.now() < refusal.untilMs
  }
}

/** The id that a value names, or -1 where it is not framed. */
function idAt(bytes: Buffer, start: number, end: number): number {
  return end - start >= frameBytes && bytes[start] === 0 ? bytes.readInt32BE(start + 1) : -1
}
