import type * as kafkajs from 'kafkajs'
import { failureOf, NodeError } from '../../../../core/flow/failure.ts'
import type {
  Draft,
  GroupMembership,
  Position,
  Producer,
  ProducerOptions,
  SendFailure,
  Transaction,
} from '../../driver.ts'
import { brokerError, closed, timedOut } from '../../kafka-errors.ts'
import type { DraftedRecord } from '../draft-list.ts'
import { cutDraft, DraftList } from '../draft-list.ts'
import { insist } from '../insist.ts'
import { KnownTopics, untilAborted } from '../known-topics.ts'
import type { KafkajsAdmin } from './admin.ts'
import { openAdmin } from './admin.ts'
import { compressionType, kafkaClient, nodeError } from './client.ts'

/** Opens kafkajs's producer, with an admin client beside it that knows how many partitions topics have. */
export async function openProducer(options: ProducerOptions): Promise<Producer> {
  const admin = await openAdmin(options)
  // kafkajs counts attempts where we count time; the longest pause between two is 2 s.
  const retries = 5 + Math.ceil(options.deliveryMsMax / 2_000)
  const producer = kafkaClient(options, retries).producer({
    allowAutoTopicCreation: false,
    idempotent: options.idempotent || options.transaction !== null,
    maxInFlightRequests: options.idempotent || options.transaction !== null ? 1 : options.requestsMax,
    transactionalId: options.transaction?.id,
    transactionTimeout: options.transaction?.msMax,
  })
  try {
    await producer.connect()
  } catch (thrown) {
    await Promise.allSettled([producer.disconnect(), admin.close()])
    throw nodeError(thrown, 'connecting', options)
  }
  return new KafkajsProducer(producer, admin, options)
}

const recordsPerSend = 1_000

class KafkajsProducer implements Producer {
  readonly transaction: Transaction | null
  readonly #producer: kafkajs.Producer
  readonly #admin: KafkajsAdmin
  readonly #options: ProducerOptions
  readonly #topics: KnownTopics
  /** Sends wait for the one before: kafkajs keeps no order between two. */
  #last: Promise<unknown> = Promise.resolve()
  #open: kafkajs.Transaction | null = null
  #closed = false

  constructor(producer: kafkajs.Producer, admin: KafkajsAdmin, options: ProducerOptions) {
    this.#producer = producer
    this.#admin = admin
    this.#options = options
    this.#topics = new KnownTopics(async (topic) => {
      const partitions = await insist(options.requestMsMax, () => admin.partitions(topic))
      if (partitions === null) throw brokerError('UNKNOWN_TOPIC_OR_PARTITION', `sending to topic ${topic}`)
      return partitions
    })
    this.transaction =
      options.transaction === null
        ? null
        : {
            begin: () => this.#begin(),
            sendOffsets: (positions, membership) => this.#sendOffsets(positions, membership),
            commit: () => this.#end('commit'),
            abort: () => this.#end('abort'),
            // kafkajs has no way to ask.
            isOurs: async () => false,
          }
  }

  prepare(topic: string, signal: AbortSignal): Promise<void> {
    return this.#topics.prepare(topic, signal)
  }

  draft(): Draft {
    return new DraftList((topic) => this.#topics.partitions(topic), this.#options.recordBytesMax)
  }

  async send(draft: Draft, signal: AbortSignal): Promise<readonly SendFailure[]> {
    if (this.#closed) throw closed('producer')
    if (!(draft instanceof DraftList)) throw new TypeError('the draft is of another driver')
    const failures: SendFailure[] = []
    const sending = this.#last.then(async () => {
      const partitions = Map.groupBy(draft.records, (each) => `${each.topic}/${each.partition}`)
      await Promise.all([...partitions.values()].map((records) => this.#sendPartition(records, signal, failures)))
    })
    this.#last = sending.catch(() => undefined)
    await untilAborted(sending, signal)
    return failures
  }

  /**
   * Each partition by sends of its own. kafkajs loses records when a send goes to several brokers and a partition moves to one that
   * has answered already: it takes that answer for all of the broker's partitions. So it is also known which partitions have failed.
   */
  async #sendPartition(records: readonly DraftedRecord[], signal: AbortSignal, failures: SendFailure[]): Promise<void> {
    for (const run of cutDraft(records, recordsPerSend, this.#options.batchBytesMax)) {
      signal.throwIfAborted()
      const failure = await this.#sendRun(run)
      if (failure !== null) failures.push(failure)
    }
  }

  async #sendRun(run: readonly DraftedRecord[]): Promise<SendFailure | null> {
    const { acks, compression, requestMsMax, deliveryMsMax } = this.#options
    const sender = this.#open ?? this.#producer
    const topic = run[0]!.topic
    try {
      await within(
        deliveryMsMax,
        sender.send({
          topic,
          acks: acks === 'all' ? -1 : acks === 'leader' ? 1 : 0,
          timeout: requestMsMax,
          compression: compressionType(compression),
          messages: grouped(run),
        }),
      )
      return null
    } catch (thrown) {
      const error = nodeError(thrown, `sending to topic ${topic}`, this.#options)
      return { indexes: run.map((each) => each.index), failure: failureOf(error, null) }
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#open !== null) await this.#end('abort').catch(() => undefined)
    await Promise.allSettled([this.#producer.disconnect(), this.#admin.close()])
  }

  async #begin(): Promise<void> {
    if (this.#closed) throw closed('producer')
    if (this.#open !== null) throw new NodeError('kafka.refused', 'a transaction is open already')
    this.#open = await this.#insist('beginning a transaction', () => this.#producer.transaction())
  }

  async #sendOffsets(positions: readonly Position[], membership: GroupMembership): Promise<void> {
    const transaction = this.#mustBeOpen()
    const topics = [...Map.groupBy(positions, (each) => each.topic)].map(([topic, each]) => ({
      topic,
      partitions: each.map(({ partition, offset }) => ({ partition, offset: String(offset) })),
    }))
    await this.#insist(`sending offsets of group ${membership.groupId}`, () =>
      transaction.sendOffsets({ consumerGroupId: membership.groupId, topics }),
    )
  }

  async #end(how: 'commit' | 'abort'): Promise<void> {
    const transaction = this.#mustBeOpen()
    this.#open = null
    await this.#insist(`${how === 'commit' ? 'committing' : 'aborting'} a transaction`, () => transaction[how]())
  }

  #mustBeOpen(): kafkajs.Transaction {
    if (this.#open === null) throw new NodeError('kafka.refused', 'no transaction is open; begin one first')
    return this.#open
  }

  /** kafkajs does not try again what a coordinator answers for a moment after a commit, or when a group is new. */
  #insist<T>(doing: string, request: () => Promise<T>): Promise<T> {
    return insist(this.#options.requestMsMax, async () => {
      try {
        return await request()
      } catch (thrown) {
        throw nodeError(thrown, doing, this.#options)
      }
    })
  }
}

/**
 * Records of one partition as messages. kafkajs groups messages by partition with `reduce`, and copies the group for each of
 * them, half a million times for a thousand. These are grouped already, and answer so.
 */
function grouped(run: readonly DraftedRecord[]): kafkajs.Message[] {
  const messages = run.map(messageOf)
  const groups = { [run[0]!.partition]: messages }
  Object.defineProperty(messages, 'reduce', { value: () => groups })
  return messages
}

function messageOf(record: DraftedRecord): kafkajs.Message {
  return {
    partition: record.partition,
    key: record.key,
    value: record.value,
    timestamp: String(record.timestampMs),
    headers: record.headers.length === 0 ? undefined : headersOf(record),
  }
}

function headersOf(record: DraftedRecord): kafkajs.IHeaders {
  const headers: Record<string, (string | Buffer)[]> = Object.create(null)
  for (const { name, value } of record.headers) {
    const bytes = typeof value === 'string' ? value : Buffer.from(value)
    headers[name] = [...(headers[name] ?? []), bytes]
  }
  return headers
}

function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(timedOut('sending', limitMs)), limitMs)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
