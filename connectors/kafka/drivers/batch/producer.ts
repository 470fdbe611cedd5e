import { initProducerIdV3 } from '@platformatic/kafka'
import type { Failure } from '../../../../core/flow/failure.ts'
import { failureOf, NodeError } from '../../../../core/flow/failure.ts'
import type { Draft, Producer, ProducerOptions, SendFailure, Transaction } from '../../driver.ts'
import { closed } from '../../kafka-errors.ts'
import { notPrepared } from '../draft-list.ts'
import { insist } from '../insist.ts'
import { untilAborted } from '../known-topics.ts'
import { nodeErrorOf } from '../platformatic-errors.ts'
import { Cluster } from './cluster.ts'
import type { Sending } from './out-partition.ts'
import type { ProducerIdentity } from './produce-queue.ts'
import { ProduceQueue } from './produce-queue.ts'
import type { ClosableDraft, DraftedPartition, RecordCodec } from './record-codec.ts'
import { Transactions } from './transaction.ts'

/** Opens a producer. Rejects with `kafka.unreachable`, `kafka.not-authenticated` and the like. */
export async function openProducer(options: ProducerOptions, codec: RecordCodec): Promise<Producer> {
  const cluster = new Cluster(options)
  try {
    await cluster.connect()
    const { transaction } = options
    const transactions = transaction === null ? null : new Transactions(cluster, transaction.id, transaction.msMax)
    const identify = (): Promise<ProducerIdentity> =>
      transactions === null ? identifyAlone(cluster) : transactions.identify(null)
    const isCounted = transactions !== null || (options.idempotent && options.acks === 'all')
    const queue = new ProduceQueue(cluster, options, isCounted ? await identify() : null, identify)
    transactions?.serve(queue)
    return new BatchProducer(cluster, options, codec, queue, transactions)
  } catch (thrown) {
    await cluster.close()
    throw thrown
  }
}

/** An identity without transactions, from any broker. */
function identifyAlone(cluster: Cluster): Promise<ProducerIdentity> {
  return insist(cluster.options.requestMsMax, async () => {
    try {
      const { producerId, producerEpoch } = await cluster.askAny(initProducerIdV3.api, null, 0)
      return { producerId, epoch: producerEpoch }
    } catch (thrown) {
      throw nodeErrorOf(thrown, 'beginning to number batches', cluster.options)
    }
  })
}

/** How long what is known of a topic is taken for true. */
const topicFreshMs = 60_000

class BatchProducer implements Producer {
  readonly #cluster: Cluster
  readonly #options: ProducerOptions
  readonly #codec: RecordCodec
  readonly #queue: ProduceQueue
  readonly #drafts = new WeakMap<Draft, ClosableDraft>()
  readonly #transactions: Transactions | null
  #closing: Promise<void> | null = null

  constructor(
    cluster: Cluster,
    options: ProducerOptions,
    codec: RecordCodec,
    queue: ProduceQueue,
    transactions: Transactions | null,
  ) {
    this.#cluster = cluster
    this.#options = options
    this.#codec = codec
    this.#queue = queue
    this.#transactions = transactions
  }

  get transaction(): Transaction | null {
    return this.#transactions
  }

  async prepare(topic: string, signal: AbortSignal): Promise<void> {
    const known = this.#cluster.topic(topic)
    if (known !== null && performance.now() - known.loadedAtMs < topicFreshMs) return
    const knowing = insist(this.#options.requestMsMax, () => this.#cluster.know(topic, topicFreshMs))
    await untilAborted(knowing, signal)
  }

  draft(): Draft {
    const { recordBytesMax, batchBytesMax, compression } = this.#options
    const isTransactional = this.#transactions !== null
    const draft = this.#codec.draft((topic) => this.#partitions(topic), {
      recordBytesMax,
      batchBytesMax,
      codec: compression,
      isTransactional,
    })
    this.#drafts.set(draft, draft)
    return draft
  }

  async send(draft: Draft, signal: AbortSignal): Promise<readonly SendFailure[]> {
    const closable = this.#drafts.get(draft)
    if (closable === undefined) throw new TypeError('the draft is of another producer')
    if (this.#closing !== null) throw closed('producer')
    signal.throwIfAborted()
    if (draft.count === 0) return []
    const partitions = closable.close()
    const refusal = await this.#join(partitions, signal)
    if (refusal !== null)
      return [{ indexes: Array.from({ length: draft.count }, (_, index) => index), failure: refusal }]
    return new Promise((resolve, reject) => {
      const failures: SendFailure[] = []
      let left = draft.count
      const settle = (count: number): void => {
        left -= count
        if (left > 0) return
        signal.removeEventListener('abort', stop)
        resolve(failures)
      }
      const sending: Sending = {
        giveUpAtMs: performance.now() + this.#options.deliveryMsMax,
        isOver: false,
        done: settle,
        failed: (indexes, failure) => {
          failures.push({ indexes, failure })
          this.#transactions?.fail(errorOf(failure))
          settle(indexes.length)
        },
      }
      const stop = (): void => {
        this.#transactions?.fail(errorOf(stopped))
        this.#queue.forget(sending)
        reject(signal.reason)
      }
      signal.addEventListener('abort', stop, { once: true })
      for (const partition of partitions) this.#queue.add(partition, sending)
    })
  }

  /** Makes partitions part of the open transaction, or says why they cannot be. */
  async #join(partitions: readonly DraftedPartition[], signal: AbortSignal): Promise<Failure | null> {
    if (this.#transactions === null) return null
    try {
      await untilAborted(this.#transactions.join(partitions), signal)
      return null
    } catch (thrown) {
      signal.throwIfAborted()
      const failure = failureOf(thrown, null)
      this.#transactions.fail(errorOf(failure))
      return failure
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#transactions?.isOpen === true) await this.#transactions.abort().catch(() => undefined)
    this.#queue.end(closed('producer'))
    await this.#cluster.close()
  }

  #partitions(topic: string): number {
    const known = this.#cluster.topic(topic)
    if (known === null) throw notPrepared(topic)
    return known.leaders.length
  }
}

const stopped: Failure = { code: 'execution.stopped', message: 'sending was stopped', node: null, retriable: false }

function errorOf({ code, message, retriable }: Failure): NodeError {
  return new NodeError(code, message, { retriable })
}
