import {
  encodeConsumerProtocolAssignment,
  heartbeatV3,
  joinGroupV5,
  leaveGroupV3,
  syncGroupV3,
} from '@platformatic/kafka'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { ConsumerOptions, Partition } from '../../driver.ts'
import type { Cluster } from './cluster.ts'
import { Group } from './group.ts'

const topic = 't'

/** A coordinator that shares out as the test says and answers heartbeats with an error when it is to. */
class Coordinator {
  readonly log: string[] = []
  share: readonly number[] = []
  refusal: string | null = null
  #generation = 0

  coordinator(): Promise<number> {
    return Promise.resolve(1)
  }

  forgetCoordinator(): void {}

  // It is asked for nothing but what is here; each request has its own kind of answer.
  async ask(_node: number, _use: unknown, api: unknown, ...request: readonly unknown[]): Promise<never> {
    return this.#answer(api, request) as never
  }

  #answer(api: unknown, request: readonly unknown[]): unknown {
    if (api === heartbeatV3.api) {
      const apiId = this.refusal
      this.refusal = null
      if (apiId !== null) throw Object.assign(new Error(apiId), { apiId })
      return {}
    }
    if (api === joinGroupV5.api) {
      const name = request[3] === '' ? 'nobody' : String(request[3])
      this.log.push(`${name} joins`)
      return { generationId: ++this.#generation, memberId: 'me', leader: 'another', members: [] }
    }
    if (api === syncGroupV3.api) {
      const assignedPartitions = [{ topic, partitions: [...this.share] }]
      return { assignment: encodeConsumerProtocolAssignment({ version: 3, assignedPartitions }) }
    }
    if (api === leaveGroupV3.api) this.log.push('leaves')
    return {}
  }
}

const numbers = (partitions: readonly Partition[]): string => partitions.map((each) => each.partition).join(' ')

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a member that the group forgets while it gives a partition up loses the rest before it joins anew', async () => {
  const coordinator = new Coordinator()
  const { log } = coordinator
  let given = (): void => undefined
  const options: Partial<ConsumerOptions> = {
    group: { id: 'g', instanceId: null, topics: [topic] },
    sessionMsMax: 10_000,
    rebalanceMsMax: 20_000,
    heartbeatMs: 1_000,
    requestMsMax: 5_000,
  }
  const group = new Group(coordinator as Partial<Cluster> as Cluster, options as ConsumerOptions, {
    gained: (partitions) => void log.push(`gains ${numbers(partitions)}`),
    left: (partitions, reason) => {
      log.push(`${reason === 'lost' ? 'loses' : 'gives up'} ${numbers(partitions)}`)
      return reason === 'lost' ? Promise.resolve() : new Promise((resolve) => (given = resolve))
    },
    trouble: () => undefined,
    failed: () => undefined,
  })
  coordinator.share = [0, 1]
  await group.join()
  coordinator.share = [0]
  coordinator.refusal = 'REBALANCE_IN_PROGRESS'
  await vi.advanceTimersByTimeAsync(1_000)
  expect(log.splice(0)).toEqual(['nobody joins', 'gains 0 1', 'me joins', 'gives up 1'])
  coordinator.refusal = 'UNKNOWN_MEMBER_ID'
  await vi.advanceTimersByTimeAsync(1_000)
  given()
  await vi.advanceTimersByTimeAsync(0)
  expect(log.splice(0)).toEqual(['loses 0', 'nobody joins', 'gains 0'])
  const leaving = group.leave()
  given()
  await leaving
  expect(log).toEqual(['gives up 0', 'leaves'])
})
