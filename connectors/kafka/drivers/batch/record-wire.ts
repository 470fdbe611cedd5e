import type { Socket } from 'node:net'
import type { Connection } from '@platformatic/kafka'
import { NetworkError, Reader, TimeoutError, Writer } from '@platformatic/kafka'
import { giveBack } from '../../../../core/flow/give-back.ts'

/** A request whose bytes are worth care: how it is written and its answer read. */
export interface RecordApi<Request, Answer> {
  readonly key: number
  readonly version: number
  /** What follows the request's header. With `context.noResponse` there is no answer, and `read` is given nothing to read. */
  write(request: Request): Writer
  /** The answer's memory is freed afterwards, so nothing of it may be kept. */
  read(reader: Reader): Answer
}

/** The library numbers its requests from 1 on, we from here. */
const firstNumber = 0x40000000
const lastNumber = 0x7fffffff
/** No broker answers more; what looks like it is no answer. */
const answerBytesMax = 1_000_000_000

interface Waiting {
  readonly timer: NodeJS.Timeout
  answered(reader: Reader): void
  failed(error: Error): void
}

/**
 * Carries requests with records over a connection that the library has opened and authenticated. The library puts a request together
 * before it writes it and keeps an answer in pieces; here a request's parts are written as they are, an answer is gathered in
 * one piece, and the memory of both is given back at once. Answers to requests of the library go on to it.
 */
export class RecordWire {
  readonly #socket: Socket
  readonly #clientId: string
  readonly #toLibrary: readonly ((chunk: Buffer) => void)[]
  readonly #waiting = new Map<number, Waiting>()
  readonly #size = Buffer.alloc(4)
  #sizeFilled = 0
  /** The answer that is coming in, and how much of it has. */
  #answer: Buffer | null = null
  #filled = 0
  #number = firstNumber

  constructor(connection: Connection, clientId: string) {
    this.#socket = connection.socket
    this.#clientId = clientId
    this.#toLibrary = this.#socket.listeners('data') as ((chunk: Buffer) => void)[]
    this.#socket.removeAllListeners('data')
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#socket.once('close', () => this.#fail(new NetworkError('Connection closed')))
  }

  /** Rejects with the library's NetworkError and TimeoutError. A broker that is late loses the connection: what it has half said cannot be told apart. */
  ask<Request, Answer>(api: RecordApi<Request, Answer>, request: Request, requestMsMax: number): Promise<Answer> {
    const writer = api.write(request)
    const number = this.#number
    this.#number = number === lastNumber ? firstNumber : number + 1
    const whole = Writer.create()
      .appendInt16(api.key)
      .appendInt16(api.version)
      .appendInt32(number)
      .appendString(this.#clientId, false)
      .appendFrom(writer)
      .prependLength()
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new NetworkError('Connection closed'))
      if (writer.context.noResponse === true) {
        this.#write(whole.buffers, (error) =>
          error == null
            ? resolve(api.read(Reader.from(nothing)))
            : reject(new NetworkError('Connection closed', { cause: error })),
        )
        return
      }
      const timer = setTimeout(() => {
        this.#waiting.delete(number)
        reject(new TimeoutError(`no answer within ${requestMsMax} ms`))
        this.#socket.destroy()
      }, requestMsMax)
      this.#waiting.set(number, {
        timer,
        answered(reader) {
          clearTimeout(timer)
          try {
            resolve(api.read(reader))
          } catch (thrown) {
            reject(thrown)
          }
        },
        failed(error) {
          clearTimeout(timer)
          reject(error)
        },
      })
      this.#write(whole.buffers, null)
    })
  }

  #write(parts: readonly Buffer[], done: ((error?: Error | null) => void) | null): void {
    const last = parts.length - 1
    this.#socket.cork()
    parts.forEach((part, index) => {
      if (index === last && done !== null) this.#socket.write(part, done)
      else this.#socket.write(part)
    })
    this.#socket.uncork()
  }

  #read(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#answer === null) {
        const taken = Math.min(4 - this.#sizeFilled, chunk.length - at)
        chunk.copy(this.#size, this.#sizeFilled, at, at + taken)
        at += taken
        this.#sizeFilled += taken
        if (this.#sizeFilled < 4) break
        const size = this.#size.readInt32BE()
        if (size < 4 || size > answerBytesMax) {
          this.#socket.destroy(new NetworkError(`an answer of ${size} bytes`))
          break
        }
        this.#answer = Buffer.allocUnsafeSlow(size)
        this.#filled = 0
      }
      const taken = Math.min(this.#answer.length - this.#filled, chunk.length - at)
      chunk.copy(this.#answer, this.#filled, at, at + taken)
      at += taken
      this.#filled += taken
      if (this.#filled < this.#answer.length) break
      const answer = this.#answer
      this.#answer = null
      this.#sizeFilled = 0
      this.#take(answer)
    }
    giveBack(chunk)
  }

  #take(answer: Buffer): void {
    const number = answer.readInt32BE()
    if (number < firstNumber) return this.#handOn(answer)
    const waiting = this.#waiting.get(number)
    this.#waiting.delete(number)
    const reader = Reader.from(answer)
    reader.skip(4)
    waiting?.answered(reader)
    giveBack(answer)
  }

  #handOn(answer: Buffer): void {
    const frame = Buffer.allocUnsafe(4 + answer.length)
    frame.writeInt32BE(answer.length)
    answer.copy(frame, 4)
    for (const listener of this.#toLibrary) listener(frame)
  }

  #fail(error: Error): void {
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const each of waiting) each.failed(error)
  }
}

const nothing = Buffer.alloc(0)
