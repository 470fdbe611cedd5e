import type { WebSocket } from 'ws'
import { NodeError } from '../core/flow/failure.ts'
import type { ClientFrame, RunFrame, SubscribeFrame } from '../core/protocol/client-frames.ts'
import { parseClientFrame } from '../core/protocol/client-frames.ts'
import { decodeFrame, encodeFrame, encodeMessages, protocolVersion } from '../core/protocol/frame.ts'
import type { ServerFrame } from '../core/protocol/server-frames.ts'
import { HttpError } from './http-error.ts'
import type { ServerLimits } from './limits.ts'
import type { TopicReader } from './topic-reader.ts'
import type { TopicStore } from './topics.ts'
import type { Workflows } from './workflows.ts'

export interface SessionContext {
  /** Differs for each start of the server. */
  readonly server: string
  readonly limits: ServerLimits
  readonly topics: TopicStore
  readonly workflows: Workflows
  readonly tokenMatches: (token: string | null) => boolean
  /** The token came with the upgrade request already. */
  readonly authorized: boolean
}

interface Subscription {
  readonly id: number
  readonly reader: TopicReader
  credits: number
}

/** Messages in one frame, and their bytes: large enough to be cheap, small enough that other subscriptions get their turn. */
const frameMessagesMax = 256
const frameBytesTarget = 256 * 1024

/** Close codes of the protocol, beside those of RFC 6455. */
export const closeCodes = { protocol: 1002, policy: 1008, restart: 1012, unauthorized: 4401 } as const

/** One client's WebSocket: reads its frames, sends what its subscriptions have credit for and its socket has room for. */
export class Session {
  /** Set by whatever the client sends; the heartbeat clears it. */
  alive = true
  readonly #socket: WebSocket
  readonly #context: SessionContext
  readonly #subscriptions = new Map<number, Subscription>()
  readonly #helloTimer: NodeJS.Timeout
  #welcomed = false
  #blocked = false
  #closed = false

  constructor(socket: WebSocket, context: SessionContext) {
    this.#socket = socket
    this.#context = context
    this.#helloTimer = setTimeout(
      () => this.#fault('hello.missing', 'No hello came in time.', closeCodes.policy),
      context.limits.helloMsMax,
    )
    this.#helloTimer.unref()
    socket.on('message', (data, isBinary) => this.#received(data, isBinary))
    socket.on('pong', () => {
      this.alive = true
    })
    // An oversize or broken frame is reported here; ws closes the socket by itself.
    socket.on('error', () => {})
    socket.on('close', () => this.#release())
  }

  /** Called at each beat: cuts a client that was silent for a whole one, even to pings. */
  beat(): void {
    if (!this.alive) this.#socket.terminate()
    else {
      this.alive = false
      this.#socket.ping()
    }
  }

  close(): void {
    this.#socket.close(closeCodes.restart, 'the server is closing')
    this.#release()
  }

  terminate(): void {
    this.#socket.terminate()
  }

  #received(data: unknown, isBinary: boolean): void {
    this.alive = true
    if (this.#closed) return
    if (!isBinary || !Buffer.isBuffer(data)) {
      this.#fault('frame.not-binary', 'Frames are binary messages.', closeCodes.protocol)
      return
    }
    const header = decodeFrame(data, this.#context.limits.frameBytesMax)
    if (!header.ok) {
      this.#fault(header.fault.code, header.fault.message, closeCodes.protocol)
      return
    }
    const frame = parseClientFrame(header.value)
    // A frame that is well made but wrong in a field concerns its sender's call, not the connection.
    const { id } = header.value
    if (frame.ok) this.#take(frame.value)
    else if (typeof id === 'number' && this.#welcomed)
      this.#send({ kind: 'error', id, code: frame.fault.code, message: frame.fault.message })
    else this.#fault(frame.fault.code, frame.fault.message, closeCodes.protocol)
  }

  #take(frame: ClientFrame): void {
    if (frame.kind === 'hello') this.#hello(frame.token)
    else if (!this.#welcomed) this.#fault('hello.missing', 'The first frame must be a hello.', closeCodes.protocol)
    else if (frame.kind === 'ping') this.#send({ kind: 'pong' })
    else if (frame.kind === 'subscribe') this.#guarded(frame.id, () => this.#subscribe(frame))
    else if (frame.kind === 'credit') this.#credit(frame.id, frame.n)
    else if (frame.kind === 'unsubscribe') this.#unsubscribe(frame.id)
    else if (frame.kind === 'run') this.#guarded(frame.id, () => this.#run(frame))
    // An execution that is unknown has ended long ago: that is what was asked for.
    else this.#context.workflows.stop(frame.execution, false).catch(() => {})
  }

  #hello(token: string | null): void {
    if (this.#welcomed) {
      this.#fault('hello.twice', 'There is one hello per connection.', closeCodes.protocol)
      return
    }
    if (!this.#context.authorized && !this.#context.tokenMatches(token)) {
      this.#fault('auth.required', 'This server needs its API token.', closeCodes.unauthorized)
      return
    }
    clearTimeout(this.#helloTimer)
    this.#welcomed = true
    this.#send({ kind: 'welcome', protocol: protocolVersion, server: this.#context.server })
  }

  #subscribe(frame: SubscribeFrame): void {
    const { limits, topics } = this.#context
    if (this.#subscriptions.has(frame.id))
      throw new NodeError('subscription.taken', `Subscription ${frame.id} is in use on this connection.`)
    if (this.#subscriptions.size >= limits.subscriptionsPerSocketMax)
      throw new NodeError(
        'subscription.too-many',
        `A connection holds at most ${limits.subscriptionsPerSocketMax} subscriptions.`,
      )
    const reader = topics.read(frame.topic, frame.after, frame.log, () => this.#pump(subscription))
    const subscription = { id: frame.id, reader, credits: frame.credits }
    this.#subscriptions.set(frame.id, subscription)
    this.#send({ kind: 'subscribed', id: frame.id, log: reader.log.id, next: reader.position })
    this.#pump(subscription)
  }

  #credit(id: number, n: number): void {
    const subscription = this.#subscriptions.get(id)
    if (subscription === undefined) return
    subscription.credits = Math.min(subscription.credits + n, 1_000_000)
    this.#pump(subscription)
  }

  #unsubscribe(id: number): void {
    this.#subscriptions.get(id)?.reader.close()
    this.#subscriptions.delete(id)
  }

  #run(frame: RunFrame): void {
    const execution = this.#context.workflows.run(frame.workflow, frame.entry, frame.input)
    const topic = `executions/${execution.id}`
    this.#context.topics.prepare(topic)
    this.#send({ kind: 'ran', id: frame.id, execution: execution.id, topic })
  }

  #guarded(id: number, work: () => void): void {
    try {
      work()
    } catch (thrown) {
      const known = thrown instanceof NodeError || thrown instanceof HttpError
      const code = known ? thrown.code : 'server.error'
      this.#send({ kind: 'error', id, code, message: known ? thrown.message : 'The server failed on this request.' })
    }
  }

  /** Sends what may be sent: bounded by the reader's credits and by what the socket has not yet taken. */
  #pump(subscription: Subscription): void {
    while (!this.#closed && this.#subscriptions.has(subscription.id)) {
      if (this.#socket.bufferedAmount >= this.#context.limits.socketBufferBytesMax) {
        this.#blocked = true
        return
      }
      const step = subscription.reader.take(Math.min(subscription.credits, frameMessagesMax), frameBytesTarget)
      const { id } = subscription
      switch (step.kind) {
        case 'nothing':
          return
        case 'gap':
          this.#send({ kind: 'gap', id, from: step.from, to: step.to })
          break
        case 'end':
          this.#send({ kind: 'end', id, outcome: step.outcome })
          this.#unsubscribe(id)
          return
        case 'messages':
          subscription.credits -= step.values.length
          this.#write(encodeMessages({ id, offset: step.offset }, step.values))
      }
    }
  }

  #send(frame: ServerFrame): void {
    this.#write(encodeFrame(frame))
  }

  #write(bytes: Uint8Array): void {
    if (this.#closed) return
    // A client that keeps asking and never reads is cut before its answers fill the memory.
    const { socketBufferBytesMax, topics } = this.#context.limits
    if (this.#socket.bufferedAmount > socketBufferBytesMax * 8 + topics.messageBytesMax) this.#socket.terminate()
    else this.#socket.send(bytes, () => this.#drained())
  }

  #drained(): void {
    if (!this.#blocked || this.#closed || this.#socket.bufferedAmount > this.#context.limits.socketBufferBytesMax / 2)
      return
    this.#blocked = false
    // The one that was served first goes to the end of the row, so that a busy topic does not starve the others.
    const [first] = this.#subscriptions.values()
    for (const subscription of [...this.#subscriptions.values()]) if (!this.#blocked) this.#pump(subscription)
    if (first === undefined || !this.#subscriptions.delete(first.id)) return
    this.#subscriptions.set(first.id, first)
  }

  #fault(code: string, message: string, closeCode: number): void {
    if (this.#closed) return
    this.#send({ kind: 'error', id: null, code, message })
    this.#socket.close(closeCode, code)
    this.#release()
  }

  #release(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#helloTimer)
    for (const subscription of this.#subscriptions.values()) subscription.reader.close()
    this.#subscriptions.clear()
  }
}
