import { NodeError } from '../../core/flow/failure.ts'
import type { AnswerHeaders } from '../../core/header-text.ts'
import type { Hub, HubArrival, HubReply, HubRequest } from '../../core/host.ts'
import type { Peer } from './peer.ts'

/** The hub as a thread sees it: routes are claimed and answers given through the host's side. */
export interface ThreadHub extends Hub {
  /** A request came in: id of its reply, its route, and what can cross of it. */
  request(...args: readonly unknown[]): void
  replyEnded(reply: number): void
  /** A body is about to be complete: its route, and what is known of it. */
  arriving(...args: readonly unknown[]): void
}

type Handler = (request: HubRequest, reply: HubReply) => void

/** Makes the thread's side of the hub. */
export function threadHub(peer: Peer): ThreadHub {
  const handlers = new Map<number, Handler>()
  const arrivals = new Map<number, (arrival: HubArrival) => void>()
  const replies = new Map<number, ThreadReply>()
  let routes = 0
  return {
    route(route, handler, arriving) {
      const id = routes++
      handlers.set(id, handler)
      if (arriving !== undefined) arrivals.set(id, arriving)
      peer.notify('route', id, route)
      return () => {
        handlers.delete(id)
        arrivals.delete(id)
        peer.notify('unroute', id)
      }
    },
    upgrade(path) {
      throw new NodeError(
        'websocket.needs-port',
        `WebSockets at ${path} cannot be had on the server's own port by a workflow in a thread of its own; give the node a port of its own with \`port\`.`,
      )
    },
    request(route, id, plain) {
      const reply = new ThreadReply(peer, Number(id))
      replies.set(Number(id), reply)
      // What crosses was taken apart by the host's side of this file's pair and has its form.
      const request = plain as Omit<HubRequest, 'signal' | 'keepFile'>
      const handler = handlers.get(Number(route))
      if (handler === undefined)
        reply.send(503, { error: { code: 'webhook.closed', message: 'the workflow is stopping' } })
      else
        handler(
          {
            ...request,
            signal: reply.gone.signal,
            keepFile: () => {
              peer.notify('keep-file', id)
              return () => peer.notify('release-file', id)
            },
          },
          reply,
        )
    },
    arriving(route, arrival) {
      arrivals.get(Number(route))?.(arrival as HubArrival)
    },
    replyEnded(id) {
      replies.get(id)?.over()
      replies.delete(id)
    },
  }
}

class ThreadReply implements HubReply {
  answered = false
  readonly gone = new AbortController()
  readonly #peer: Peer
  readonly #id: number
  readonly #onEnd: (() => void)[] = []
  #complete = false
  #over = false

  constructor(peer: Peer, id: number) {
    this.#peer = peer
    this.#id = id
  }

  send(status: number, body: unknown, headers: AnswerHeaders = {}): void {
    if (this.#over) return
    if (this.answered)
      throw new NodeError('reply.answered', 'This request was answered already; an answer is sent once.')
    this.answered = true
    this.#complete = true
    this.#peer.notify('reply-send', this.#id, status, body, headers)
  }

  begin(status: number, format: 'ndjson' | 'sse', headers: AnswerHeaders = {}): void {
    if (this.#over) return
    if (this.answered)
      throw new NodeError('reply.answered', 'This request was answered already; a stream cannot begin after that.')
    this.answered = true
    this.#peer.notify('reply-begin', this.#id, status, format, headers)
  }

  async write(value: unknown, event?: string): Promise<void> {
    await this.#peer.call('reply-write', [this.#id, value, event])
  }

  end(): void {
    this.#complete = true
    this.#peer.notify('reply-end', this.#id)
  }

  onEnd(callback: () => void): void {
    if (this.#over) callback()
    else this.#onEnd.push(callback)
  }

  /** The answer is over on the host's side: all sent, or the caller has gone. */
  over(): void {
    if (this.#over) return
    this.#over = true
    if (!this.#complete) this.gone.abort(new NodeError('reply.gone', 'the caller has gone'))
    for (const callback of this.#onEnd) callback()
  }
}
