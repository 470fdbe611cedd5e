import { NodeError } from '../core/flow/failure.ts'

const depthMax = 200
/** A view that leaves more of its buffer unused than this is cut out before it is cloned. */
const slackBytesMax = 16 * 1024

/**
 * Weighs values for channels that clone instead of encoding: about how many bytes they take is what windows and limits
 * count by. Cloning a view copies all of its buffer, so a picture cut out of a file's bytes would carry the file along:
 * `trim` cuts such views out.
 */
export class Scale {
  readonly #bytesMax: number
  #slack = false

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Throws a NodeError `worker.value-too-large`, or `worker.value-unclonable` for what is no plain data. */
  weigh(value: unknown): number {
    this.#slack = false
    return this.#measure(value, 0, 0)
  }

  /** The value that was weighed last, or a copy of it in which no view has much unused around it. */
  trim(value: unknown): unknown {
    return this.#slack ? trimmed(value) : value
  }

  #measure(value: unknown, before: number, depth: number): number {
    let bytes = before
    switch (typeof value) {
      case 'string':
        bytes += value.length
        break
      case 'function':
        return refuseFunction()
      case 'symbol':
        throw unclonable(new TypeError('it holds a symbol'))
      case 'object':
        bytes += 1
        if (value !== null) {
          if (depth === depthMax)
            throw unclonable(new RangeError(`it is circular or nested deeper than ${depthMax} levels`))
          bytes = this.#measureParts(value, bytes, depth + 1)
        }
        break
      default:
        bytes += 8
    }
    if (bytes > this.#bytesMax) throw tooLarge(bytes, this.#bytesMax)
    return bytes
  }

  #measureParts(value: object, before: number, depth: number): number {
    if (value instanceof ArrayBuffer) return before + value.byteLength
    let bytes = before
    if (ArrayBuffer.isView(value)) {
      bytes += value.byteLength
      if (hasSlack(value)) this.#slack = true
    } else if (Array.isArray(value) || value instanceof Set) {
      for (const each of value) bytes = this.#measure(each, bytes, depth)
    } else if (value instanceof Map) {
      for (const [key, each] of value) bytes = this.#measure(each, this.#measure(key, bytes, depth), depth)
    } else {
      for (const [key, each] of Object.entries(value)) bytes = this.#measure(each, bytes + key.length, depth)
    }
    return bytes
  }
}

function hasSlack(view: ArrayBufferView): boolean {
  return view.buffer.byteLength - view.byteLength > slackBytesMax
}

function trimmed(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return hasSlack(value) ? new Uint8Array(value) : value
  if (Array.isArray(value)) return value.map(trimmed)
  if (value instanceof Map) return new Map([...value].map(([key, each]) => [trimmed(key), trimmed(each)]))
  if (value instanceof Set) return new Set([...value].map(trimmed))
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, trimmed(each)]))
}

/** The error for a value that is no plain data. */
export function unclonable(thrown: unknown): NodeError {
  if (thrown instanceof NodeError) return thrown
  const why =
    thrown instanceof RangeError && thrown.message.includes('stack')
      ? 'it is circular or nested too deep'
      : String(thrown instanceof Error ? thrown.message : thrown)
  return new NodeError(
    'worker.value-unclonable',
    `The value cannot cross to or from a runner: ${why.slice(0, 200)}; pass plain data (objects, arrays, strings, numbers, dates, bytes)`,
  )
}

export function tooLarge(bytes: number, bytesMax: number): NodeError {
  return new NodeError(
    'worker.value-too-large',
    `A value of ${bytes} bytes cannot cross to or from a runner, the limit is ${bytesMax}; stream it in pieces, pass a file's path, or raise valueBytesMax`,
  )
}

/** For codecs that would write a function as nothing. */
export function refuseFunction(): never {
  throw unclonable(new TypeError('it holds a function'))
}
