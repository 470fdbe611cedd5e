import type { Message } from './message.ts'

/** What went wrong with one message, or with what carries it. Plain data, safe to show: no stack, no secret. */
export interface Failure {
  /** Stable dotted name, e.g. `expression.type-error`, `http.timeout`. */
  readonly code: string
  readonly message: string
  /** The node in which it happened, if one is to blame. */
  readonly node: string | null
  /** Whether the same attempt may succeed later; what `onError: retry` looks at. */
  readonly retriable: boolean
}

/** What travels on an error port: the original value with its cause. */
export interface FailedValue {
  readonly error: Failure
  readonly value: unknown
}

/** An error that a node throws on purpose, with a code of its own and a word on whether a retry can help. */
export class NodeError extends Error {
  readonly code: string
  readonly retriable: boolean

  constructor(code: string, text: string, options: { readonly retriable?: boolean; readonly cause?: unknown } = {}) {
    super(text, { cause: options.cause })
    this.name = 'NodeError'
    this.code = code
    this.retriable = options.retriable ?? false
  }
}

/**
 * Turns anything thrown into a failure. Only the message text is kept; a stack is never shown to a user.
 * A plain error may pass: clients of the outside throw such, and even a TypeError may be a cut connection, as of `fetch`.
 * What is sure to fail again is a NodeError; the expressions of a node throw nothing else.
 */
export function failureOf(thrown: unknown, node: string | null): Failure {
  if (thrown instanceof NodeError)
    return { code: thrown.code, message: thrown.message, node, retriable: thrown.retriable }
  if (thrown instanceof Error) {
    const code =
      thrown instanceof TypeError ? 'node.type-error' : thrown instanceof RangeError ? 'node.range-error' : 'node.error'
    return { code, message: thrown.message.slice(0, 2000), node, retriable: true }
  }
  return { code: 'node.error', message: String(thrown).slice(0, 2000), node, retriable: true }
}

/** The failure of what was cut together with its execution. */
export function stopped(node: string | null): Failure {
  return { code: 'execution.stopped', message: 'the execution was stopped', node, retriable: true }
}

/** The value that an error port carries for a message. */
export function failedValue(original: Message, failure: Failure): FailedValue {
  return { error: failure, value: original.value }
}
