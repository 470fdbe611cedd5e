import type { MessagePort, Worker } from 'node:worker_threads'
import type { Failure } from '../../core/flow/failure.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import { isRecord } from '../../core/protocol/frame.ts'

/** What one side of a thread boundary answers: by method name, one value or a stream of them. */
export interface Handlers {
  readonly calls?: Readonly<Record<string, (args: readonly unknown[], signal: AbortSignal) => Promise<unknown>>>
  readonly streams?: Readonly<Record<string, (args: readonly unknown[], signal: AbortSignal) => AsyncIterable<unknown>>>
  readonly notices?: Readonly<Record<string, (...args: readonly unknown[]) => void>>
}

/** One end of the connection between a thread and its host. */
export interface Peer {
  call(method: string, args: readonly unknown[], signal?: AbortSignal): Promise<unknown>
  /** Values are asked for one by one, so a slow reader suspends the other side. */
  stream(method: string, args: readonly unknown[], signal?: AbortSignal): AsyncIterable<unknown>
  notify(method: string, ...args: readonly unknown[]): void
  /** Rejects everything that waits: the other side is gone. */
  lost(error: NodeError): void
}

/** What crosses the boundary, by structured clone. `id` names a call or a stream of the side that began it. */
type Frame =
  | {
      readonly kind: 'call' | 'open' | 'next' | 'return' | 'abort'
      readonly id: number
      readonly method: string
      readonly args: readonly unknown[]
    }
  | { readonly kind: 'value'; readonly id: number; readonly value: unknown; readonly done: boolean }
  | { readonly kind: 'error'; readonly id: number; readonly failure: Failure }
  | { readonly kind: 'notice'; readonly method: string; readonly args: readonly unknown[] }

type Port = Pick<MessagePort | Worker, 'postMessage'> & {
  on(event: 'message', listener: (frame: Frame) => void): unknown
}

/** Joins one end of a port. */
export function createPeer(port: Port, handlers: Handlers): Peer {
  const waiting = new Map<
    number,
    { resolve: (value: IteratorResult<unknown>) => void; reject: (error: unknown) => void }
  >()
  const aborts = new Map<number, AbortController>()
  const iterators = new Map<number, AsyncIterator<unknown>>()
  let ids = 0
  let gone: NodeError | null = null

  const send = (frame: Frame): void => {
    if (isTooDeep(frame, 0, new Set()))
      throw new NodeError(
        'value.too-deep',
        `values nested deeper than ${levelsMax} levels cannot cross to another thread`,
      )
    port.postMessage(frame)
  }
  const ask = (frame: Extract<Frame, { method: string; id: number }>): Promise<IteratorResult<unknown>> => {
    if (gone !== null) return Promise.reject(gone)
    return new Promise((resolve, reject) => {
      send(frame)
      waiting.set(frame.id, { resolve, reject })
    })
  }
  const answer = (id: number, promise: Promise<IteratorResult<unknown>>): void => {
    promise
      .then((result) => send({ kind: 'value', id, value: result.value, done: result.done === true }))
      // It failed, or what it gave cannot cross.
      .catch((thrown: unknown) => send({ kind: 'error', id, failure: failureOf(thrown, null) }))
  }
  const signalOf = (id: number): AbortSignal => {
    const controller = new AbortController()
    aborts.set(id, controller)
    return controller.signal
  }
  const take = (frame: Frame): void => {
    switch (frame.kind) {
      case 'notice':
        handlers.notices?.[frame.method]?.(...frame.args)
        return
      case 'value':
        waiting
          .get(frame.id)
          ?.resolve(frame.done ? { done: true, value: frame.value } : { done: false, value: frame.value })
        waiting.delete(frame.id)
        return
      case 'error':
        waiting
          .get(frame.id)
          ?.reject(new NodeError(frame.failure.code, frame.failure.message, { retriable: frame.failure.retriable }))
        waiting.delete(frame.id)
        return
      case 'call': {
        const handler = handlers.calls?.[frame.method]
        const work =
          handler === undefined
            ? Promise.reject(new NodeError('thread.unknown-call', frame.method))
            : handler(frame.args, signalOf(frame.id))
        answer(
          frame.id,
          work.then((value) => ({ done: true, value })).finally(() => aborts.delete(frame.id)),
        )
        return
      }
      case 'open': {
        const stream = handlers.streams?.[frame.method]?.(frame.args, signalOf(frame.id))
        if (stream !== undefined) iterators.set(frame.id, stream[Symbol.asyncIterator]())
        return
      }
      case 'next': {
        const iterator = iterators.get(frame.id)
        answer(frame.id, iterator === undefined ? Promise.resolve({ done: true, value: undefined }) : iterator.next())
        return
      }
      case 'return':
        void iterators.get(frame.id)?.return?.()
        iterators.delete(frame.id)
        aborts.delete(frame.id)
        return
      case 'abort':
        aborts.get(frame.id)?.abort(new NodeError('execution.stopped', 'the execution was stopped'))
        return
    }
  }
  port.on('message', take)

  const onAbort = (id: number, signal: AbortSignal | undefined): (() => void) => {
    const abort = (): void => send({ kind: 'abort', id, method: '', args: [] })
    signal?.addEventListener('abort', abort, { once: true })
    return () => signal?.removeEventListener('abort', abort)
  }
  return {
    async call(method, args, signal) {
      const id = ids++
      const off = onAbort(id, signal)
      try {
        return (await ask({ kind: 'call', id, method, args })).value
      } finally {
        off()
      }
    },
    async *stream(method, args, signal) {
      const id = ids++
      const off = onAbort(id, signal)
      send({ kind: 'open', id, method, args })
      try {
        for (;;) {
          const next = await ask({ kind: 'next', id, method, args: [] })
          if (next.done === true) return
          yield next.value
        }
      } finally {
        off()
        if (gone === null) send({ kind: 'return', id, method, args: [] })
      }
    },
    notify: (method, ...args) => {
      if (gone === null) send({ kind: 'notice', method, args })
    },
    lost(error) {
      gone = error
      for (const each of waiting.values()) each.reject(error)
      waiting.clear()
      for (const each of aborts.values()) each.abort(error)
    },
  }
}

/** The side that reads has less stack than the one that wrote, and what it cannot read is lost without a word. */
const levelsMax = 500

/** Each part is looked at once: a small value may hold another one many times over, and be huge when it is written out. */
function isTooDeep(value: unknown, level: number, seen: Set<object>): boolean {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || seen.has(value)) return false
  if (level > levelsMax) return true
  seen.add(value)
  if (Array.isArray(value)) return value.some((each) => isTooDeep(each, level + 1, seen))
  return isRecord(value) && Object.values(value).some((each) => isTooDeep(each, level + 1, seen))
}
