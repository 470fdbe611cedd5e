import type { ScopeOpener } from '../../core/define.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { AnswerHeaders } from '../../core/header-text.ts'
import type { HubReply, HubRequest } from '../../core/host.ts'

/** The answer that a request still waits for. It travels in the message's meta; a `respond` node finds it there. */
export class Answer implements ScopeOpener {
  /** The caller asked not to wait, and has its 202: nothing more can be said to it. */
  readonly later: boolean
  readonly #request: HubRequest
  readonly #reply: HubReply
  #streaming: 'ndjson' | 'sse' | null = null
  #letter: Failure | null = null

  constructor(request: HubRequest, reply: HubReply, later: boolean) {
    this.#request = request
    this.#reply = reply
    this.later = later
  }

  /** 202 with the execution's id, so that the caller can follow it. */
  accept(execution: string): void {
    this.#reply.send(202, { execution }, { 'preference-applied': 'respond-async' })
  }

  /** Answers whole. Throws a NodeError when the answer was given before. */
  send(status: number, body: unknown, headers: AnswerHeaders): void {
    if (this.later) return
    if (this.#reply.answered) throw new NodeError('respond.answered', 'the request has been answered before')
    this.#reply.send(status, body, headers)
  }

  /** Sends one piece of a streamed answer, beginning it if need be; resolves when the caller's socket took it. */
  async write(
    status: number,
    format: 'ndjson' | 'sse' | 'auto',
    value: unknown,
    headers: AnswerHeaders,
  ): Promise<void> {
    if (this.later) return
    if (this.#streaming === null) {
      if (this.#reply.answered) throw new NodeError('respond.answered', 'the request has been answered before')
      this.#streaming =
        format === 'auto'
          ? /\btext\/event-stream\b/.test(this.#request.headers.accept ?? '')
            ? 'sse'
            : 'ndjson'
          : format
      this.#reply.begin(status, this.#streaming, headers)
    }
    await this.#reply.write(value)
  }

  deadLettered(failure: Failure): void {
    this.#letter ??= failure
  }

  /** The execution is over: ends a stream, or says what became of a request that nobody answered. */
  scopeEnded(failure: Failure | null): void {
    const error = failure === null ? this.#lost() : { code: failure.code, message: failure.message }
    if (this.#streaming !== null) {
      if (error === null) return this.#reply.end()
      // A stream that breaks off, or that lacks a piece, must not look like one that is whole.
      void this.#reply.write({ error }, 'error').then(
        () => this.#reply.end(),
        () => this.#reply.end(),
      )
      return
    }
    if (this.#reply.answered) return
    if (error === null) this.#reply.send(204, '')
    else this.#reply.send(failure?.code === 'execution.stopped' ? 503 : 500, { error })
  }

  /**
   * A request whose message lies in the dead-letter has not been served, whatever became of the execution. The letter has the
   * cause; a caller, who may be anybody, does not: it may name addresses and folders of this host.
   */
  #lost(): { readonly code: string; readonly message: string } | null {
    if (this.#letter === null) return null
    const what = this.#streaming === null ? 'the request' : 'a part of the request'
    return { code: this.#letter.code, message: `${what} could not be worked on` }
  }
}
