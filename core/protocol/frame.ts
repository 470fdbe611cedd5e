/**
 * The wire format of the realtime WebSocket. A frame is one binary message:
 *
 *     4 bytes, big-endian: length of the header │ header: JSON, UTF-8 │ block: raw bytes
 *
 * A Uint8Array anywhere in the header's JSON is replaced by `{ "$bytes": [start, length] }`, a range of the block, so that
 * images travel as they are. A real object that looks like that gets one more `$` at its key on the way out and loses it
 * on the way in. In a top-level array `values`, ranges of element i begin at `bases[i]` (0 where there is none): a value is
 * encoded once and then put into the frames of all its readers.
 */
export interface Frame {
  readonly kind: string
}

/** A value on its way: JSON text, and the bytes that its placeholders name, one after the other. */
export interface EncodedValue {
  readonly text: string
  readonly segments: readonly Uint8Array[]
  readonly segmentBytes: number
}

/** What is wrong with bytes that came in, or with a value that cannot go out. */
export interface ProtocolFault {
  /** Dotted, stable: `frame.truncated`, `frame.not-json`, … */
  readonly code: string
  readonly message: string
}

export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: ProtocolFault }

/** A value that cannot be put on the wire: cyclic, deeper than 100 levels, or with a bigint in it. */
export class UnencodableError extends Error {
  readonly code: string

  constructor(fault: ProtocolFault) {
    super(fault.message)
    this.name = 'UnencodableError'
    this.code = fault.code
  }
}

export const protocolVersion = 1
/** Levels of objects and arrays inside one frame. */
export const depthMax = 100

const lengthBytes = 4
const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const marker = '$bytes'

/** One frame with all its bytes. Throws UnencodableError. */
export function encodeFrame<T extends Frame>(frame: T): Uint8Array<ArrayBuffer> {
  const { text, segments, segmentBytes } = encodeValue(frame)
  return assemble(text, [segments], segmentBytes)
}

/** A value as JSON text and segments. `undefined` and functions become null, as JSON does in arrays. Throws UnencodableError. */
export function encodeValue(value: unknown): EncodedValue {
  const segments: Uint8Array[] = []
  const block = { segments, bytes: 0 }
  const lifted = lift(value, block, 0)
  try {
    return { text: JSON.stringify(lifted) ?? 'null', segments, segmentBytes: block.bytes }
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new UnencodableError({ code: 'value.not-json', message: `The value cannot be written as JSON: ${why}.` })
  }
}

/** A `messages` frame made of values that were encoded before; `head` is the rest of its header. Throws UnencodableError. */
export function encodeMessages(head: Readonly<Record<string, number>>, values: readonly EncodedValue[]): Uint8Array {
  const bases: number[] = []
  let segmentBytes = 0
  for (const value of values) {
    bases.push(segmentBytes)
    segmentBytes += value.segmentBytes
  }
  const basesText = segmentBytes === 0 ? '' : `,"bases":${JSON.stringify(bases)}`
  const fields = JSON.stringify({ kind: 'messages', ...head }).slice(0, -1)
  const text = `${fields}${basesText},"values":[${values.map((value) => value.text).join(',')}]}`
  return assemble(
    text,
    values.map((value) => value.segments),
    segmentBytes,
  )
}

/** Reads a frame. Whatever the bytes are, the answer is a header object or a fault; nothing is thrown. Bytes are copied out. */
export function decodeFrame(bytes: Uint8Array, bytesMax: number): Decoded<Readonly<Record<string, unknown>>> {
  if (bytes.byteLength > bytesMax)
    return fault('frame.too-large', `A frame has ${bytes.byteLength} bytes; at most ${bytesMax} are taken.`)
  if (bytes.byteLength < lengthBytes)
    return fault('frame.truncated', `A frame has ${bytes.byteLength} bytes; it begins with 4 bytes of length.`)
  // A Buffer's subarray and slice share memory; a plain view of the same bytes copies where it says so.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const headerBytes = new DataView(plain.buffer, plain.byteOffset).getUint32(0)
  if (headerBytes > bytes.byteLength - lengthBytes)
    return fault(
      'frame.truncated',
      `A frame announces a header of ${headerBytes} bytes, but only ${bytes.byteLength - lengthBytes} follow.`,
    )
  let header: unknown
  try {
    header = JSON.parse(decoder.decode(plain.subarray(lengthBytes, lengthBytes + headerBytes)))
  } catch {
    return fault('frame.not-json', 'The header of a frame is not JSON in UTF-8.')
  }
  if (!isRecord(header)) return fault('frame.not-an-object', 'The header of a frame is not a JSON object.')
  const block = plain.subarray(lengthBytes + headerBytes)
  return reviveHeader(header, block)
}

/** The value that `encodeValue` was given; bytes become what `toBytes` makes of them. Used where text must come out, as in NDJSON. */
export function reviveValue(value: EncodedValue, toBytes: (bytes: Uint8Array) => unknown): unknown {
  const parsed: unknown = JSON.parse(value.text)
  if (value.segmentBytes === 0 && !value.text.includes(marker)) return parsed
  return new Reviver(concatenate(value.segments, value.segmentBytes), toBytes).revive(parsed, 0, 0)
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isBytes(value: unknown): value is Uint8Array {
  // By tag, not by instanceof: the value may come from another realm (a frame, a test environment).
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Uint8Array]'
}

function assemble(
  text: string,
  groups: readonly (readonly Uint8Array[])[],
  segmentBytes: number,
): Uint8Array<ArrayBuffer> {
  const header = encoder.encode(text)
  const frame = new Uint8Array(lengthBytes + header.byteLength + segmentBytes)
  new DataView(frame.buffer).setUint32(0, header.byteLength)
  frame.set(header, lengthBytes)
  let at = lengthBytes + header.byteLength
  for (const segments of groups)
    for (const segment of segments) {
      frame.set(segment, at)
      at += segment.byteLength
    }
  return frame
}

function concatenate(segments: readonly Uint8Array[], bytes: number): Uint8Array {
  const all = new Uint8Array(bytes)
  let at = 0
  for (const segment of segments) {
    all.set(segment, at)
    at += segment.byteLength
  }
  return all
}

/** The same value with bytes replaced by placeholders. Copies only the objects on the way to a replaced part. */
function lift(value: unknown, block: { segments: Uint8Array[]; bytes: number }, depth: number): unknown {
  if (value === null || typeof value !== 'object') return value
  if (isBytes(value)) {
    const range = [block.bytes, value.byteLength]
    block.segments.push(value)
    block.bytes += value.byteLength
    return { [marker]: range }
  }
  if (depth >= depthMax)
    throw new UnencodableError({
      code: 'value.too-deep',
      message: `The value is cyclic or deeper than ${depthMax} levels.`,
    })
  if ('toJSON' in value && typeof value.toJSON === 'function') return lift(value.toJSON(), block, depth + 1)
  if (Array.isArray(value)) return liftArray(value, block, depth)
  return liftObject(value, block, depth)
}

function liftArray(
  value: readonly unknown[],
  block: { segments: Uint8Array[]; bytes: number },
  depth: number,
): unknown {
  let copy: unknown[] | null = null
  for (let index = 0; index < value.length; index++) {
    const lifted = lift(value[index], block, depth + 1)
    if (lifted === value[index]) continue
    copy ??= [...value]
    copy[index] = lifted
  }
  return copy ?? value
}

function liftObject(value: object, block: { segments: Uint8Array[]; bytes: number }, depth: number): unknown {
  let copy: Record<string, unknown> | null = null
  const entries = Object.entries(value)
  for (const [key, inner] of entries) {
    const lifted = lift(inner, block, depth + 1)
    if (lifted === inner) continue
    // The spread made each key an own property, so the assignment never reaches a setter such as `__proto__`.
    copy ??= { ...value }
    copy[key] = lifted
  }
  const [only] = entries
  if (entries.length === 1 && only !== undefined && looksAlike(only[0]))
    return { [`${only[0]}$`]: copy?.[only[0]] ?? only[1] }
  return copy ?? value
}

function looksAlike(key: string): boolean {
  return key.startsWith(marker) && /^\$*$/.test(key.slice(marker.length))
}

class BadRange extends Error {}

class Reviver {
  used = 0
  readonly #block: Uint8Array
  readonly #toBytes: (bytes: Uint8Array) => unknown

  constructor(block: Uint8Array, toBytes: (bytes: Uint8Array) => unknown) {
    this.#block = block
    this.#toBytes = toBytes
  }

  /** Puts bytes in the place of placeholders, in place. */
  revive(value: unknown, base: number, depth: number): unknown {
    if (value === null || typeof value !== 'object') return value
    if (depth > depthMax) throw new BadRange('too deep')
    if (Array.isArray(value)) {
      for (let index = 0; index < value.length; index++) value[index] = this.revive(value[index], base, depth + 1)
      return value
    }
    return isRecord(value) ? this.#reviveObject(value, base, depth) : value
  }

  #reviveObject(value: Record<string, unknown>, base: number, depth: number): unknown {
    const keys = Object.keys(value)
    const [only] = keys
    if (keys.length === 1 && only !== undefined && looksAlike(only)) {
      if (only === marker) return this.#bytes(value[only], base)
      return { [only.slice(0, -1)]: this.revive(value[only], base, depth + 1) }
    }
    for (const key of keys) value[key] = this.revive(value[key], base, depth + 1)
    return value
  }

  #bytes(range: unknown, base: number): unknown {
    if (!Array.isArray(range) || range.length !== 2) throw new BadRange('not a range')
    const [start, length]: unknown[] = range
    if (!isCount(start) || !isCount(length) || base + start + length > this.#block.byteLength)
      throw new BadRange('outside the block')
    this.used += length
    return this.#toBytes(this.#block.slice(base + start, base + start + length))
  }
}

function reviveHeader(header: Record<string, unknown>, block: Uint8Array): Decoded<Readonly<Record<string, unknown>>> {
  const reviver = new Reviver(block, (bytes) => bytes)
  try {
    for (const key of Object.keys(header)) {
      const value = header[key]
      if (key === 'values' && Array.isArray(value)) {
        const bases = Array.isArray(header.bases) ? header.bases : []
        for (let index = 0; index < value.length; index++) {
          const base: unknown = bases[index] ?? 0
          if (!isCount(base)) throw new BadRange('bad base')
          value[index] = reviver.revive(value[index], base, 0)
        }
      } else if (key !== 'bases') header[key] = reviver.revive(value, 0, 0)
    }
  } catch (thrown) {
    if (thrown instanceof BadRange)
      return fault('frame.bad-bytes', `A frame names bytes that it does not have, or is too deep (${thrown.message}).`)
    throw thrown
  }
  if (reviver.used !== block.byteLength)
    return fault('frame.bad-bytes', `A frame carries ${block.byteLength} bytes, but names ${reviver.used}.`)
  return { ok: true, value: header }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && typeof value === 'number' && value >= 0
}

function fault(code: string, message: string): { readonly ok: false; readonly fault: ProtocolFault } {
  return { ok: false, fault: { code, message } }
}
