import { listOffsetsV5, protocolErrorsCodesById } from '@platformatic/kafka'
import type { Partition, Position, StartAt } from '../../driver.ts'
import { brokerError } from '../../kafka-errors.ts'
import { insist } from '../insist.ts'
import { answerOf, nodeErrorOf } from '../platformatic-errors.ts'
import type { Cluster } from './cluster.ts'
import { isOutdated } from './cluster.ts'

type ListOffsetsResponse = ReturnType<typeof listOffsetsV5.parseResponse>

const latest = -1n
const earliest = -2n

/** Which offsets a place means in some partitions, asked of their leaders; a time after the last record means the end. */
export async function offsetsAt(
  cluster: Cluster,
  partitions: readonly Partition[],
  at: StartAt,
): Promise<readonly Position[]> {
  if (at.kind === 'offset') return partitions.map(({ topic, partition }) => ({ topic, partition, offset: at.offset }))
  const timestamp = at.kind === 'earliest' ? earliest : at.kind === 'latest' ? latest : BigInt(at.timeMs)
  const found = await listed(cluster, partitions, timestamp)
  const late = found.filter((each) => each.offset < 0)
  const ends = late.length === 0 ? [] : await listed(cluster, late, latest)
  return [...found.filter((each) => each.offset >= 0), ...ends]
}

function listed(cluster: Cluster, partitions: readonly Partition[], timestamp: bigint): Promise<readonly Position[]> {
  return insist(cluster.options.requestMsMax, async () => {
    try {
      const byLeader = Map.groupBy(partitions, (each) => cluster.leader(each.topic, each.partition))
      if (byLeader.has(-1)) throw brokerError('LEADER_NOT_AVAILABLE', 'asking for offsets')
      const asked = await Promise.all([...byLeader].map(([leader, each]) => ask(cluster, leader, each, timestamp)))
      return asked.flat()
    } catch (thrown) {
      const error = nodeErrorOf(thrown, 'asking for offsets', cluster.options)
      if (isOutdated(error)) await cluster.refresh().catch(() => undefined)
      throw error
    }
  })
}

async function ask(
  cluster: Cluster,
  leader: number,
  partitions: readonly Partition[],
  timestamp: bigint,
): Promise<readonly Position[]> {
  const topics = [...Map.groupBy(partitions, (each) => each.topic)].map(([name, each]) => ({
    name,
    partitions: each.map(({ partition }) => ({ partitionIndex: partition, currentLeaderEpoch: -1, timestamp })),
  }))
  const answer = await cluster
    .ask(leader, { name: 'metadata' }, listOffsetsV5.api, -1, 0, topics)
    .catch((thrown: unknown): ListOffsetsResponse => {
      const partly = answerOf(thrown)
      if (!isListing(partly)) throw thrown
      return partly
    })
  return answer.topics.flatMap(({ name, partitions: found }) =>
    found.map(({ partitionIndex, errorCode, offset }) => {
      const error = protocolErrorsCodesById[errorCode] ?? 'UNKNOWN_SERVER_ERROR'
      if (errorCode !== 0) throw brokerError(error, `asking for offsets of topic ${name}`)
      return { topic: name, partition: partitionIndex, offset: Number(offset) }
    }),
  )
}

function isListing(answer: unknown): answer is ListOffsetsResponse {
  return typeof answer === 'object' && answer !== null && 'topics' in answer
}
