import type { NodeContext } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Call } from './connection.ts'
import type { Method } from './proto.ts'

/** The way from `grpc.send` to the stream of a `grpc.connect` of the same workflow, by the name that both have. */
export function streamDoor(name: string, context: NodeContext): StreamDoor {
  return context.shared(`grpc stream ${name}`, () => new StreamDoor(name))
}

export class StreamDoor {
  readonly #name: string
  #owner: Method | null = null
  #open: { readonly call: Call; readonly gone: AbortController } | null = null

  constructor(name: string) {
    this.#name = name
  }

  /** What the stream is a call of. Throws a NodeError where no node has the name, or the method takes no stream. */
  get method(): Method {
    if (this.#owner === null) throw this.#notConnected()
    if (this.#owner.requestStream) return this.#owner
    throw new NodeError(
      'grpc.one-way',
      `${this.#owner.path} takes one request and no stream: nothing can be sent to it`,
    )
  }

  /** A connect node takes the name; the answer gives it back. */
  claim(method: Method, node: string): () => void {
    if (this.#owner !== null)
      throw new NodeError(
        'grpc.stream-taken',
        `${node}: another grpc.connect of this workflow has the stream ${JSON.stringify(this.#name)}; give one of them another name`,
      )
    this.#owner = method
    return () => {
      this.#owner = null
    }
  }

  /** A call stands from now on; the answer says that it is gone. */
  opened(call: Call): () => void {
    const open = { call, gone: new AbortController() }
    this.#open = open
    return () => {
      if (this.#open === open) this.#open = null
      open.gone.abort(this.#notConnected())
    }
  }

  /** Sends messages in order; resolves when the connection took the last of them. */
  send(messages: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    const open = this.#open
    if (open === null) return Promise.reject(this.#notConnected())
    return new Promise((resolve, reject) => {
      const cut = AbortSignal.any([signal, open.gone.signal])
      const stop = (): void => reject(cut.reason)
      if (cut.aborted) return stop()
      cut.addEventListener('abort', stop, { once: true })
      messages.forEach((bytes, index) => {
        const isLast = index === messages.length - 1
        open.call.write(bytes, (error: Error | null | undefined) => {
          if (!isLast && error == null) return
          cut.removeEventListener('abort', stop)
          if (error == null) resolve()
          else reject(this.#notConnected())
        })
      })
    })
  }

  #notConnected(): NodeError {
    const why =
      this.#owner === null
        ? `no grpc.connect of this workflow that runs has \`stream: ${this.#name}\``
        : `the stream ${JSON.stringify(this.#name)} is not connected`
    return new NodeError('grpc.not-connected', why, { retriable: true })
  }
}
