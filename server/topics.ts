import { randomBytes } from 'node:crypto'
import { NodeError } from '../core/flow/failure.ts'
import type { Clock, Topics } from '../core/host.ts'
import type { After } from '../core/protocol/client-frames.ts'
import { topicPattern } from '../core/protocol/client-frames.ts'
import type { EncodedValue } from '../core/protocol/frame.ts'
import { encodeValue, UnencodableError } from '../core/protocol/frame.ts'
import type { WireOutcome } from '../core/protocol/server-frames.ts'
import { sizeOf, TopicLog } from './topic-log.ts'
import { TopicReader } from './topic-reader.ts'

export interface TopicLimits {
  /** Per topic. */
  readonly messagesMax: number
  readonly bytesMax: number
  readonly messageBytesMax: number
  /** All topics together. */
  readonly topicsMax: number
  readonly bytesTotalMax: number
  /** How long an ended topic can still be read. */
  readonly keepEndedMs: number
  /** How long a topic that nobody writes or reads is kept. */
  readonly keepIdleMs: number
}

export const defaultTopicLimits: TopicLimits = {
  messagesMax: 10_000,
  bytesMax: 64 * 1024 * 1024,
  messageBytesMax: 8 * 1024 * 1024,
  topicsMax: 1_000,
  bytesTotalMax: 512 * 1024 * 1024,
  keepEndedMs: 15 * 60_000,
  keepIdleMs: 60 * 60_000,
}

/** The topics of a server: publish and end from inside, read from outside by offset. */
export interface TopicStore extends Topics {
  /** The topic has nothing more to give. Readers get the rest, then the outcome. Unknown names are ignored. */
  end(topic: string, outcome?: WireOutcome | null): void
  /** Ends each topic whose last path segment is the id of this execution. */
  endExecution(execution: string, outcome: WireOutcome): void
  /** Makes the topic, if there is room, so that it is there when its first reader comes late. */
  prepare(topic: string): void
  /** Attaches a reader; the topic need not exist yet. Throws a NodeError `topic.unknown` or `topic.too-many`. */
  read(topic: string, after: After, logId: string | null, onWake: () => void): TopicReader
  /** A topic of the server's own, fed only while somebody reads it: `start` is called for the first reader, its answer after the last. */
  serve(prefix: string, start: (topic: string, publish: (value: unknown) => void) => () => void): void
  readonly count: number
  readonly bytes: number
  readonly readers: number
  close(): void
}

/**
 * What a topic is that nobody has published to yet: `open`, so that a reader may wait for it, over already, or unknown.
 */
export type Admission =
  | { readonly kind: 'open' }
  | { readonly kind: 'over'; readonly outcome: WireOutcome }
  | { readonly kind: 'unknown'; readonly message: string }

export interface TopicStoreOptions {
  readonly clock: Clock
  readonly limits: TopicLimits
  readonly admit: (topic: string) => Admission
}

/** Makes an empty store. Close it: it owns a timer. */
export function createTopics(options: TopicStoreOptions): TopicStore {
  return new Store(options)
}

interface Served {
  readonly prefix: string
  readonly start: (topic: string, publish: (value: unknown) => void) => () => void
}

const sweepMs = 15_000
/** After so much in one turn of the event loop a publisher waits for the next one, so that sockets get theirs. */
const turnMessagesMax = 1_000
const turnBytesMax = 1024 * 1024
/** Topics of the server's own show what is now; their past is of little use. */
const servedMessagesMax = 120

class Store implements TopicStore {
  bytes = 0
  readers = 0
  readonly #options: TopicStoreOptions
  readonly #logs = new Map<string, TopicLog>()
  readonly #byLastSegment = new Map<string, Set<TopicLog>>()
  readonly #served: Served[] = []
  readonly #feeds = new Map<TopicLog, () => void>()
  #turnMessages = 0
  #turnBytes = 0
  #turnEnd: Promise<void> | null = null
  #stopSweep: () => void

  constructor(options: TopicStoreOptions) {
    this.#options = options
    this.#stopSweep = options.clock.after(sweepMs, () => this.#sweep())
  }

  get count(): number {
    return this.#logs.size
  }

  async publish(topic: string, values: readonly unknown[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    checkName(topic)
    if (this.#served.some((each) => topic.startsWith(each.prefix)))
      throw new NodeError('topic.reserved', `Topic ${topic} is fed by the server itself; choose another name.`)
    const encoded = values.map((value) => this.#encode(topic, value))
    const log = this.#logToWrite(topic)
    this.#append(log, encoded)
    if (this.#turnMessages >= turnMessagesMax || this.#turnBytes >= turnBytesMax) await this.#nextTurn()
  }

  end(topic: string, outcome: WireOutcome | null = null): void {
    this.#logs.get(topic)?.end(outcome, this.#now())
  }

  endExecution(execution: string, outcome: WireOutcome): void {
    const logs = this.#byLastSegment.get(execution)
    if (logs !== undefined) for (const log of logs) log.end(outcome, this.#now())
  }

  prepare(topic: string): void {
    checkName(topic)
    if (!this.#logs.has(topic) && (this.#logs.size < this.#options.limits.topicsMax || this.#evictOne()))
      this.#make(topic)
  }

  read(topic: string, after: After, logId: string | null, onWake: () => void): TopicReader {
    checkName(topic)
    const log = this.#logs.get(topic) ?? this.#logForReader(topic)
    this.readers += 1
    const reader = new TopicReader(log, after, logId, onWake, () => this.#left(log))
    if (log.readers.size === 1) this.#feed(log)
    return reader
  }

  serve(prefix: string, start: Served['start']): void {
    this.#served.push({ prefix, start })
  }

  close(): void {
    this.#stopSweep()
    for (const stop of this.#feeds.values()) stop()
    this.#feeds.clear()
    for (const log of this.#logs.values()) log.readers.clear()
    this.#logs.clear()
    this.#byLastSegment.clear()
  }

  #now(): number {
    return this.#options.clock.now()
  }

  #encode(topic: string, value: unknown): EncodedValue {
    const { messageBytesMax } = this.#options.limits
    try {
      const encoded = copied(encodeValue(value))
      if (sizeOf(encoded) <= messageBytesMax) return encoded
      const size = sizeOf(encoded)
      throw new NodeError(
        'topic.message-too-large',
        `A message for topic ${topic} takes ${size} bytes; at most ${messageBytesMax} are kept.`,
      )
    } catch (thrown) {
      if (thrown instanceof UnencodableError)
        throw new NodeError(`topic.${thrown.code}`, `Topic ${topic}: ${thrown.message}`)
      throw thrown
    }
  }

  #append(log: TopicLog, encoded: readonly EncodedValue[]): void {
    const before = log.bytes
    log.append(encoded, this.#now())
    this.bytes += log.bytes - before
    this.#turnMessages += encoded.length
    for (const each of encoded) this.#turnBytes += sizeOf(each)
    if (this.bytes > this.#options.limits.bytesTotalMax) this.#shrink()
  }

  /** Promises shared by all publishers of this turn; counting starts again with the next. */
  #nextTurn(): Promise<void> {
    this.#turnEnd ??= new Promise((resolve) => {
      this.#options.clock.soon(() => {
        this.#turnEnd = null
        this.#turnMessages = 0
        this.#turnBytes = 0
        resolve()
      })
    })
    return this.#turnEnd
  }

  #logToWrite(topic: string): TopicLog {
    const known = this.#logs.get(topic)
    if (known !== undefined && known.endedAt === null) return known
    // Published to again after its end: a new log takes the name, its offsets begin with 0.
    if (known !== undefined) this.#drop(known)
    return this.#make(topic)
  }

  #logForReader(topic: string): TopicLog {
    const admission = this.#options.admit(topic)
    if (admission.kind === 'unknown') throw new NodeError('topic.unknown', admission.message)
    const log = this.#make(topic)
    if (admission.kind === 'over') log.end(admission.outcome, this.#now())
    return log
  }

  #make(topic: string): TopicLog {
    const { limits } = this.#options
    if (this.#logs.size >= limits.topicsMax && !this.#evictOne())
      throw new NodeError(
        'topic.too-many',
        `There are ${limits.topicsMax} topics in use; topic ${topic} cannot be opened.`,
        { retriable: true },
      )
    const served = this.#served.some((each) => topic.startsWith(each.prefix))
    const kept = served ? { messagesMax: servedMessagesMax, bytesMax: limits.bytesMax } : limits
    const log = new TopicLog(topic, randomBytes(6).toString('base64url'), kept, this.#now())
    this.#logs.set(topic, log)
    const last = lastSegment(topic)
    const siblings = this.#byLastSegment.get(last)
    if (siblings === undefined) this.#byLastSegment.set(last, new Set([log]))
    else siblings.add(log)
    return log
  }

  #drop(log: TopicLog): void {
    if (this.#logs.get(log.name) === log) this.#logs.delete(log.name)
    const last = lastSegment(log.name)
    const siblings = this.#byLastSegment.get(last)
    siblings?.delete(log)
    if (siblings?.size === 0) this.#byLastSegment.delete(last)
    this.bytes -= log.bytes
  }

  #feed(log: TopicLog): void {
    const served = this.#served.find((each) => log.name.startsWith(each.prefix))
    if (served === undefined || this.#feeds.has(log)) return
    const stop = served.start(log.name, (value) => this.#append(log, [this.#encode(log.name, value)]))
    this.#feeds.set(log, stop)
  }

  #left(log: TopicLog): void {
    this.readers -= 1
    if (log.readers.size > 0) return
    log.usedAt = this.#now()
    this.#feeds.get(log)?.()
    this.#feeds.delete(log)
  }

  #sweep(): void {
    const { keepEndedMs, keepIdleMs } = this.#options.limits
    const now = this.#now()
    for (const log of [...this.#logs.values()]) {
      if (log.readers.size > 0) continue
      if (log.endedAt !== null && now - log.endedAt >= keepEndedMs) this.#drop(log)
      else if (now - log.usedAt >= keepIdleMs) this.#drop(log)
    }
    this.#stopSweep = this.#options.clock.after(sweepMs, () => this.#sweep())
  }

  /** Makes room for one topic: first one that has ended, else the one that was used longest ago. Never one that is being read. */
  #evictOne(): boolean {
    let victim: TopicLog | null = null
    for (const log of this.#logs.values()) {
      if (log.readers.size > 0) continue
      if (victim === null || rank(log) < rank(victim)) victim = log
    }
    if (victim === null) return false
    this.#drop(victim)
    return true
  }

  /** Too many bytes in all: ended topics that nobody reads go first, then the largest loses its oldest eighth. */
  #shrink(): void {
    while (this.bytes > this.#options.limits.bytesTotalMax) {
      let ended: TopicLog | null = null
      let largest: TopicLog | null = null
      for (const log of this.#logs.values()) {
        if (log.endedAt !== null && log.readers.size === 0 && (ended === null || log.usedAt < ended.usedAt)) ended = log
        if (largest === null || log.bytes > largest.bytes) largest = log
      }
      if (ended !== null) this.#drop(ended)
      else if (largest === null || largest.bytes === 0) return
      else {
        const before = largest.bytes
        largest.trim(1 / 8)
        this.bytes += largest.bytes - before
      }
    }
  }
}

/** Ended ones rank below all that are open. */
function rank(log: TopicLog): number {
  return log.endedAt === null ? log.usedAt : log.usedAt - Number.MAX_SAFE_INTEGER / 2
}

function lastSegment(topic: string): string {
  return topic.slice(topic.lastIndexOf('/') + 1)
}

/** What is kept may outlive the buffer that it was read into. */
function copied(value: EncodedValue): EncodedValue {
  if (value.segmentBytes === 0) return value
  return { ...value, segments: value.segments.map((segment) => Uint8Array.prototype.slice.call(segment)) }
}

function checkName(topic: string): void {
  if (!topicPattern.test(topic))
    throw new NodeError(
      'topic.bad-name',
      `A topic cannot be called ${JSON.stringify(topic.slice(0, 80))}; use 1 to 200 letters, digits and . _ ~ / -`,
    )
}
