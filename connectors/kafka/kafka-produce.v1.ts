import { z } from 'zod'
import type { NodeContext, SinkWriter, WriteFailure } from '../../core/define.ts'
import { define, expression, readsBatch } from '../../core/define.ts'
import { failureOf } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'
import { connectionFields, connectionOf, transactionsOf } from './connection.ts'
import { createTopics } from './create-topics.ts'
import type { Draft, Producer, ProducerOptions } from './driver.ts'
import { openDriver } from './open-driver.ts'
import { recordWriter } from './record-writer.ts'
import { sharedRounds } from './shared-rounds.ts'

const headerName = z.string().min(1).max(200)

const schema = z.strictObject({
  ...connectionFields,
  topic: expression(z.string().min(1).max(249)).describe('Where each record goes; may depend on the message.'),
  key: expression(z.union([z.string(), z.number(), z.null()]))
    .optional()
    .describe('The record’s key, which chooses its partition; the message’s own key when left out.'),
  value: expression(z.json()).optional().describe('What is written; the whole value when left out.'),
  encode: z
    .enum(['json', 'string', 'raw', 'msgpack'])
    .default('json')
    .describe('How the value becomes bytes; `raw` writes bytes and text as they are. A null value is a tombstone.'),
  partition: expression(z.int().min(0)).optional().describe('Chooses the partition itself.'),
  headers: z
    .record(headerName, expression(z.union([z.string(), z.number(), z.boolean(), z.null()])))
    .refine((headers) => Object.keys(headers).length <= 50, 'at most 50 headers')
    .default({})
    .describe('Headers by name; those that come out as null are left out.'),
  timestamp: z
    .enum(['message', 'now'])
    .default('message')
    .describe('The record’s time: the message’s, or the time of writing.'),
  acks: z
    .enum(['all', 'leader', 'none'])
    .default('all')
    .describe('Who must have a record before it counts as delivered.'),
  idempotent: z
    .boolean()
    .default(true)
    .describe('Numbers records, so that a repeated send is stored once; needs `acks: all`.'),
  compression: z.enum(['none', 'gzip', 'snappy', 'lz4', 'zstd']).default('none').describe('How batches are packed.'),
  messagesMax: z.int().min(1).max(100_000).default(5_000).describe('Records in one write at most.'),
  waitMs: z.int().min(0).max(60_000).default(0).describe('How long a write waits for more; 0 writes what is there.'),
  requestsMax: z.int().min(1).max(100).default(5).describe('Writes under way at once.'),
  batchBytesMax: z
    .int()
    .min(1_024)
    .max(100_000_000)
    .default(1_000_000)
    .describe('A batch of one partition is cut at it.'),
  recordBytesMax: z.int().min(1).max(100_000_000).default(1_000_000).describe('A larger record fails.'),
  deliveryMsMax: z
    .int()
    .min(100)
    .max(3_600_000)
    .default(120_000)
    .describe('How long a write is tried again while brokers are away; then its messages fail.'),
})

type Config = z.infer<typeof schema>

/** Records into Kafka topics. */
export const kafkaProduceV1 = define({
  name: 'kafka.produce',
  version: 1,
  summary: 'Writes each message as a record of a Kafka topic.',
  notes:
    'A message counts as delivered when as many replicas have it as `acks` says. Order holds per partition, also when a write is repeated. ' +
    'Keys choose partitions as the Java client does. With `delivery: exactly-once` all writes belong to the transaction that holds the source’s positions.',
  inputs: ['in'],
  outputs: [],
  outside: true,
  transactions: (config) => transactionsOf(config),
  config: schema,
  check: (config) =>
    config.idempotent && config.acks !== 'all'
      ? [
          {
            field: 'acks',
            message: `idempotent records need acks: all, and this says ${config.acks}`,
            remedy: 'Set `acks: all`, or `idempotent: false`.',
          },
        ]
      : [],
  examples: [
    {
      title: 'Large orders, by customer',
      config: { brokers: ['127.0.0.1:9092'], topic: 'big-orders', key: '{{ $json.customer }}' },
      input: [{ customer: 'c1', total: 150 }],
      output: null,
    },
    {
      title: 'One topic per country, packed',
      config: {
        brokers: ['127.0.0.1:9092'],
        topic: 'orders-{{ $json.country }}',
        headers: { source: 'shop' },
        compression: 'zstd',
      },
      input: [{ country: 'fi', total: 5 }],
      output: null,
    },
  ],
  face: {
    kind: 'sink',
    limits: (config) => ({
      messagesMax: config.messagesMax,
      waitMsMax: config.waitMs,
      timeoutMs: config.deliveryMsMax + config.requestMsMax,
      concurrency: config.requestsMax,
    }),
    make: (config, context) =>
      context.delivery === 'exactly-once' ? transactionWriter(config, context) : plainWriter(config, context),
  },
})

function plainWriter(config: Config, context: NodeContext): SinkWriter {
  let opened: Promise<Producer> | null = null
  const open = async (): Promise<Producer> => {
    const driver = await openDriver(config.driver)
    const connection = connectionOf(config, context)
    const { topic } = config
    if (config.createTopic !== undefined && topic.ir === null && topic.constant !== null)
      await createTopics(driver, connection, [topic.constant], config.createTopic)
    return driver.openProducer({ ...producerOptions(config, context) })
  }
  const fill = drafter(config, context)
  return {
    async write(messages, signal, scopeOf) {
      opened ??= open()
      const producer = await opened.catch((thrown: unknown) => {
        opened = null
        throw thrown
      })
      const failures: WriteFailure[] = []
      const draft = producer.draft()
      const indexes = await fill(producer, draft, messages, scopeOf, signal, failures)
      if (draft.count === 0) return failures
      for (const failed of await producer.send(draft, signal))
        for (const number of failed.indexes) {
          const index = indexes === null ? number : indexes[number]
          if (index !== undefined) failures.push({ index, failure: { ...failed.failure, node: context.node } })
        }
      return failures
    },
    async close() {
      const producer = await opened?.catch(() => null)
      await producer?.close()
    },
  }
}

/** Writes inside the source's transaction; what fails there undoes all of it, so only records that can never be written fail alone. */
function transactionWriter(config: Config, context: NodeContext): SinkWriter {
  const rounds = sharedRounds(context)
  const { compression, requestsMax, batchBytesMax, recordBytesMax, deliveryMsMax } = config
  rounds.wish({ compression, requestsMax, batchBytesMax, recordBytesMax, deliveryMsMax })
  const fill = drafter(config, context)
  return {
    async write(messages, signal, scopeOf) {
      const failures: WriteFailure[] = []
      await rounds.write(async (producer) => {
        const draft = producer.draft()
        await fill(producer, draft, messages, scopeOf, signal, failures)
        return draft
      }, signal)
      return failures
    },
    close: async () => undefined,
  }
}

function producerOptions(config: Config, context: NodeContext): ProducerOptions {
  const { acks, idempotent, compression, requestsMax, batchBytesMax, recordBytesMax, deliveryMsMax } = config
  return {
    ...connectionOf(config, context),
    acks,
    idempotent,
    compression,
    requestsMax,
    batchBytesMax,
    recordBytesMax,
    deliveryMsMax,
    transaction: null,
  }
}

/**
 * Puts messages into a draft. Answers which message each record is, or null where they are the same; those that cannot be
 * records are added to `failures`.
 */
type Fill = (
  producer: Producer,
  draft: Draft,
  messages: readonly Message[],
  scopeOf: (index: number) => Scope,
  signal: AbortSignal,
  failures: WriteFailure[],
) => Promise<readonly number[] | null>

function drafter(config: Config, context: NodeContext): Fill {
  const topicOf = context.reader(config.topic)
  const fixedTopic = config.topic.ir === null ? config.topic.constant : null
  const add = recordWriter(config, context)
  // Where no expression reads the execution, all messages of a write may be read with the first one's.
  const expressions = [config.topic, config.key, config.value, config.partition, ...Object.values(config.headers)]
  const readsScope = expressions.some((each) => each !== undefined && readsBatch(each))
  return async (producer, draft, messages, scopeOf, signal, failures) => {
    if (messages.length === 0) return null
    const first = scopeOf(0)
    const topics: string[] = []
    if (fixedTopic !== null) await producer.prepare(fixedTopic, signal)
    else {
      messages.forEach((each, index) => {
        topics.push(String(topicOf(each, readsScope ? scopeOf(index) : first)))
      })
      // A topic that is not to be had fails its own messages when they are added.
      for (const topic of new Set(topics)) await producer.prepare(topic, signal).catch(() => undefined)
    }
    let indexes: number[] | null = null
    for (let i = 0; i < messages.length; i++) {
      const message = messages[i]
      if (message === undefined) continue
      try {
        add(draft, fixedTopic ?? topics[i] ?? '', message, readsScope ? scopeOf(i) : first)
        indexes?.push(i)
      } catch (thrown) {
        // Up to here, records and messages had the same numbers.
        indexes ??= Array.from({ length: draft.count }, (_, index) => index)
        failures.push({ index: i, failure: failureOf(thrown, context.node) })
      }
    }
    return indexes
  }
}
