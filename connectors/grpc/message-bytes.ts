import type { Enum, Field, Type } from 'protobufjs'
import { NodeError } from '../../core/flow/failure.ts'
import { protobuf } from './proto.ts'

/**
 * A value as the bytes of a message. A field that the message does not have, or a value of another type, is an error:
 * protobuf itself would leave it out, or make a zero of it.
 */
export function encode(type: Type, value: unknown): Buffer {
  checkMessage(type, value, '')
  return Buffer.from(type.encode(type.fromObject(value)).finish())
}

/** The value of a message: fields as they are written in the file, unset ones with their defaults, 64-bit numbers and enums as text. */
export function decode(type: Type, bytes: Uint8Array): unknown {
  try {
    return type.toObject(type.decode(bytes), { longs: String, enums: String, defaults: true, oneofs: true })
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new NodeError('grpc.bad-message', `${bytes.length} bytes are no ${nameOf(type)}: ${why.slice(0, 200)}`, {
      cause: thrown,
    })
  }
}

function checkMessage(type: Type, value: unknown, path: string): asserts value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || ArrayBuffer.isView(value))
    throw wrong(path, value, `an object for ${nameOf(type)}`)
  const oneofs = new Set<string>()
  for (const [name, each] of Object.entries(value)) {
    if (each === undefined || each === null) continue
    const field = type.fields[name]
    const at = path === '' ? name : `${path}.${name}`
    if (field === undefined)
      throw new NodeError(
        'grpc.bad-request',
        `${nameOf(type)} has no field ${at}; it has ${Object.keys(type.fields).join(', ') || 'none'}`,
      )
    const oneof = field.partOf?.name
    if (oneof !== undefined && oneofs.has(oneof))
      throw new NodeError('grpc.bad-request', `${at} is set beside another field of ${oneof}, of which one may be`)
    if (oneof !== undefined) oneofs.add(oneof)
    checkField(field.resolve(), each, at)
  }
}

function checkField(field: Field, value: unknown, path: string): void {
  if (field.map) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(path, value, 'an object')
    for (const [key, each] of Object.entries(value)) checkOne(field, each, `${path}.${key}`)
  } else if (field.repeated) {
    if (!Array.isArray(value)) throw wrong(path, value, 'a list')
    value.forEach((each, index) => {
      checkOne(field, each, `${path}[${index}]`)
    })
  } else checkOne(field, value, path)
}

function checkOne(field: Field, value: unknown, path: string): void {
  const { resolvedType } = field
  const { Enum, Type } = protobuf()
  if (resolvedType instanceof Type) checkMessage(resolvedType, value, path)
  else if (resolvedType instanceof Enum) checkEnum(resolvedType, value, path)
  else {
    const scalar = scalars[field.type]
    if (scalar !== undefined && !scalar.is(value)) throw wrong(path, value, scalar.what)
  }
}

function checkEnum(type: Enum, value: unknown, path: string): void {
  if (typeof value === 'string' ? value in type.values : Number.isInteger(value)) return
  throw wrong(path, value, `one of ${Object.keys(type.values).join(', ')}`)
}

interface Scalar {
  readonly what: string
  readonly is: (value: unknown) => boolean
}

const isBetween = (low: number, high: number) => (value: unknown) =>
  Number.isInteger(value) && Number(value) >= low && Number(value) <= high
const isLong = (low: bigint, high: bigint) => (value: unknown) => {
  const whole = typeof value === 'string' ? /^-?\d{1,20}$/.test(value) : Number.isSafeInteger(value)
  return whole && BigInt(String(value)) >= low && BigInt(String(value)) <= high
}
const signed: Scalar = { what: 'a whole number of 32 bits', is: isBetween(-(2 ** 31), 2 ** 31 - 1) }
const unsigned: Scalar = { what: 'a whole number of 32 bits, not negative', is: isBetween(0, 2 ** 32 - 1) }
const long: Scalar = {
  what: 'a whole number of 64 bits, as text if it is large',
  is: isLong(-(2n ** 63n), 2n ** 63n - 1n),
}
const unsignedLong: Scalar = {
  what: 'a whole number of 64 bits, not negative, as text if it is large',
  is: isLong(0n, 2n ** 64n - 1n),
}
const float: Scalar = { what: 'a number', is: (value) => typeof value === 'number' }

/** https://protobuf.dev/programming-guides/proto3/#scalar */
const scalars: Readonly<Record<string, Scalar>> = {
  int32: signed,
  sint32: signed,
  sfixed32: signed,
  uint32: unsigned,
  fixed32: unsigned,
  int64: long,
  sint64: long,
  sfixed64: long,
  uint64: unsignedLong,
  fixed64: unsignedLong,
  double: float,
  float,
  bool: { what: 'true or false', is: (value) => typeof value === 'boolean' },
  string: { what: 'text', is: (value) => typeof value === 'string' },
  bytes: {
    what: 'bytes, or base64 text',
    is: (value) =>
      value instanceof Uint8Array ||
      (typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value) && value.length % 4 === 0),
  },
}

function wrong(path: string, value: unknown, wanted: string): NodeError {
  const shown =
    typeof value === 'object' && value !== null
      ? Array.isArray(value)
        ? 'a list'
        : 'an object'
      : JSON.stringify(value)
  return new NodeError('grpc.bad-request', `${path || 'the request'} is ${shown?.slice(0, 80)}, not ${wanted}`)
}

function nameOf(type: Type): string {
  return type.fullName.replace(/^\./, '')
}
