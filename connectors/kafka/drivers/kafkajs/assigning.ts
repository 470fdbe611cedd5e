import kafkajs from 'kafkajs'
import type { Partition } from '../../driver.ts'

/** An assigner that gives the only member of a group the partitions that it names. */
export function assigning(partitions: readonly Partition[]): kafkajs.PartitionAssigner {
  const { MemberAssignment, MemberMetadata } = kafkajs.AssignerProtocol
  const assignment: Record<string, number[]> = {}
  for (const { topic, partition } of partitions) assignment[topic] = [...(assignment[topic] ?? []), partition]
  const userData = Buffer.alloc(0)
  return () => ({
    name: 'assigned',
    version: 0,
    assign: async ({ members }) =>
      members.map(({ memberId }) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({ version: 0, assignment, userData }),
      })),
    protocol: ({ topics }) => ({
      name: 'assigned',
      metadata: MemberMetadata.encode({ version: 0, topics, userData }),
    }),
  })
}
