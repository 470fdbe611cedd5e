import { createTopicsV5, deleteTopicsV4, offsetFetchV7 } from '@platformatic/kafka'
import type { Admin, ConnectionOptions, NewTopic, Position, StartAt } from '../../driver.ts'
import { brokerError } from '../../kafka-errors.ts'
import { insist } from '../insist.ts'
import { nodeErrorOf, protocolName } from '../platformatic-errors.ts'
import { Cluster, isOutdated } from './cluster.ts'
import { offsetsAt } from './offsets.ts'

/** Opens an admin client. Rejects with `kafka.unreachable`, `kafka.not-authenticated` and the like. */
export async function openAdmin(options: ConnectionOptions): Promise<Admin> {
  const cluster = new Cluster(options)
  try {
    await cluster.connect()
    return new BatchAdmin(cluster)
  } catch (thrown) {
    await cluster.close()
    throw thrown
  }
}

const use = { name: 'admin' }

class BatchAdmin implements Admin {
  readonly #cluster: Cluster

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    for (const { topic, partitions, replicas, settings } of topics) {
      const configs = Object.entries(settings).map(([name, value]) => ({ name, value }))
      const wanted = { name: topic, numPartitions: partitions, replicationFactor: replicas, assignments: [], configs }
      await this.#insist(`creating topic ${topic}`, async (limitMs) => {
        try {
          await this.#cluster.ask(this.#cluster.controller, use, createTopicsV5.api, [wanted], limitMs, false)
        } catch (thrown) {
          if (protocolName(thrown) !== 'TOPIC_ALREADY_EXISTS') throw thrown
        }
      })
      await this.#insist(`waiting for topic ${topic}`, async () => {
        // A broker may not have heard of it yet.
        await this.#cluster.refresh([topic])
        const leaders = this.#cluster.topic(topic)?.leaders ?? [-1]
        if (leaders.includes(-1)) throw brokerError('LEADER_NOT_AVAILABLE', `waiting for topic ${topic}`)
      })
    }
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    const named = topics.map((name) => ({ name }))
    await this.#insist('deleting topics', (limitMs) =>
      this.#cluster.ask(this.#cluster.controller, use, deleteTopicsV4.api, named, limitMs),
    )
  }

  async partitions(topic: string): Promise<number | null> {
    await this.#insist(`asking about topic ${topic}`, () => this.#cluster.refresh([topic]))
    return this.#cluster.topic(topic)?.leaders.length ?? null
  }

  async offsets(topic: string, at: StartAt): Promise<readonly Position[]> {
    const { leaders } = await this.#insist(`asking about topic ${topic}`, () => this.#cluster.know(topic, 1_000))
    const partitions = leaders.map((_, partition) => ({ topic, partition }))
    return offsetsAt(this.#cluster, partitions, at)
  }

  async groupOffsets(group: string, topics: readonly string[]): Promise<readonly Position[]> {
    const doing = `asking for offsets of group ${group}`
    const counts = await this.#insist(doing, () =>
      Promise.all(topics.map(async (name) => ({ name, leaders: (await this.#cluster.know(name, 1_000)).leaders }))),
    )
    const wanted = counts.map(({ name, leaders }) => ({ name, partitionIndexes: leaders.map((_, index) => index) }))
    const answer = await this.#insist(doing, async () => {
      const node = await this.#cluster.coordinator('group', group)
      return this.#cluster.ask(node, use, offsetFetchV7.api, [{ groupId: group, topics: wanted }], false)
    })
    return answer.topics.flatMap(({ name, partitions }) =>
      partitions
        .filter((each) => each.committedOffset >= 0n)
        .map((each) => ({ topic: name, partition: each.partitionIndex, offset: Number(each.committedOffset) })),
    )
  }

  close(): Promise<void> {
    return this.#cluster.close()
  }

  /** Asks, and again while brokers are busy or have changed places. */
  #insist<T>(doing: string, request: (limitMs: number) => Promise<T>): Promise<T> {
    const { options } = this.#cluster
    return insist(options.requestMsMax, async () => {
      try {
        return await request(options.requestMsMax)
      } catch (thrown) {
        const error = nodeErrorOf(thrown, doing, options)
        if (isOutdated(error)) {
          this.#cluster.forgetCoordinators()
          await this.#cluster.refresh().catch(() => undefined)
        }
        throw error
      }
    })
  }
}
