import type { GroupAssignment } from '@platformatic/kafka'
import {
  cooperativeStickyAssigner,
  decodeConsumerProtocolAssignment,
  decodeConsumerProtocolSubscription,
  encodeConsumerProtocolAssignment,
  encodeConsumerProtocolSubscription,
} from '@platformatic/kafka'
import type { Partition } from '../../driver.ts'

/**
 * What members of a group tell each other: the topics they want and the partitions they have, and what the one that leads gives to whom.
 * Partitions stay where they are as far as the shares stay even, and one that moves is first given up and then given away. KIP-429.
 */
export const protocolName = 'cooperative-sticky'
const version = 3

export function subscription(topics: readonly string[], owned: readonly Partition[], generation: number): Buffer {
  const ownedPartitions = byTopic(owned)
  return encodeConsumerProtocolSubscription({
    version,
    topics: [...topics],
    ownedPartitions,
    generationId: ownedPartitions.length > 0 ? generation : -1,
  })
}

export interface Member {
  readonly memberId: string
  readonly metadata: Buffer
}

export function topicsOf(members: readonly Member[]): readonly string[] {
  return [...new Set(members.flatMap((each) => decodeConsumerProtocolSubscription(each.metadata).topics))]
}

/** Shares partitions among members. `partitions` answers how many a topic has; 0 for one that does not exist. */
export function share(
  members: readonly Member[],
  partitions: (topic: string) => number,
): readonly { readonly memberId: string; readonly assignment: Buffer }[] {
  const subscribed = members.map(({ memberId, metadata }) => {
    const { topics, ownedPartitions, generationId } = decodeConsumerProtocolSubscription(metadata)
    return [memberId, { memberId, version, topics, ownedPartitions, generationId }] as const
  })
  const topics = new Set(topicsOf(members))
  const counts = new Map([...topics].map((topic) => [topic, { partitionsCount: partitions(topic) }]))
  const shares = cooperativeStickyAssigner('', new Map(subscribed), topics, metadataOf(counts))
  return shares.map(({ memberId, assignments }) => ({
    memberId,
    assignment: encodeConsumerProtocolAssignment({ version, assignedPartitions: [...assignments.values()] }),
  }))
}

export function assigned(assignment: Buffer): readonly Partition[] {
  if (assignment.length === 0) return []
  return decodeConsumerProtocolAssignment(assignment).assignedPartitions.flatMap(({ topic, partitions }) =>
    partitions.map((partition) => ({ topic, partition })),
  )
}

function byTopic(partitions: readonly Partition[]): GroupAssignment[] {
  return [...Map.groupBy(partitions, (each) => each.topic)].map(([topic, each]) => ({
    topic,
    partitions: each.map(({ partition }) => partition),
  }))
}

type Metadata = Parameters<typeof cooperativeStickyAssigner>[3]

/** The assigner wants the whole of a cluster's metadata and reads how many partitions topics have. */
function metadataOf(counts: ReadonlyMap<string, { readonly partitionsCount: number }>): Metadata {
  const topics: Metadata['topics'] = new Map(
    [...counts].map(([topic, { partitionsCount }]) => [
      topic,
      { id: '', partitions: [], partitionsCount, lastUpdate: 0 },
    ]),
  )
  return { id: '', brokers: new Map(), controllerId: -1, topics, lastUpdate: 0 }
}
