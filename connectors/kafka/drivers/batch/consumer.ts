import type { NodeError } from '../../../../core/flow/failure.ts'
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
import { insist } from '../insist.ts'
import { nodeErrorOf } from '../platformatic-errors.ts'
import { Cluster } from './cluster.ts'
import { FetchedPartition, keyOf } from './fetched-partition.ts'
import { Fetcher } from './fetcher.ts'
import { Group } from './group.ts'
import { offsetsAt } from './offsets.ts'
import type { RecordCodec } from './record-codec.ts'

/** Opens a consumer. Rejects with `kafka.unreachable`, `kafka.unknown-topic`, `kafka.not-authenticated` and the like. */
export async function openConsumer(
  options: ConsumerOptions,
  events: ConsumerEvents,
  codec: RecordCodec,
): Promise<Consumer> {
  const cluster = new Cluster(options)
  const consumer = new BatchConsumer(cluster, options, events, codec)
  try {
    await cluster.connect()
    const topics = options.group?.topics ?? [...new Set(options.assigned.map((each) => each.topic))]
    for (const topic of topics) await insist(options.requestMsMax, () => cluster.know(topic, 0))
    await consumer.open()
    return consumer
  } catch (thrown) {
    await consumer.close()
    throw nodeErrorOf(thrown, 'opening a consumer', options)
  }
}

class BatchConsumer implements Consumer {
  readonly #cluster: Cluster
  readonly #options: ConsumerOptions
  readonly #events: ConsumerEvents
  readonly #fetcher: Fetcher
  readonly #group: Group | null
  readonly #partitions = new Map<string, FetchedPartition>()
  #closing: Promise<void> | null = null
  #isOpen = false
  /** Settles when what was first shared out has its places. */
  #placing: Promise<void> = Promise.resolve()

  constructor(cluster: Cluster, options: ConsumerOptions, events: ConsumerEvents, codec: RecordCodec) {
    this.#cluster = cluster
    this.#options = options
    this.#events = events
    this.#fetcher = new Fetcher(cluster, options, events, codec, () => this.#partitions.values())
    this.#group =
      options.group === null
        ? null
        : new Group(cluster, options, {
            gained: (partitions, generation) => {
              if (this.#closing !== null) return
              this.#placing = this.#place(partitions, generation)
              this.#placing.catch(() => undefined)
            },
            left: (partitions, reason) => this.#give(partitions, reason),
            trouble: (failure) => events.trouble(failure),
            failed: (failure) => events.failed(failure),
          })
  }

  async open(): Promise<void> {
    if (this.#group === null) this.#placing = this.#place(this.#options.assigned, 1)
    else await this.#group.join()
    await this.#placing
    this.#isOpen = true
  }

  take(): RecordBlock | null {
    return this.#closing === null ? this.#fetcher.take() : null
  }

  pause(partitions: readonly Partition[]): void {
    for (const each of this.#ours(partitions)) this.#fetcher.pause(each)
  }

  resume(partitions: readonly Partition[]): void {
    for (const each of this.#ours(partitions)) this.#fetcher.resume(each)
  }

  async seek(partitions: readonly Partition[], to: StartAt): Promise<readonly Position[]> {
    const ours = this.#ours(partitions)
    const positions = await offsetsAt(this.#cluster, ours, to)
    return positions.filter((position) => {
      const partition = this.#partitions.get(keyOf(position))
      if (partition === undefined) return false
      this.#fetcher.place(partition, position.offset)
      return true
    })
  }

  async commit(positions: readonly Position[]): Promise<void> {
    if (this.#group === null || positions.length === 0) return
    await this.#group.commit(positions)
  }

  async committed(partitions: readonly Partition[]): Promise<readonly Position[]> {
    const ours = this.#ours(partitions)
    return ours.length === 0 || this.#group === null ? [] : this.#group.committed(ours)
  }

  state(): ReturnType<Consumer['state']> {
    return [...this.#partitions.values()]
      .filter((each) => each.isPlaced)
      .map(({ topic, partition, next, end, fetchedAtMs }) => ({ topic, partition, offset: next, end, fetchedAtMs }))
  }

  membership(): GroupMembership | null {
    return this.#group?.membership() ?? null
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#fetcher.end()
    const { requestMsMax } = this.#options
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, requestMsMax)
    })
    const leaving = this.#group === null ? this.#give([...this.#partitions.values()], 'rebalance') : this.#group.leave()
    await Promise.race([leaving, limit])
    clearTimeout(timer)
    await this.#cluster.close()
  }

  /** Finds where partitions that are ours from now on begin, then says that they are. Again and again, until it is known. */
  async #place(partitions: readonly Partition[], generation: number): Promise<void> {
    const fresh = partitions.map((each) => new FetchedPartition(each, generation))
    for (const each of fresh) this.#partitions.set(keyOf(each), each)
    for (;;) {
      const wanted = fresh.filter((each) => !each.isGone)
      if (wanted.length === 0) return
      try {
        const offsets = new Map((await this.#beginnings(wanted)).map((each) => [keyOf(each), each.offset]))
        const ours = wanted.filter((each) => !each.isGone)
        for (const each of ours) this.#fetcher.place(each, offsets.get(keyOf(each)) ?? 0)
        if (ours.length > 0) this.#events.assigned(ours.map(plain), generation)
        return
      } catch (thrown) {
        if (this.#closing !== null) return
        const error = nodeErrorOf(thrown, 'looking for where to begin', this.#options)
        if (!this.#isOpen) throw error
        if (!error.retriable) return this.#failed(error)
        this.#events.trouble(failureOf(error, null))
      }
    }
  }

  async #beginnings(partitions: readonly Partition[]): Promise<readonly Position[]> {
    const committed = (await this.#group?.committed(partitions)) ?? []
    const known = new Set(committed.map(keyOf))
    const unknown = partitions.filter((each) => !known.has(keyOf(each)))
    return [...committed, ...(await offsetsAt(this.#cluster, unknown, this.#options.from))]
  }

  async #give(partitions: readonly Partition[], reason: 'rebalance' | 'lost'): Promise<void> {
    const told: Partition[] = []
    for (const each of partitions) {
      const partition = this.#partitions.get(keyOf(each))
      if (partition === undefined) continue
      this.#partitions.delete(keyOf(each))
      this.#fetcher.drop(partition)
      if (partition.isPlaced) told.push(plain(each))
      partition.isGone = true
    }
    if (told.length > 0) await this.#events.revoked(told, reason)
  }

  #ours(partitions: readonly Partition[]): readonly FetchedPartition[] {
    return partitions.flatMap((each) => this.#partitions.get(keyOf(each)) ?? [])
  }

  #failed(error: NodeError): void {
    if (this.#closing === null) this.#events.failed(failureOf(error, null))
  }
}

function plain({ topic, partition }: Partition): Partition {
  return { topic, partition }
}
