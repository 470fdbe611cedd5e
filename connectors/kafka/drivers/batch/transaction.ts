import {
  addOffsetsToTxnV1,
  addPartitionsToTxnV1,
  endTxnV1,
  initProducerIdV3,
  txnOffsetCommitV3,
} from '@platformatic/kafka'
import { failureOf, NodeError } from '../../../../core/flow/failure.ts'
import type { GroupMembership, Position, Transaction } from '../../driver.ts'
import { insist } from '../insist.ts'
import { nodeErrorOf, protocolName } from '../platformatic-errors.ts'
import type { Cluster } from './cluster.ts'
import { isOutdated } from './cluster.ts'
import type { ProduceQueue, ProducerIdentity } from './produce-queue.ts'

/**
 * One transaction after the other, as their coordinator keeps them.
 * https://kafka.apache.org/documentation/#semantics, KIP-98, KIP-360 and KIP-447.
 */
export class Transactions implements Transaction {
  readonly #cluster: Cluster
  readonly #id: string
  readonly #msMax: number
  #queue: ProduceQueue | null = null
  #isOpen = false
  /** What failed in the open transaction: it can only be aborted. */
  #failure: NodeError | null = null
  /** `topic/partition` that the coordinator knows to be part of it. */
  readonly #partitions = new Set<string>()
  /** Whether the coordinator has anything to end. */
  #isStarted = false

  constructor(cluster: Cluster, id: string, msMax: number) {
    this.#cluster = cluster
    this.#id = id
    this.#msMax = msMax
  }

  /** Takes over the id: whoever had it before is fenced, and what it left open is aborted. */
  identify(before: ProducerIdentity | null): Promise<ProducerIdentity> {
    const known = before === null ? ([] as const) : ([before.producerId, before.epoch] as const)
    return this.#ask('beginning transactions', async (node, use) => {
      const answer = await this.#cluster.ask(node, use, initProducerIdV3.api, this.#id, this.#msMax, ...known)
      return { producerId: answer.producerId, epoch: answer.producerEpoch }
    })
  }

  async isOurs(): Promise<boolean> {
    if (this.#queue === null) return false
    try {
      await this.identify(this.#queue.identity)
      return true
    } catch (thrown) {
      if (failureOf(thrown, null).code === 'kafka.fenced') return false
      throw thrown
    }
  }

  serve(queue: ProduceQueue): void {
    this.#queue = queue
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** A record of the open transaction was not delivered. */
  fail(error: NodeError): void {
    this.#failure ??= error
  }

  async begin(): Promise<void> {
    if (this.#isOpen) throw new NodeError('kafka.refused', 'a transaction is open already; commit or abort it first')
    this.#isOpen = true
  }

  /** Makes partitions part of the transaction, before anything is sent to them. */
  async join(partitions: readonly { readonly topic: string; readonly partition: number }[]): Promise<void> {
    this.#mustBeOpen()
    const fresh = partitions.filter((each) => !this.#partitions.has(`${each.topic}/${each.partition}`))
    if (fresh.length === 0) return
    const topics = [...Map.groupBy(fresh, (each) => each.topic)].map(([name, each]) => ({
      name,
      partitions: each.map(({ partition }) => partition),
    }))
    this.#isStarted = true
    await this.#ask('adding partitions to a transaction', (node, use) => {
      const transaction = { transactionalId: this.#id, ...this.#identity, verifyOnly: false, topics }
      return this.#cluster.ask(node, use, addPartitionsToTxnV1.api, [transaction])
    })
    for (const each of fresh) this.#partitions.add(`${each.topic}/${each.partition}`)
  }

  async sendOffsets(positions: readonly Position[], membership: GroupMembership): Promise<void> {
    this.#mustBeOpen()
    const { groupId, generation, memberId, instanceId } = membership
    const { producerId, producerEpoch } = this.#identity
    const doing = `adding offsets of group ${groupId} to a transaction`
    this.#isStarted = true
    await this.#ask(doing, (node, use) =>
      this.#cluster.ask(node, use, addOffsetsToTxnV1.api, this.#id, producerId, producerEpoch, groupId),
    )
    const topics = [...Map.groupBy(positions, (each) => each.topic)].map(([name, each]) => ({
      name,
      partitions: each.map(({ partition, offset }) => ({
        partitionIndex: partition,
        committedOffset: BigInt(offset),
        committedLeaderEpoch: -1,
        committedMetadata: null,
      })),
    }))
    const owner = [generation, memberId, instanceId] as const
    await this.#askCoordinator('group', groupId, doing, (node, use) =>
      this.#cluster.ask(
        node,
        use,
        txnOffsetCommitV3.api,
        this.#id,
        groupId,
        producerId,
        producerEpoch,
        ...owner,
        topics,
      ),
    )
  }

  async commit(): Promise<void> {
    this.#mustBeOpen()
    await this.#queue?.idle()
    if (this.#failure !== null) {
      const text = `the transaction cannot be committed, because something in it failed: ${this.#failure.message}; abort it`
      throw new NodeError(this.#failure.code, text, { cause: this.#failure })
    }
    await this.#end(true)
  }

  async abort(): Promise<void> {
    this.#mustBeOpen()
    await this.#queue?.idle()
    const hasFailed = this.#failure !== null
    await this.#end(false)
    // After a gap in the numbers, those of a new epoch begin at zero again.
    if (hasFailed && this.#queue !== null) this.#queue.become(await this.identify(this.#queue.identity))
  }

  async #end(isCommit: boolean): Promise<void> {
    const doing = isCommit ? 'committing a transaction' : 'aborting a transaction'
    const { producerId, producerEpoch } = this.#identity
    if (this.#isStarted) {
      await this.#ask(doing, (node, use) =>
        this.#cluster.ask(node, use, endTxnV1.api, this.#id, producerId, producerEpoch, isCommit),
      )
    }
    this.#isOpen = false
    this.#isStarted = false
    this.#failure = null
    this.#partitions.clear()
  }

  get #identity(): { readonly producerId: bigint; readonly producerEpoch: number } {
    const { producerId, epoch } = this.#queue?.identity ?? { producerId: -1n, epoch: -1 }
    return { producerId, producerEpoch: epoch }
  }

  #mustBeOpen(): void {
    if (!this.#isOpen) throw new NodeError('kafka.refused', 'no transaction is open; begin one first')
  }

  #ask<T>(doing: string, request: Ask<T>): Promise<T> {
    return this.#askCoordinator('transaction', this.#id, doing, request)
  }

  /** Asks the coordinator, and again while it is busy, has moved, or has not finished with the transaction before. */
  #askCoordinator<T>(type: 'transaction' | 'group', key: string, doing: string, request: Ask<T>): Promise<T> {
    const { options } = this.#cluster
    return insist(options.requestMsMax, async () => {
      try {
        return await request(await this.#cluster.coordinator(type, key), { name: type })
      } catch (thrown) {
        const error = nodeErrorOf(thrown, doing, options)
        if (isOutdated(error) && protocolName(thrown) !== 'CONCURRENT_TRANSACTIONS') {
          this.#cluster.forgetCoordinator(type, key)
          await this.#cluster.refresh().catch(() => undefined)
        }
        throw error
      }
    })
  }
}

type Ask<T> = (node: number, use: { readonly name: string }) => Promise<T>
