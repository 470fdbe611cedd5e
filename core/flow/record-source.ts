import type { Source, TriggerContext } from '../define.ts'
import type { Size } from './credits.ts'
import type { Failure } from './failure.ts'
import { failureOf } from './failure.ts'
import type { Message } from './message.ts'
import { message } from './message.ts'
import type { Step } from './pump.ts'
import { createPump } from './pump.ts'

/** What a source of bytes gives: bytes, which it never changes later, or the news that another text begins. */
export type ByteChunk = Uint8Array | 'restart'

/** Records in a row: values for messages, and those that could not be read. */
export interface Records {
  /** Fresh values; whoever gets them may change them in place. */
  readonly values: readonly unknown[]
  readonly unreadable: readonly UnreadableRecord[]
  /** What they take in the source. */
  readonly bytes: number
  /** The same values, made anew. */
  readonly again: () => readonly unknown[]
}

export interface UnreadableRecord {
  readonly failure: Failure
  /** What is known of it: its text, or the beginning of it. */
  readonly value: unknown
}

/** Makes records out of bytes, however they were cut. */
export interface RecordReader {
  /** Adds bytes. Called only after `take` has answered null. */
  push(chunk: Uint8Array): void
  /** The text has ended: what is left is its last record. */
  end(): void
  /** After `end`, when `take` has answered null: another text begins. */
  restart(): void
  /** The next records: at most so many, and of so many bytes unless it is one. Null when bytes are needed. */
  take(limit: Size): Records | null
}

/**
 * The source of a stream trigger that reads records out of bytes: pulls one chunk ahead and no more, cuts batches by the gate,
 * waits for it, keeps what is needed to send a batch again, and gives to the dead-letter what cannot be read, which counts as delivered.
 * `input` is closed by its iterator's `return`.
 */
export function openRecordSource(
  input: AsyncIterable<ByteChunk>,
  reader: RecordReader,
  context: TriggerContext,
): Source {
  const source = new RecordSource(input, reader, context)
  source.start()
  return source
}

class RecordSource implements Source {
  readonly #iterator: AsyncIterator<ByteChunk>
  readonly #reader: RecordReader
  readonly #context: TriggerContext
  readonly #pump: ReturnType<typeof createPump>
  /** Batches in flight: what it takes to send them again. */
  readonly #open = new Map<number, { readonly time: number; readonly again: () => readonly unknown[] }>()
  #tickets = 0
  #arrived: IteratorResult<ByteChunk> | null = null
  #asked = false
  #ended = false
  /** The reader has been told of the text's end, and of the next one's beginning when all of it has been taken. */
  #restarts = false
  #closed = false
  /** Read, but not let through by the gate yet. */
  #held: Records | null = null
  #writesLetters = false

  constructor(input: AsyncIterable<ByteChunk>, reader: RecordReader, context: TriggerContext) {
    this.#iterator = input[Symbol.asyncIterator]()
    this.#reader = reader
    this.#context = context
    this.#pump = createPump(
      context.host.clock,
      context.gate,
      () => this.#step(),
      context.complete,
      (thrown) => context.fail(failureOf(thrown, context.node)),
    )
  }

  start(): void {
    this.#ask()
    this.#pump.wake()
  }

  pause(): void {
    this.#pump.pause()
  }

  resume(): void {
    this.#pump.resume()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#pump.close()
    this.#open.clear()
    await this.#iterator.return?.()
  }

  closed(ticket: number): void {
    this.#open.delete(ticket)
  }

  again(ticket: number): readonly Message[] | null {
    const held = this.#open.get(ticket)
    return held === undefined ? null : held.again().map((value) => message(value, null, held.time, null))
  }

  #step(): Step {
    if (this.#writesLetters) return 'idle'
    for (;;) {
      const records = this.#held ?? this.#reader.take(this.#context.gate.batchMax)
      if (records !== null) {
        const step = this.#send(records)
        if (step !== null) return step
      } else if (this.#restarts) {
        this.#restarts = false
        this.#reader.restart()
      } else if (this.#ended) return 'done'
      else if (!this.#feed()) return 'idle'
    }
  }

  /** Sends what was read; null when there was nothing to wait for. */
  #send(records: Records): Step | null {
    const { values, unreadable, bytes, again } = records
    const size = { messages: values.length, bytes }
    this.#held = records
    if (values.length > 0 && !this.#context.gate.take(size)) return 'full'
    this.#held = null
    if (unreadable.length > 0) this.#giveToDeadLetter(unreadable)
    if (values.length > 0) {
      const time = this.#context.host.clock.now()
      const ticket = this.#tickets++
      this.#open.set(ticket, { time, again })
      const messages = values.map((value) => message(value, null, time, null))
      this.#context.emit(0, messages, this.#context.streamScope, ticket, size)
      return 'emitted'
    }
    return this.#writesLetters ? 'idle' : null
  }

  /** Gives the reader what has arrived, and asks for what comes after it. False: nothing has arrived yet. */
  #feed(): boolean {
    const arrived = this.#arrived
    this.#arrived = null
    if (arrived === null) {
      this.#ask()
      return false
    }
    if (arrived.done === true) {
      this.#ended = true
      this.#reader.end()
      return true
    }
    if (arrived.value !== 'restart') this.#reader.push(arrived.value)
    else {
      this.#reader.end()
      this.#restarts = true
    }
    this.#ask()
    return true
  }

  #ask(): void {
    if (this.#asked || this.#closed) return
    this.#asked = true
    this.#iterator.next().then(
      (arrived) => {
        this.#asked = false
        this.#arrived = arrived
        this.#pump.wake()
      },
      (thrown) => {
        if (!this.#closed) this.#context.fail(failureOf(thrown, this.#context.node))
      },
    )
  }

  /** Until the letters are safe, nothing more is read: rubbish without end must not pile up. */
  #giveToDeadLetter(unreadable: readonly UnreadableRecord[]): void {
    const { host, workflow, streamScope } = this.#context
    const time = host.clock.now()
    const execution = streamScope.owner?.executionId(streamScope) ?? ''
    const letters = unreadable.map(({ failure, value }) => ({
      workflow: workflow.id,
      execution,
      failure,
      value,
      key: null,
      time,
    }))
    this.#writesLetters = true
    host.deadLetter(letters, streamScope.signal).then(
      () => {
        this.#writesLetters = false
        this.#pump.wake()
      },
      (thrown) => this.#context.fail(failureOf(thrown, this.#context.node)),
    )
  }
}
