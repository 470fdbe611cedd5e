import { randomUUID } from 'node:crypto'
import type * as kafkajs from 'kafkajs'
import { failureOf } from '../../../../core/flow/failure.ts'
import type {
  Consumer,
  ConsumerEvents,
  ConsumerOptions,
  GroupMembership,
  Partition,
  Position,
  RecordBlock,
  StartAt,
} from '../../driver.ts'
import { brokerError, closed, timedOut } from '../../kafka-errors.ts'
import { insist } from '../insist.ts'
import type { KafkajsAdmin } from './admin.ts'
import { openAdmin } from './admin.ts'
import { assigning } from './assigning.ts'
import { blockOf } from './block-of.ts'
import { kafkaClient, nodeError, protocolName } from './client.ts'

/** Opens kafkajs's consumer, with an admin client beside it that finds where to begin. */
export async function openConsumer(options: ConsumerOptions, events: ConsumerEvents): Promise<Consumer> {
  const admin = await openAdmin(options)
  try {
    const topics = options.group?.topics ?? [...new Set(options.assigned.map((each) => each.topic))]
    for (const topic of topics) {
      if ((await admin.partitions(topic)) === null) {
        throw brokerError('UNKNOWN_TOPIC_OR_PARTITION', `reading topic ${topic}`)
      }
    }
    const consumer = new KafkajsConsumer(options, events, admin)
    await consumer.open(topics)
    return consumer
  } catch (thrown) {
    await admin.close().catch(() => undefined)
    throw thrown
  }
}

/** A partition that is ours. */
interface Owned extends Partition {
  readonly generation: number
  paused: boolean
  /** Known is where it begins, and kafkajs has been told. */
  positioned: boolean
  next: number
  end: number
  fetchedAtMs: number
}

/** A block that kafkajs has brought. It brings no other of its broker until this one's `done` is called. */
interface Waiting {
  readonly block: RecordBlock
  readonly owned: Owned
  readonly done: (how: 'taken' | 'dropped') => void
}

/** After these kafkajs joins the group anew. */
const rejoining: ReadonlySet<string> = new Set([
  'REBALANCE_IN_PROGRESS',
  'NOT_COORDINATOR_FOR_GROUP',
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
])

const keyOf = (each: Partition): string => `${each.topic}/${each.partition}`

class KafkajsConsumer implements Consumer {
  readonly #options: ConsumerOptions
  readonly #events: ConsumerEvents
  readonly #admin: KafkajsAdmin
  readonly #consumer: kafkajs.Consumer
  readonly #owned = new Map<string, Owned>()
  /** Revoked, while the events' handler may still commit what has closed of them. */
  readonly #leaving = new Map<string, Owned>()
  #revoking: Promise<void> = Promise.resolve()
  #waiting: Waiting[] = []
  #generation = 0
  #member: string | null = null
  #closing: Promise<void> | null = null
  #isOpen = false
  #lastCrash: Error | null = null
  /** Settles when the partitions of the first generation have their positions. */
  readonly #opened = Promise.withResolvers<void>()

  constructor(options: ConsumerOptions, events: ConsumerEvents, admin: KafkajsAdmin) {
    this.#options = options
    this.#events = events
    this.#admin = admin
    const { group, assigned } = options
    this.#consumer = kafkaClient(options, 8).consumer({
      // kafkajs knows no partitions without a group, so it gets one of its own whose only member is given them.
      groupId: group?.id ?? `${options.clientId}-assigned-${randomUUID()}`,
      partitionAssigners: group === null ? [assigning(assigned)] : undefined,
      allowAutoTopicCreation: false,
      readUncommitted: options.isolation === 'read-uncommitted',
      sessionTimeout: options.sessionMsMax,
      heartbeatInterval: options.heartbeatMs,
      rebalanceTimeout: options.rebalanceMsMax,
      maxBytesPerPartition: options.partitionFetchBytesMax,
      maxBytes: options.prefetchBytesMax,
      maxWaitTimeInMs: options.fetchWaitMsMax,
      retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries: 8, restartOnFailure: async () => !this.#isClosed },
    })
    this.#opened.promise.catch(() => undefined)
  }

  async open(topics: readonly string[]): Promise<void> {
    const { events } = this.#consumer
    this.#consumer.on(events.GROUP_JOIN, ({ payload }) => this.#joined(payload))
    this.#consumer.on(events.REBALANCING, () => void this.#revokeAll('rebalance'))
    this.#consumer.on(events.CRASH, ({ payload }) => this.#crashed(payload.error, payload.restart))
    try {
      await this.#consumer.connect()
      await this.#consumer.subscribe({ topics: [...topics], fromBeginning: this.#options.from.kind !== 'latest' })
      await this.#consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        // All partitions of a fetch are handed over at once; what is not taken is what slows kafkajs.
        partitionsConsumedConcurrently: 10_000,
        eachBatch: (payload) => this.#arrived(payload),
      })
      // kafkajs starts anew by itself while a coordinator is busy; for how long is ours to say.
      await within(this.#options.requestMsMax, this.#opened.promise)
      if (!this.#isOpen) throw this.#lastCrash ?? timedOut('joining', this.#options.requestMsMax)
    } catch (thrown) {
      await this.#consumer.disconnect().catch(() => undefined)
      throw nodeError(thrown, this.#doing('joining'), this.#options)
    }
  }

  take(): RecordBlock | null {
    const index = this.#waiting.findIndex(({ owned }) => !owned.paused)
    const [waiting] = index < 0 ? [] : this.#waiting.splice(index, 1)
    if (waiting === undefined) return null
    waiting.owned.next = waiting.block.lastOffset + 1
    waiting.done('taken')
    return waiting.block
  }

  pause(partitions: readonly Partition[]): void {
    for (const owned of this.#ownedOf(partitions)) {
      owned.paused = true
      // A block that stays would keep kafkajs from fetching the others of its broker; it comes again on resume.
      this.#drop(owned)
      this.#consumer.pause([{ topic: owned.topic, partitions: [owned.partition] }])
    }
  }

  resume(partitions: readonly Partition[]): void {
    for (const owned of this.#ownedOf(partitions)) {
      owned.paused = false
      if (owned.positioned) this.#consumer.resume([{ topic: owned.topic, partitions: [owned.partition] }])
    }
  }

  async seek(partitions: readonly Partition[], to: StartAt): Promise<readonly Position[]> {
    const positions = await this.#positionsAt(partitions, to)
    return positions.filter((position) => {
      const owned = this.#owned.get(keyOf(position))
      if (owned === undefined) return false
      this.#drop(owned)
      owned.next = position.offset
      this.#consumer.seek({ ...position, offset: String(position.offset) })
      return true
    })
  }

  async commit(positions: readonly Position[]): Promise<void> {
    if (this.#options.group === null || positions.length === 0) return
    if (this.#isClosed && this.#member === null) throw closed('consumer')
    const doing = this.#doing('committing offsets')
    if (this.#member === null || positions.some((each) => !this.#isOurs(each))) {
      throw brokerError('REBALANCE_IN_PROGRESS', doing)
    }
    try {
      await this.#consumer.commitOffsets(positions.map((each) => ({ ...each, offset: String(each.offset) })))
    } catch (thrown) {
      throw nodeError(thrown, doing, this.#options)
    }
  }

  async committed(partitions: readonly Partition[]): Promise<readonly Position[]> {
    const { group, requestMsMax } = this.#options
    const topics = [...new Set(partitions.map((each) => each.topic))]
    if (group === null || topics.length === 0) return []
    const wanted = new Set(partitions.map(keyOf))
    const found = await insist(requestMsMax, () => this.#admin.groupOffsets(group.id, topics))
    return found.filter((each) => wanted.has(keyOf(each)))
  }

  state(): ReturnType<Consumer['state']> {
    return [...this.#owned.values()].map(({ topic, partition, next, end, fetchedAtMs }) => ({
      topic,
      partition,
      offset: next,
      end,
      fetchedAtMs,
    }))
  }

  membership(): GroupMembership | null {
    const { group } = this.#options
    if (group === null || this.#member === null) return null
    return { groupId: group.id, generation: this.#generation, memberId: this.#member, instanceId: group.instanceId }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  get #isClosed(): boolean {
    return this.#closing !== null
  }

  async #close(): Promise<void> {
    const { rebalanceMsMax, requestMsMax } = this.#options
    await within(Math.min(rebalanceMsMax / 2, requestMsMax), this.#revokeAll('rebalance'))
    await within(requestMsMax, Promise.allSettled([this.#consumer.disconnect(), this.#admin.close()]))
  }

  /** kafkajs holds a batch's whole fetch until this resolves, and forgets to tell the group that we live meanwhile. */
  async #arrived({ batch, heartbeat, resolveOffset }: kafkajs.EachBatchPayload): Promise<void> {
    const owned = this.#owned.get(keyOf(batch))
    if (owned === undefined || !owned.positioned || owned.paused || this.#isClosed) return
    const { rebalanceMsMax, heartbeatMs } = this.#options
    const block = blockOf(batch, owned.generation)
    owned.end = Number(batch.highWatermark)
    owned.fetchedAtMs = Date.now()
    const { promise, resolve, reject } = Promise.withResolvers<'taken' | 'dropped'>()
    this.#waiting.push({ block, owned, done: resolve })
    const beat = setInterval(() => void heartbeat().catch(reject), heartbeatMs)
    try {
      this.#events.ready()
      if ((await promise) === 'taken') resolveOffset(batch.messages.at(-1)?.offset ?? batch.lastOffset())
      await heartbeat()
    } catch (thrown) {
      this.#drop(owned)
      const name = protocolName(thrown) ?? ''
      // Until we throw, kafkajs does not join anew: the time to commit what has closed. After other errors it goes on as it is.
      if (rejoining.has(name)) {
        const reason = name === 'REBALANCE_IN_PROGRESS' ? 'rebalance' : 'lost'
        await within(rebalanceMsMax / 2, this.#revokeAll(reason))
      }
      throw thrown
    } finally {
      clearInterval(beat)
    }
  }

  /** Called by kafkajs before it fetches anything of the new generation. */
  #joined({ memberId, memberAssignment }: kafkajs.ConsumerGroupJoinEvent['payload']): void {
    void this.#revokeAll('rebalance')
    this.#leaving.clear()
    this.#generation += 1
    this.#member = memberId
    const generation = this.#generation
    for (const [topic, partitions] of Object.entries(memberAssignment)) {
      // Nothing is fetched before it is known from where.
      this.#consumer.pause([{ topic, partitions: [...partitions] }])
      for (const partition of partitions) {
        const owned = {
          topic,
          partition,
          generation,
          paused: false,
          positioned: false,
          next: -1,
          end: -1,
          fetchedAtMs: 0,
        }
        this.#owned.set(keyOf(owned), owned)
      }
    }
    this.#position([...this.#owned.values()]).catch((thrown: unknown) => this.#fail(thrown))
  }

  async #position(partitions: readonly Owned[]): Promise<void> {
    const { from } = this.#options
    const committed = await this.committed(partitions)
    const known = new Set(committed.map(keyOf))
    const fresh = partitions.filter((each) => !known.has(keyOf(each)))
    const positions = new Map(
      [...committed, ...(await this.#positionsAt(fresh, from))].map((each) => [keyOf(each), each.offset]),
    )
    const ours = partitions.filter((each) => this.#owned.get(keyOf(each)) === each)
    for (const owned of ours) {
      owned.next = positions.get(keyOf(owned)) ?? 0
      owned.positioned = true
      this.#consumer.seek({ ...plain(owned), offset: String(owned.next) })
      if (!owned.paused) this.#consumer.resume([{ topic: owned.topic, partitions: [owned.partition] }])
    }
    if (ours.length > 0) this.#events.assigned(ours.map(plain), this.#generation)
    this.#isOpen = true
    this.#opened.resolve()
  }

  async #positionsAt(partitions: readonly Partition[], at: StartAt): Promise<readonly Position[]> {
    if (at.kind === 'offset') return partitions.map((each) => ({ ...plain(each), offset: at.offset }))
    const wanted = new Set(partitions.map(keyOf))
    const topics = [...new Set(partitions.map((each) => each.topic))]
    const found = await Promise.all(
      topics.map((topic) => insist(this.#options.requestMsMax, () => this.#admin.offsets(topic, at))),
    )
    return found.flat().filter((each) => wanted.has(keyOf(each)))
  }

  /** Whatever was ours is no longer; resolves when the events' handler has done what it still could. */
  #revokeAll(reason: 'rebalance' | 'lost'): Promise<void> {
    const revoked = [...this.#owned.values()]
    if (revoked.length === 0) return this.#revoking
    for (const waiting of this.#waiting.splice(0)) waiting.done('dropped')
    for (const each of revoked) this.#leaving.set(keyOf(each), each)
    this.#owned.clear()
    this.#revoking = this.#events
      .revoked(revoked.map(plain), reason)
      .catch(() => undefined)
      .then(() => this.#leaving.clear())
    return this.#revoking
  }

  #crashed(error: Error, restart: boolean): void {
    void this.#revokeAll('lost')
    this.#member = null
    this.#lastCrash = error
    if (this.#isClosed) return
    if (!restart) this.#fail(error)
    else this.#events.trouble(failureOf(nodeError(error, this.#doing('reading'), this.#options), null))
  }

  #fail(thrown: unknown): void {
    this.#opened.reject(thrown)
    if (this.#isOpen && !this.#isClosed)
      this.#events.failed(failureOf(nodeError(thrown, this.#doing('reading'), this.#options), null))
  }

  #drop(owned: Owned): void {
    this.#waiting = this.#waiting.filter((waiting) => {
      if (waiting.owned === owned) waiting.done('dropped')
      return waiting.owned !== owned
    })
  }

  #ownedOf(partitions: readonly Partition[]): readonly Owned[] {
    return partitions.flatMap((each) => this.#owned.get(keyOf(each)) ?? [])
  }

  #isOurs(position: Position): boolean {
    return this.#owned.has(keyOf(position)) || this.#leaving.has(keyOf(position))
  }

  #doing(what: string): string {
    const { group } = this.#options
    return group === null ? what : `${what} of group ${group.id}`
  }
}

function plain({ topic, partition }: Partition): Partition {
  return { topic, partition }
}

/** What a promise gives, or undefined when it has not after so long. */
function within<T>(limitMs: number, work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), limitMs)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
