import avro from 'avsc'
import { z } from 'zod'
import { NodeError } from '../../core/flow/failure.ts'

/** Reads values of one Avro schema. */
export interface AvroReader {
  /** Throws `kafka.not-avro` for bytes that are no such value. */
  read(bytes: Buffer): unknown
}

/** Items that take no bytes are bounded by their number alone. */
const emptyItemsMax = 10_000

/**
 * Makes a reader of a schema and of those that it names, which come first. Throws `kafka.bad-schema`.
 * Names become code in the library; it lets through letters, digits and underscores alone.
 */
export function avroReader(text: string, named: readonly string[]): AvroReader {
  const registry = {}
  const options = { registry, omitRecordMethods: true, wrapUnions: 'auto', typeHook: bounded } as const
  let type: avro.Type
  try {
    for (const each of named) avro.Type.forSchema(schemaOf(each), options)
    type = avro.Type.forSchema(schemaOf(text), options)
  } catch (thrown) {
    if (thrown instanceof NodeError) throw thrown
    throw badSchema(thrown instanceof Error ? thrown.message : String(thrown))
  }
  return {
    read(bytes) {
      try {
        return type.fromBuffer(bytes)
      } catch (thrown) {
        const why = thrown instanceof Error ? thrown.message : String(thrown)
        throw new NodeError('kafka.not-avro', `the value is no Avro of its schema: ${why.slice(0, 300)}`)
      }
    },
  }
}

/** Any schema; the library says what is wrong with one. */
const schemaForm: z.ZodType<avro.Schema> = z.custom<avro.Schema>(
  (value) => typeof value === 'object' || typeof value === 'string',
)

function schemaOf(text: string): avro.Schema {
  let schema: unknown
  try {
    schema = JSON.parse(text, (name, value) => {
      // A field of this name would change what its record is.
      if (name === '__proto__' || value === '__proto__') throw badSchema('it has a field named __proto__')
      return value
    })
  } catch (thrown) {
    if (thrown instanceof NodeError) throw thrown
    // A primitive's name may stand alone, without quotes.
    if (/^[a-z]+$/.test(text.trim())) return schemaForm.parse(text.trim())
    throw badSchema('it is not JSON')
  }
  return schemaForm.parse(schema)
}

function badSchema(why: string): NodeError {
  return new NodeError('kafka.bad-schema', `the schema cannot be used: ${why.slice(0, 500)}`)
}

/** What the library reads bytes by. */
interface Tap {
  readonly buf: Buffer
  readonly pos: number
  readLong(): number
  readString(): string | undefined
  skipLong(): void
}

/** The library's list, but it believes no count: five bytes of garbage make the library fill memory for seconds. */
class BoundedArray extends avro.types.ArrayType {
  _read(tap: Tap): unknown[] {
    const items = this.itemsType
    let isEmpty = emptyTypes.get(items)
    if (isEmpty === undefined) emptyTypes.set(items, (isEmpty = takesNoBytes(items, new Set())))
    return readItems(tap, readerOf(items), isEmpty)
  }
}

/** The same for its map, which also gives keys like `__proto__` a meaning. */
class BoundedMap extends avro.types.MapType {
  _read(tap: Tap): Readonly<Record<string, unknown>> {
    return readEntries(tap, readerOf(this.valuesType))
  }
}

/** Whether values of a type take no bytes. The library freezes its types, so it is kept beside them. */
const emptyTypes = new WeakMap<avro.Type, boolean>()

function bounded(schema: avro.Schema, options: object): avro.Type | undefined {
  if (typeof schema !== 'object' || !('type' in schema)) return undefined
  if (schema.type === 'array') return new BoundedArray(schema, options)
  return schema.type === 'map' ? new BoundedMap(schema, options) : undefined
}

function readerOf(type: avro.Type): (tap: Tap) => unknown {
  const read: unknown = Reflect.get(type, '_read')
  if (typeof read !== 'function') throw new TypeError('the library reads in another way than it did')
  return (tap) => read.call(type, tap)
}

function readItems(tap: Tap, read: (tap: Tap) => unknown, isEmpty: boolean): unknown[] {
  const items: unknown[] = []
  for (let count = blockCount(tap); count !== 0; count = blockCount(tap)) {
    const most = isEmpty ? emptyItemsMax - items.length : tap.buf.length - tap.pos
    if (count > most) throw new Error(`a list says that it has ${count} items`)
    for (let index = 0; index < count; index += 1) items.push(read(tap))
  }
  return items
}

function readEntries(tap: Tap, read: (tap: Tap) => unknown): Readonly<Record<string, unknown>> {
  const entries: [string, unknown][] = []
  for (let count = blockCount(tap); count !== 0; count = blockCount(tap)) {
    if (count > tap.buf.length - tap.pos) throw new Error(`a map says that it has ${count} entries`)
    for (let index = 0; index < count; index += 1) entries.push([tap.readString() ?? '', read(tap)])
  }
  return Object.fromEntries(entries)
}

/** Lists and maps come in blocks; a negative count is followed by the block's size. */
function blockCount(tap: Tap): number {
  const count = tap.readLong()
  if (tap.pos > tap.buf.length) throw new Error('truncated buffer')
  if (count >= 0) return count
  tap.skipLong()
  return -count
}

function takesNoBytes(type: avro.Type, within: Set<avro.Type>): boolean {
  if (type instanceof avro.types.NullType) return true
  if (type instanceof avro.types.FixedType) return type.size === 0
  if (!(type instanceof avro.types.RecordType) || within.has(type)) return false
  within.add(type)
  return type.fields.every((field) => takesNoBytes(field.type, within))
}
