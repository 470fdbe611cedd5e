import type * as kafkajs from 'kafkajs'
import type { Admin, ConnectionOptions, NewTopic, Position, StartAt } from '../../driver.ts'
import { kafkaClient, nodeError, protocolName } from './client.ts'

/** Opens kafkajs's admin client. Rejects with `kafka.unreachable` or `kafka.not-authenticated`. */
export async function openAdmin(options: ConnectionOptions): Promise<KafkajsAdmin> {
  const admin = kafkaClient(options, 3).admin()
  try {
    await admin.connect()
    // Connecting alone is content with a socket on which nobody speaks.
    await admin.describeCluster()
  } catch (thrown) {
    await admin.disconnect().catch(() => undefined)
    throw nodeError(thrown, 'connecting', options)
  }
  return new KafkajsAdmin(admin, options)
}

export class KafkajsAdmin implements Admin {
  readonly #admin: kafkajs.Admin
  readonly #options: ConnectionOptions

  constructor(admin: kafkajs.Admin, options: ConnectionOptions) {
    this.#admin = admin
    this.#options = options
  }

  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    // One by one: kafkajs tells one error of many, and an existing topic would hide another's.
    for (const { topic, partitions, replicas, settings } of topics) {
      const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
      const wanted = { topic, numPartitions: partitions, replicationFactor: replicas, configEntries }
      await this.#ask(`creating topic ${topic}`, () => this.#admin.createTopics({ topics: [wanted] }))
    }
  }

  async deleteTopics(topics: readonly string[]): Promise<void> {
    await this.#ask('deleting topics', () => this.#admin.deleteTopics({ topics: [...topics] }))
  }

  async partitions(topic: string): Promise<number | null> {
    try {
      const { topics } = await this.#admin.fetchTopicMetadata({ topics: [topic] })
      return topics[0]?.partitions.length ?? null
    } catch (thrown) {
      if (protocolName(thrown) === 'UNKNOWN_TOPIC_OR_PARTITION') return null
      throw nodeError(thrown, `asking about topic ${topic}`, this.#options)
    }
  }

  async offsets(topic: string, at: StartAt): Promise<readonly Position[]> {
    const position = (partition: number, offset: string | number): Position => ({
      topic,
      partition,
      offset: Number(offset),
    })
    return this.#ask(`asking for offsets of topic ${topic}`, async () => {
      if (at.kind === 'time') {
        const found = await this.#admin.fetchTopicOffsetsByTimestamp(topic, at.timeMs)
        return found.map((each) => position(each.partition, each.offset))
      }
      const found = await this.#admin.fetchTopicOffsets(topic)
      const offset = (each: { readonly low: string; readonly high: string }): string | number =>
        at.kind === 'earliest' ? each.low : at.kind === 'latest' ? each.high : at.offset
      return found.map((each) => position(each.partition, offset(each)))
    })
  }

  async groupOffsets(group: string, topics: readonly string[]): Promise<readonly Position[]> {
    const found = await this.#ask(`asking for offsets of group ${group}`, () =>
      this.#admin.fetchOffsets({ groupId: group, topics: [...topics] }),
    )
    return found.flatMap(({ topic, partitions }) =>
      partitions
        .filter((each) => Number(each.offset) >= 0)
        .map((each) => ({ topic, partition: each.partition, offset: Number(each.offset) })),
    )
  }

  close(): Promise<void> {
    return this.#admin.disconnect()
  }

  async #ask<T>(doing: string, request: () => Promise<T>): Promise<T> {
    try {
      return await request()
    } catch (thrown) {
      throw nodeError(thrown, doing, this.#options)
    }
  }
}
