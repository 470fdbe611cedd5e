import { NodeError } from '../core/flow/failure.ts'

const depthMax = 200

/**
 * About how many bytes a value takes, for channels that do not encode it: what windows and limits count by.
 * Throws a NodeError `worker.value-too-large` over `bytesMax` and `worker.value-unclonable` for what is no plain data.
 */
export function sizeOfValue(value: unknown, bytesMax: number): number {
  return measure(value, 0, 0, bytesMax)
}

function measure(value: unknown, before: number, depth: number, bytesMax: number): number {
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
        bytes = measureParts(value, bytes, depth + 1, bytesMax)
      }
      break
    default:
      bytes += 8
  }
  if (bytes > bytesMax) throw tooLarge(bytes, bytesMax)
  return bytes
}

function measureParts(value: object, before: number, depth: number, bytesMax: number): number {
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return before + value.byteLength
  let bytes = before
  if (Array.isArray(value) || value instanceof Set) {
    for (const each of value) bytes = measure(each, bytes, depth, bytesMax)
  } else if (value instanceof Map) {
    for (const [key, each] of value) bytes = measure(each, measure(key, bytes, depth, bytesMax), depth, bytesMax)
  } else {
    for (const [key, each] of Object.entries(value)) bytes = measure(each, bytes + key.length, depth, bytesMax)
  }
  return bytes
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
