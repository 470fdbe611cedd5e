import { protocolErrorsCodesById } from '@platformatic/kafka'
import { failureOf, NodeError } from '../../../../core/flow/failure.ts'
import type { ConsumerEvents, ConsumerOptions, RecordBlock } from '../../driver.ts'
import { brokerError } from '../../kafka-errors.ts'
import { nodeErrorOf } from '../platformatic-errors.ts'
import { offsetAfter } from './batch-block.ts'
import type { Cluster } from './cluster.ts'
import type { Asked, FetchLoopOwner } from './fetch-loop.ts'
import { FetchLoop } from './fetch-loop.ts'
import type { FetchedPartition as Answered } from './fetch-request.ts'
import type { Fetched, FetchedPartition } from './fetched-partition.ts'
import { offsetsAt } from './offsets.ts'
import type { RecordCodec } from './record-codec.ts'

/**
 * Keeps bytes of all partitions that are wanted at hand, up to a limit: a loop for each broker fetches while there is room, and `take`
 * turns what waits longest into a block. Bytes are unpacked when they are taken, so what waits is as small as it came.
 */
export class Fetcher implements FetchLoopOwner {
  readonly #cluster: Cluster
  readonly #options: ConsumerOptions
  readonly #events: ConsumerEvents
  readonly #codec: RecordCodec
  readonly #partitions: () => Iterable<FetchedPartition>
  readonly #loops = new Map<number, FetchLoop>()
  #waiting: Fetched[] = []
  #waitingBytes = 0
  #isOver = false
  #isRefreshing = false
  /** The last thing told to be wrong, so that a fault that lasts is told once. */
  #told = ''

  constructor(
    cluster: Cluster,
    options: ConsumerOptions,
    events: ConsumerEvents,
    codec: RecordCodec,
    partitions: () => Iterable<FetchedPartition>,
  ) {
    this.#cluster = cluster
    this.#options = options
    this.#events = events
    this.#codec = codec
    this.#partitions = partitions
  }

  take(): RecordBlock | null {
    for (;;) {
      const index = this.#waiting.findIndex((each) => !each.owner.isPaused)
      const [fetched] = index < 0 ? [] : this.#waiting.splice(index, 1)
      if (fetched === undefined) return null
      const { owner } = fetched
      this.#count(owner, -fetched.bytes.length)
      if (fetched.seeks !== owner.seeks || owner.isGone) continue
      const block = this.#unpack(fetched)
      if (this.#hasRoom) this.wake()
      if (block !== null) return block
    }
  }

  /** Fetches of a partition begin at an offset from now on. */
  place(partition: FetchedPartition, offset: number): void {
    partition.place(offset)
    this.drop(partition)
  }

  /**
   * What waits of it stays at hand, unless that is most of what may wait: then it would keep others from being fetched, and is fetched
   * again when it is wanted.
   */
  pause(partition: FetchedPartition): void {
    partition.isPaused = true
    let paused = 0
    for (const each of this.#partitions()) if (each.isPaused) paused += each.waitingBytes
    if (paused * 2 > this.#options.prefetchBytesMax) {
      this.drop(partition)
      partition.position = partition.next
      partition.seeks += 1
    }
    this.wake()
  }

  resume(partition: FetchedPartition): void {
    if (partition.isPaused && partition.waitingBytes > 0) queueMicrotask(() => this.#events.ready())
    partition.isPaused = false
    this.wake()
  }

  /** Forgets what waits of a partition, which makes room for others. */
  drop(partition: FetchedPartition): void {
    this.#waiting = this.#waiting.filter((each) => {
      if (each.owner === partition) this.#count(partition, -each.bytes.length)
      return each.owner !== partition
    })
    this.wake()
  }

  /** Lets loops look again, and starts those of brokers that lead something now. */
  wake(): void {
    if (this.#isOver) return
    for (const each of this.#partitions()) {
      const leader = this.#leaderOf(each)
      if (leader >= 0 && !this.#loops.has(leader)) {
        this.#loops.set(leader, new FetchLoop(this.#cluster, this.#options, this, leader))
      }
    }
    for (const loop of this.#loops.values()) loop.wake()
  }

  end(): void {
    this.#isOver = true
    for (const loop of this.#loops.values()) loop.end()
    this.#waiting = []
  }

  wanted(broker: number): { readonly partitions: readonly FetchedPartition[]; readonly bytesMax: number } {
    const { prefetchBytesMax } = this.#options
    if (!this.#hasRoom) return { partitions: [], bytesMax: 0 }
    const nowMs = performance.now()
    const partitions: FetchedPartition[] = []
    for (const each of this.#partitions()) {
      if (!each.isPlaced || each.isPaused || each.isGone || each.notBeforeMs > nowMs) continue
      if (this.#cluster.leader(each.topic, each.partition) === broker) partitions.push(each)
    }
    const share = (prefetchBytesMax - this.#waitingBytes) / Math.max(1, this.#loops.size)
    return { partitions, bytesMax: Math.max(1, Math.floor(share)) }
  }

  arrived(asked: ReadonlyMap<FetchedPartition, Asked>, answers: readonly Answered[]): void {
    const byPlace = new Map([...asked.keys()].map((each) => [`${each.topic}/${each.partition}`, each]))
    const nowMs = Date.now()
    let hasMore = false
    let isOutdated = false
    for (const answer of answers) {
      const owner = byPlace.get(`${answer.topic}/${answer.partition}`)
      const request = owner === undefined ? undefined : asked.get(owner)
      if (owner === undefined || request === undefined) continue
      if (owner.isGone || owner.seeks !== request.seeks) continue
      if (answer.errorCode !== 0) {
        isOutdated = this.#refused(owner, answer) || isOutdated
        continue
      }
      owner.fetchedAtMs = nowMs
      const isCommitted = this.#options.isolation === 'read-committed'
      owner.end = isCommitted && answer.lastStableOffset >= 0 ? answer.lastStableOffset : answer.highWatermark
      if (answer.bytes.length > 0) hasMore = this.#keep(owner, answer, request.from) || hasMore
    }
    if (isOutdated) this.#refresh()
    else this.#told = ''
    if (hasMore) this.#events.ready()
  }

  broken(broker: number, thrown: unknown): void {
    this.#trouble(nodeErrorOf(thrown, `fetching from broker ${broker}`, this.#cluster.options))
    this.#refresh()
  }

  get #hasRoom(): boolean {
    return this.#waitingBytes < this.#options.prefetchBytesMax
  }

  get #isLeaderless(): boolean {
    for (const each of this.#partitions()) if (this.#leaderOf(each) < 0) return true
    return false
  }

  #leaderOf(partition: FetchedPartition): number {
    return this.#cluster.leader(partition.topic, partition.partition)
  }

  #keep(owner: FetchedPartition, answer: Answered, from: number): boolean {
    try {
      const next = offsetAfter(answer.bytes, from)
      if (next === from) return false
      owner.position = next
      const { bytes, aborted } = answer
      this.#waiting.push({ owner, seeks: owner.seeks, bytes, from, next, aborted })
      this.#count(owner, bytes.length)
      return true
    } catch (thrown) {
      this.#unreadable(owner, from, thrown)
      return false
    }
  }

  #unpack(fetched: Fetched): RecordBlock | null {
    const { owner, from, next } = fetched
    try {
      const block = this.#codec.read(fetched, owner, owner.generation)
      owner.next = next
      return block
    } catch (thrown) {
      this.#unreadable(owner, from, thrown)
      return null
    }
  }

  /** Bytes may have changed on their way, so they are fetched once more; if they are the same, they lie so on the broker. */
  #unreadable(owner: FetchedPartition, from: number, thrown: unknown): void {
    const where = `topic ${owner.topic}, partition ${owner.partition}, at offset ${from}`
    const { code, message } = nodeErrorOf(thrown, where, this.#cluster.options)
    const isSecond = owner.corruptAt === from
    const error = new NodeError(code, `${where}: ${message}`, { retriable: !isSecond, cause: thrown })
    owner.corruptAt = from
    this.drop(owner)
    owner.position = from
    owner.next = from
    owner.seeks += 1
    if (isSecond) owner.isPlaced = false
    // `take` may be what called.
    queueMicrotask(() => {
      if (this.#isOver) return
      if (isSecond) this.#events.failed(failureOf(error, null))
      else this.#events.trouble(failureOf(error, null))
      this.wake()
    })
  }

  /** A partition's own error. True when leaders are not those that we know. */
  #refused(owner: FetchedPartition, answer: Answered): boolean {
    const name = protocolErrorsCodesById[answer.errorCode] ?? 'UNKNOWN_SERVER_ERROR'
    const doing = `fetching topic ${owner.topic}, partition ${owner.partition}`
    if (name === 'OFFSET_OUT_OF_RANGE') {
      this.#outOfRange(owner)
      return false
    }
    const error = brokerError(name, doing)
    owner.notBeforeMs = performance.now() + 100
    setTimeout(() => this.wake(), 110).unref()
    if (!error.retriable && name !== 'UNKNOWN_TOPIC_OR_PARTITION') {
      owner.isPlaced = false
      this.#events.failed(failureOf(error, null))
      return false
    }
    this.#trouble(error)
    return true
  }

  /** What was to be read next is gone, or the topic is another one by now: what there is begins at the earliest. */
  #outOfRange(owner: FetchedPartition): void {
    const { position, seeks } = owner
    owner.notBeforeMs = Number.POSITIVE_INFINITY
    offsetsAt(this.#cluster, [owner], { kind: 'earliest' }).then(
      ([found]) => {
        owner.notBeforeMs = 0
        if (owner.isGone || owner.seeks !== seeks || found === undefined) return
        const text = `topic ${owner.topic}, partition ${owner.partition}: there is no offset ${position}, because records were deleted or the topic is new; reading goes on at ${found.offset}`
        this.#events.trouble({ code: 'kafka.offset-out-of-range', message: text, node: null, retriable: true })
        this.place(owner, found.offset)
      },
      (thrown: unknown) => {
        owner.notBeforeMs = 0
        this.#trouble(nodeErrorOf(thrown, 'asking for offsets', this.#cluster.options))
        this.wake()
      },
    )
  }

  #trouble(error: NodeError): void {
    if (this.#isOver || this.#told === error.message) return
    this.#told = error.message
    this.#events.trouble(failureOf(error, null))
  }

  #refresh(): void {
    if (this.#isRefreshing || this.#isOver) return
    this.#isRefreshing = true
    this.#cluster
      .refresh()
      .catch(() => undefined)
      .finally(() => {
        this.#isRefreshing = false
        this.wake()
        // While a partition has no leader, no loop asks for it.
        if (this.#isLeaderless) setTimeout(() => this.#refresh(), 250).unref()
      })
  }

  #count(owner: FetchedPartition, bytes: number): void {
    owner.waitingBytes += bytes
    this.#waitingBytes += bytes
  }
}
