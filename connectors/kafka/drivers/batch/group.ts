import { heartbeatV3, joinGroupV5, leaveGroupV3, offsetCommitV7, offsetFetchV7, syncGroupV3 } from '@platformatic/kafka'
import type { NodeError } from '../../../../core/flow/failure.ts'
import { failureOf } from '../../../../core/flow/failure.ts'
import type { ConsumerEvents, ConsumerOptions, GroupMembership, Partition, Position } from '../../driver.ts'
import { brokerError, timedOut } from '../../kafka-errors.ts'
import { insist } from '../insist.ts'
import { answerOf, nodeErrorOf, protocolName } from '../platformatic-errors.ts'
import type { Cluster } from './cluster.ts'
import { isOutdated } from './cluster.ts'
import { keyOf } from './fetched-partition.ts'
import { assigned, share, protocolName as sharing, subscription, topicsOf } from './subscription.ts'

/** What a group tells of our share in it. */
export interface GroupEvents extends Pick<ConsumerEvents, 'trouble' | 'failed'> {
  gained(partitions: readonly Partition[], generation: number): void
  /** Waited for, for half of the time that a rebalance may take. */
  left(partitions: readonly Partition[], reason: 'rebalance' | 'lost'): Promise<void>
}

/** After each round heartbeats begin this close together: members come in groups, and only a heartbeat tells that one more waits. */
const firstBeatMs = 100
/** How often the member that leads looks whether topics have grown. */
const growthMs = 30_000
const use = { name: 'group' }

/** Our membership in a consumer group: joins, lives, moves, leaves. */
export class Group {
  readonly #cluster: Cluster
  readonly #options: ConsumerOptions
  readonly #events: GroupEvents
  readonly #id: string
  readonly #instanceId: string | null
  readonly #topics: readonly string[]
  #memberId = ''
  #generation = -1
  #owned: readonly Partition[] = []
  /** Given up, while what has closed of them may still be committed. */
  #leaving: readonly Partition[] = []
  #isOver = false
  #isLost = false
  #isBeating = false
  #beat: NodeJS.Timeout | null = null
  /** What the leader shared out: how many partitions each topic had. */
  #shared: ReadonlyMap<string, number> | null = null
  #lookedAtMs = 0
  /** Settles when we must join again. */
  #moved = Promise.withResolvers<void>()
  readonly #joined = Promise.withResolvers<void>()
  /** Settles when the round under way has brought its generation. */
  #joining: Promise<void> | null = null

  constructor(cluster: Cluster, options: ConsumerOptions, events: GroupEvents) {
    const { group } = options
    if (group === null) throw new TypeError('no group is named')
    this.#cluster = cluster
    this.#options = options
    this.#events = events
    this.#id = group.id
    this.#instanceId = group.instanceId
    this.#topics = group.topics
    this.#joined.promise.catch(() => undefined)
  }

  /** Resolves with the first share. Rejects with what forbids joining, or when it takes too long. */
  async join(): Promise<void> {
    const { rebalanceMsMax, requestMsMax } = this.#options
    void this.#live()
    const limitMs = rebalanceMsMax + requestMsMax
    const timer = setTimeout(() => this.#joined.reject(timedOut(this.#doing('joining'), limitMs)), limitMs)
    try {
      await this.#joined.promise
    } finally {
      clearTimeout(timer)
    }
  }

  membership(): GroupMembership | null {
    if (this.#generation < 0 || this.#isOver) return null
    const [groupId, generation] = [this.#id, this.#generation]
    return { groupId, generation, memberId: this.#memberId, instanceId: this.#instanceId }
  }

  async commit(positions: readonly Position[]): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      const generation = this.#generation
      const refusal = await this.#tryCommit(positions)
      if (refusal === null) return
      // While we join anew the group takes no commits. What stays ours can be committed right after, as the same owner.
      if (tries === 3 || (this.#joining === null && generation === this.#generation)) throw refusal
      await this.#within(this.#options.requestMsMax, this.#joining ?? Promise.resolve())
    }
  }

  /** What was said against it, where that is the group's state. */
  async #tryCommit(positions: readonly Position[]): Promise<NodeError | null> {
    const doing = this.#doing('committing offsets')
    const ours = new Set([...this.#owned, ...this.#leaving].map(keyOf))
    if (this.#generation < 0 || positions.some((each) => !ours.has(keyOf(each)))) {
      throw brokerError('REBALANCE_IN_PROGRESS', doing)
    }
    const topics = [...Map.groupBy(positions, (each) => each.topic)].map(([name, each]) => ({
      name,
      partitions: each.map(({ partition, offset }) => ({
        partitionIndex: partition,
        committedOffset: BigInt(offset),
        committedLeaderEpoch: -1,
        committedMetadata: null,
      })),
    }))
    const generation = this.#generation
    const owner = [generation, this.#memberId, this.#instanceId] as const
    return this.#insist(doing, async (node) => {
      try {
        await this.#cluster.ask(node, use, offsetCommitV7.api, this.#id, ...owner, topics)
        return null
      } catch (thrown) {
        const error = nodeErrorOf(thrown, doing, this.#options)
        if (error.code !== 'kafka.rebalancing' && error.code !== 'kafka.fenced') throw thrown
        // The generation may have grown without our knowing yet: then it is the answer to our joining that tells.
        if (this.#joining === null && generation === this.#generation) this.#noteRefusal(protocolName(thrown))
        return error
      }
    })
  }

  /** What the group has committed of some partitions; those without an offset are left out. */
  async committed(partitions: readonly Partition[]): Promise<readonly Position[]> {
    const topics = [...Map.groupBy(partitions, (each) => each.topic)].map(([name, each]) => ({
      name,
      partitionIndexes: each.map(({ partition }) => partition),
    }))
    const groups = [{ groupId: this.#id, topics }]
    // Offsets of a transaction that is not over yet are waited for.
    const answer = await this.#insist(this.#doing('asking for offsets'), (node) =>
      this.#cluster.ask(node, use, offsetFetchV7.api, groups, true),
    )
    return answer.topics.flatMap(({ name, partitions: found }) =>
      found
        .filter((each) => each.committedOffset >= 0n)
        .map((each) => ({ topic: name, partition: each.partitionIndex, offset: Number(each.committedOffset) })),
    )
  }

  /** Gives up what is ours, then leaves; a static member only goes, so that it may come back to its share. */
  async leave(): Promise<void> {
    if (this.#isOver) return
    await this.#giveUp(this.#owned, 'rebalance')
    this.#isOver = true
    this.#stopBeating()
    this.#moved.resolve()
    this.#owned = []
    if (this.#memberId === '' || this.#instanceId !== null) return
    try {
      const node = await this.#cluster.coordinator('group', this.#id)
      await this.#cluster.ask(node, use, leaveGroupV3.api, this.#id, [{ memberId: this.#memberId }])
    } catch {
      // The session's end says the same a little later.
    }
  }

  async #live(): Promise<void> {
    let pauseMs = 50
    while (!this.#isOver) {
      try {
        // Before each round: it may have happened while something was given up.
        if (this.#isLost) await this.#lose()
        const isAgain = await this.#round()
        pauseMs = 50
        if (isAgain) continue
        this.#joined.resolve()
        await this.#moved.promise
      } catch (thrown) {
        if (this.#isOver) return
        const error = nodeErrorOf(thrown, this.#doing('joining'), this.#options)
        if (!error.retriable) return this.#fail(error)
        if (error.code === 'kafka.rebalancing') {
          this.#noteRefusal(protocolName(thrown))
          continue
        }
        if (isOutdated(error)) this.#cluster.forgetCoordinator('group', this.#id)
        this.#events.trouble(failureOf(error, null))
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
        pauseMs = Math.min(pauseMs * 2, 1_000)
      }
    }
  }

  /** Joins and takes our share. True when another round must follow at once, because something of ours was given up. */
  async #round(): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#joining = promise
    try {
      const share = await this.#joinAndSync()
      this.#joining = null
      resolve()
      this.#beatAfter(firstBeatMs)
      return share === null || (!this.#isOver && (await this.#take(share)))
    } finally {
      this.#joining = null
      resolve()
    }
  }

  /** Our share, or null where we must come again at once. */
  async #joinAndSync(): Promise<readonly Partition[] | null> {
    const { sessionMsMax, rebalanceMsMax, requestMsMax } = this.#options
    const node = await this.#cluster.coordinator('group', this.#id)
    const joining = { name: 'join', requestMsMax: rebalanceMsMax + requestMsMax }
    this.#moved = Promise.withResolvers<void>()
    const metadata = subscription(this.#topics, this.#owned, this.#generation)
    const answer = await this.#cluster
      .ask(
        node,
        joining,
        joinGroupV5.api,
        this.#id,
        sessionMsMax,
        rebalanceMsMax,
        this.#memberId,
        this.#instanceId,
        'consumer',
        [{ name: sharing, metadata }],
      )
      .catch((thrown: unknown) => {
        // A new member is first told its name, and asked to come again with it.
        const name = protocolName(thrown) === 'MEMBER_ID_REQUIRED' ? memberIdOf(thrown) : null
        if (name === null) throw thrown
        this.#memberId = name
        return null
      })
    if (answer === null) return null
    const { generationId, memberId, leader, members } = answer
    this.#memberId = memberId
    const shares = leader === memberId ? await this.#share(members) : []
    const owner = [generationId, memberId, this.#instanceId] as const
    const synced = await this.#cluster.ask(node, joining, syncGroupV3.api, this.#id, ...owner, null, null, [...shares])
    this.#generation = generationId
    return assigned(synced.assignment)
  }

  async #share(
    members: Parameters<typeof share>[0],
  ): Promise<{ readonly memberId: string; readonly assignment: Buffer }[]> {
    const topics = topicsOf(members)
    await this.#cluster.refresh(topics)
    const counts = new Map(topics.map((topic) => [topic, this.#cluster.topic(topic)?.leaders.length ?? 0]))
    this.#shared = counts
    this.#lookedAtMs = performance.now()
    return [...share(members, (topic) => counts.get(topic) ?? 0)]
  }

  async #take(now: readonly Partition[]): Promise<boolean> {
    const before = new Set(this.#owned.map(keyOf))
    const after = new Set(now.map(keyOf))
    const gone = this.#owned.filter((each) => !after.has(keyOf(each)))
    const fresh = now.filter((each) => !before.has(keyOf(each)))
    this.#owned = now
    if (fresh.length > 0) this.#events.gained(fresh, this.#generation)
    if (gone.length === 0) return false
    await this.#giveUp(gone, 'rebalance')
    return true
  }

  async #lose(): Promise<void> {
    const lost = this.#owned
    this.#isLost = false
    this.#owned = []
    this.#generation = -1
    await this.#giveUp(lost, 'lost')
  }

  async #giveUp(partitions: readonly Partition[], reason: 'rebalance' | 'lost'): Promise<void> {
    if (partitions.length === 0) return
    if (reason === 'rebalance') this.#leaving = partitions
    const left = this.#events.left(partitions, reason).catch(() => undefined)
    await this.#within(this.#options.rebalanceMsMax / 2, left)
    this.#leaving = []
  }

  async #within(limitMs: number, work: Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs)
    })
    await Promise.race([work, limit])
    clearTimeout(timer)
  }

  /** Heartbeats from now on, further and further apart up to what was asked for. */
  #beatAfter(ms: number): void {
    this.#stopBeating()
    if (this.#isOver) return
    const pauseMs = Math.min(ms, this.#options.heartbeatMs)
    this.#beat = setTimeout(() => {
      this.#beatAfter(pauseMs * 2)
      void this.#heartbeat()
    }, pauseMs)
  }

  #stopBeating(): void {
    if (this.#beat !== null) clearTimeout(this.#beat)
    this.#beat = null
  }

  async #heartbeat(): Promise<void> {
    // While we join, the coordinator knows that we live, and may count a generation that we have not heard of.
    if (this.#generation < 0 || this.#isBeating || this.#isOver || this.#joining !== null) return
    this.#isBeating = true
    const generation = this.#generation
    try {
      const node = await this.#cluster.coordinator('group', this.#id)
      await this.#cluster.ask(node, use, heartbeatV3.api, this.#id, generation, this.#memberId, this.#instanceId)
      await this.#lookForGrowth()
    } catch (thrown) {
      const name = protocolName(thrown)
      if (name === 'REBALANCE_IN_PROGRESS') this.#moved.resolve()
      else if (generation === this.#generation && this.#joining === null) this.#noteRefusal(name)
      if (name === null || isOutdated(nodeErrorOf(thrown, '', this.#options))) {
        this.#cluster.forgetCoordinator('group', this.#id)
      }
    } finally {
      this.#isBeating = false
    }
  }

  /** The member that leads joins again when a topic has more partitions than it shared out. */
  async #lookForGrowth(): Promise<void> {
    if (this.#shared === null || performance.now() - this.#lookedAtMs < growthMs) return
    this.#lookedAtMs = performance.now()
    await this.#cluster.refresh([...this.#shared.keys()])
    for (const [topic, count] of this.#shared) {
      if ((this.#cluster.topic(topic)?.leaders.length ?? 0) !== count) this.#moved.resolve()
    }
  }

  /** Some answers mean that the group does not know us any more. */
  #noteRefusal(name: string | null): void {
    if (name === 'UNKNOWN_MEMBER_ID') this.#memberId = ''
    if (name !== 'UNKNOWN_MEMBER_ID' && name !== 'ILLEGAL_GENERATION' && name !== 'FENCED_INSTANCE_ID') return
    if (name === 'FENCED_INSTANCE_ID') {
      return this.#fail(brokerError(name, this.#doing(`being ${this.#instanceId}`)))
    }
    this.#isLost = true
    this.#moved.resolve()
  }

  #fail(error: NodeError): void {
    const isOpen = this.#generation >= 0 || this.#owned.length > 0
    this.#isOver = true
    this.#stopBeating()
    this.#moved.resolve()
    this.#joined.reject(error)
    if (isOpen) this.#events.failed(failureOf(error, null))
  }

  /** Asks the coordinator, and again while it is busy or has moved. */
  #insist<T>(doing: string, request: (node: number) => Promise<T>): Promise<T> {
    return insist(this.#options.requestMsMax, async () => {
      try {
        return await request(await this.#cluster.coordinator('group', this.#id))
      } catch (thrown) {
        const error = nodeErrorOf(thrown, doing, this.#options)
        if (isOutdated(error)) this.#cluster.forgetCoordinator('group', this.#id)
        throw error
      }
    })
  }

  #doing(what: string): string {
    return `${what} of group ${this.#id}`
  }
}

function memberIdOf(thrown: unknown): string | null {
  const answer = answerOf(thrown)
  const isNamed = typeof answer === 'object' && answer !== null && 'memberId' in answer
  return isNamed && typeof answer.memberId === 'string' ? answer.memberId : null
}
