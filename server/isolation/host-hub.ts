import type { Failure } from '../../core/flow/failure.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import type { AnswerHeaders } from '../../core/header-text.ts'
import type { Hub, HubReply, HubRequest, HubRoute } from '../../core/host.ts'
import type { Handlers, Peer } from './peer.ts'

/** The host's side of a thread's routes and answers. */
export interface HostHub {
  readonly handlers: Required<Pick<Handlers, 'calls' | 'notices'>>
  /** The thread is gone: its routes are free again, and callers that wait get an error. */
  close(): void
}

/** Makes the host's side; `peer` is asked for late, since the two need each other. */
export function hostHub(hub: Hub | undefined, peer: () => Peer): HostHub {
  const routes = new Map<number, () => void>()
  const replies = new Map<
    number,
    { readonly reply: HubReply; readonly remove: (() => void) | null; kept: boolean; ended: boolean }
  >()
  let ids = 0
  let claimFailure: Failure | null = null

  const claim = (id: number, route: HubRoute): void => {
    try {
      const answer = (request: HubRequest, reply: HubReply): void => {
        const replyId = ids++
        const entry = { reply, remove: route.body === 'file' ? request.keepFile() : null, kept: false, ended: false }
        replies.set(replyId, entry)
        reply.onEnd(() => {
          entry.ended = true
          peer().notify('reply-ended', replyId)
          if (entry.kept) return
          entry.remove?.()
          replies.delete(replyId)
        })
        const { id: requestId, method, path, params, query, headers, body } = request
        peer().notify('request', id, replyId, { id: requestId, method, path, params, query, headers, body })
      }
      const release = hub?.route(route, answer, (arrival) => peer().notify('arriving', id, arrival))
      if (release !== undefined) routes.set(id, release)
    } catch (thrown) {
      claimFailure ??= failureOf(thrown, null)
    }
  }
  const replyOf = (id: unknown): HubReply | undefined => replies.get(Number(id))?.reply
  /** The thread does not wait for what becomes of it: the caller may have been answered meanwhile, or the answer may have no form. */
  const attempt = (id: unknown, answer: (reply: HubReply) => void): void => {
    const reply = replyOf(id)
    try {
      if (reply !== undefined) answer(reply)
    } catch (thrown) {
      const { code } = failureOf(thrown, null)
      if (reply?.answered === false) reply.send(500, { error: { code, message: 'the answer could not be sent' } })
    }
  }

  return {
    handlers: {
      calls: {
        'routes-ready': async () => {
          if (claimFailure !== null) throw new NodeError(claimFailure.code, claimFailure.message)
        },
        'reply-write': async ([id, value, event]) =>
          replyOf(id)?.write(value, typeof event === 'string' ? event : undefined),
      },
      notices: {
        // These arguments were put together by thread-hub.ts, the other half of this pair.
        route: (id, route) => claim(Number(id), route as HubRoute),
        unroute: (id) => {
          routes.get(Number(id))?.()
          routes.delete(Number(id))
        },
        'reply-send': (id, status, body, headers) =>
          attempt(id, (reply) => reply.send(Number(status), body, headers as AnswerHeaders)),
        'reply-begin': (id, status, format, headers) =>
          attempt(id, (reply) =>
            reply.begin(Number(status), format === 'sse' ? 'sse' : 'ndjson', headers as AnswerHeaders),
          ),
        'reply-end': (id) => replyOf(id)?.end(),
        'keep-file': (id) => {
          const entry = replies.get(Number(id))
          if (entry !== undefined) entry.kept = true
        },
        'release-file': (id) => {
          const entry = replies.get(Number(id))
          entry?.remove?.()
          if (entry?.ended === true) replies.delete(Number(id))
        },
      },
    },
    close() {
      for (const release of routes.values()) release()
      routes.clear()
      for (const entry of replies.values()) {
        entry.remove?.()
        if (entry.ended) continue
        if (entry.reply.answered) entry.reply.end()
        else
          entry.reply.send(500, { error: { code: 'execution.lost', message: 'the thread of this workflow has ended' } })
      }
      replies.clear()
    },
  }
}
