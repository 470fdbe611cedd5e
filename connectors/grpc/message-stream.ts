import { wait } from '../../core/flow/deadline.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Clock, Log } from '../../core/host.ts'
import type { Remote } from './connection.ts'
import type { StatusName } from './grpc-error.ts'
import type { StreamDoor } from './stream-door.ts'

export interface MessageStreamOptions {
  readonly node: string
  readonly remote: Remote
  readonly door: StreamDoor
  /** Sent first on each connection; null for nothing. */
  readonly request: Uint8Array | null
  readonly metadata: () => Readonly<Record<string, string | Uint8Array>>
  /** What follows when the server ends the stream without an error. */
  readonly onEnd: 'reconnect' | 'stop'
  readonly retryOn: readonly StatusName[]
  readonly backoffMs: number
  readonly backoffMsMax: number
  readonly clock: Clock
  readonly log: Log
}

/**
 * The messages of a call that is made anew whenever it ends. Whoever reads slowly holds the server back: nothing is read ahead beyond
 * what HTTP/2 lets the server send.
 */
export class MessageStream implements AsyncIterable<Uint8Array> {
  readonly #options: MessageStreamOptions
  readonly #closing = new AbortController()
  /** Failures since a connection last stood. */
  #attempts = 0

  constructor(options: MessageStreamOptions) {
    this.#options = options
  }

  /** Cancels the call and ends the iteration. */
  close(): void {
    this.#closing.abort(new NodeError('execution.stopped', 'the execution was stopped'))
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    const { node, remote, onEnd, retryOn, backoffMs, backoffMsMax, clock, log } = this.#options
    const { signal } = this.#closing
    for (;;) {
      try {
        yield* this.#once()
        if (onEnd === 'stop') return
        this.#lost(`${remote.place} ended the stream`)
      } catch (thrown) {
        const error = remote.failed(thrown, retryOn, signal)
        if (signal.aborted || !(error instanceof NodeError && error.retriable)) throw error
        this.#lost(error.message)
      }
      await wait(clock, Math.min(backoffMs * 2 ** (this.#attempts - 1), backoffMsMax), [signal])
      signal.throwIfAborted()
      log.write('debug', `${node} connects again`, { node })
    }
  }

  /** The messages of one call. */
  async *#once(): AsyncGenerator<Uint8Array> {
    const { remote, door, request, metadata, node, log } = this.#options
    const call = remote.call({ metadata: metadata(), timeoutMs: null, signal: this.#closing.signal })
    const gone = door.opened(call)
    const stands = (): void => {
      if (this.#attempts > 0) log.write('info', `${node} is connected again`, { node })
      this.#attempts = 0
    }
    call.once('metadata', stands)
    try {
      if (request !== null) call.write(request)
      if (!remote.method.requestStream) call.end()
      for await (const bytes of call as AsyncIterable<Buffer>) yield bytes
    } finally {
      gone()
      call.cancel()
    }
  }

  #lost(why: string): void {
    const { node, log } = this.#options
    if (++this.#attempts === 1) log.write('warn', `${why}; ${node} connects again`, { node })
  }
}
