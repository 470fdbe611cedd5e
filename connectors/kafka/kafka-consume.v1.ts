import { z } from 'zod'
import type { TriggerContext } from '../../core/define.ts'
import { define, startExpression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { connectionFields, connectionOf, transactionsOf } from './connection.ts'
import { createTopics } from './create-topics.ts'
import { DeadLetterShelf } from './dead-letter-shelf.ts'
import { DeadLetterTopic } from './dead-letter-topic.ts'
import type { Decoder } from './decode.ts'
import { plainDecoder, plainForms } from './decode.ts'
import type { ConnectionOptions, ConsumerOptions, ProducerOptions, StartAt } from './driver.ts'
import { KafkaSource } from './kafka-source.ts'
import { openDriver } from './open-driver.ts'
import { sharedRounds } from './shared-rounds.ts'

const schema = z.strictObject({
  ...connectionFields,
  topic: startExpression(z.string().min(1).max(10_000)).describe(
    'What is read; several topics are separated by commas.',
  ),
  group: startExpression(z.string().min(1).max(249))
    .optional()
    .describe('The consumer group, whose members share the partitions and whose positions are kept.'),
  partitions: z
    .array(z.int().min(0).max(100_000))
    .min(1)
    .max(10_000)
    .optional()
    .describe('Instead of a group: these partitions of the topic, and no positions are kept.'),
  from: z
    .union([
      z.enum(['earliest', 'latest']),
      z.strictObject({
        time: z
          .union([z.iso.datetime({ offset: true }), z.int().min(0)])
          .describe('At the first record that is not older.'),
      }),
      z.strictObject({
        offset: z.int().min(0).max(Number.MAX_SAFE_INTEGER).describe('At this record of each partition.'),
      }),
    ])
    .default('earliest')
    .describe(
      'Where reading begins while the group has no position: the first record, the end, a time (ISO or ms), or an offset.',
    ),
  decode: z
    .enum([...plainForms, 'avro'])
    .default('json')
    .describe(
      'How the value is read; `raw` passes its bytes on untouched. What cannot be read leaves by the error port.',
    ),
  schemaRegistry: z
    .strictObject({
      url: startExpression(z.string().min(1).max(2_000)).describe('Its address, such as `http://127.0.0.1:8081`.'),
      username: startExpression(z.string().min(1).max(256)).optional().describe('Who signs in, where it asks.'),
      password: startExpression(z.string().min(1).max(1_024))
        .optional()
        .describe('Its password; write `{{ $env.NAME }}`, so that the document holds no secret.'),
      requestMsMax: z.int().min(100).max(120_000).default(10_000).describe('How long it may take to answer.'),
      awayMsMax: z
        .int()
        .min(0)
        .max(3_600_000)
        .default(60_000)
        .describe('How long it is asked again while it is away; then the execution fails.'),
      schemasMax: z.int().min(1).max(100_000).default(1_000).describe('Schemas that are kept.'),
    })
    .optional()
    .describe('With `decode: avro`: where the schemas of values in Confluent’s framing are.'),
  key: z.enum(['text', 'bytes', 'none']).default('text').describe('How `$key` is read; `none` saves the time.'),
  isolation: z
    .enum(['read-committed', 'read-uncommitted'])
    .default('read-committed')
    .describe('Whether records of open and undone transactions are left out.'),
  deadLetterTopic: startExpression(z.string().min(1).max(249))
    .optional()
    .describe('Takes records that fail and that no error port takes, as they came, with the cause in headers.'),
  until: z
    .enum(['stopped', 'caught-up'])
    .default('stopped')
    .describe('`caught-up` ends the execution when there is nothing more to read.'),
  recordBytesMax: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .default(10_000_000)
    .describe('A larger value is not decoded: it fails.'),
  commitMs: z.int().min(10).max(600_000).default(1_000).describe('How often positions are committed.'),
  transactionMs: z
    .int()
    .min(10)
    .max(60_000)
    .default(200)
    .describe('With `delivery: exactly-once`: how long a transaction collects.'),
  transactionId: startExpression(z.string().min(1).max(200))
    .optional()
    .describe(
      'With `delivery: exactly-once`: names this process among those that run the workflow; group and lane when left out.',
    ),
  instance: startExpression(z.string().min(1).max(200))
    .optional()
    .describe('Makes the member static: a restart within sessionMsMax moves no partition.'),
  sessionMsMax: z
    .int()
    .min(1_000)
    .max(3_600_000)
    .default(30_000)
    .describe('A member that is silent for longer loses its partitions.'),
  heartbeatMs: z.int().min(100).max(600_000).default(3_000).describe('How often a member says that it is there.'),
  rebalanceMsMax: z
    .int()
    .min(1_000)
    .max(3_600_000)
    .default(60_000)
    .describe('How long members may take to hand partitions over.'),
  fetchWaitMsMax: z.int().min(1).max(60_000).default(500).describe('How long a broker may wait for something to come.'),
  fetchBytesMax: z
    .int()
    .min(1_024)
    .max(1_000_000_000)
    .default(1_048_576)
    .describe('What one fetch of one partition brings at most.'),
  prefetchBytesMax: z
    .int()
    .min(1_024)
    .max(4_000_000_000)
    .default(16_777_216)
    .describe('What may be fetched ahead of the flow, all partitions together.'),
})

type Config = z.infer<typeof schema>

/** Records of Kafka topics as a stream. */
export const kafkaConsumeV1 = define({
  name: 'kafka.consume',
  version: 1,
  summary:
    'Reads records of Kafka topics, in a consumer group or from chosen partitions, and commits what has been delivered.',
  notes:
    '`$key` is the record’s key, `$meta` is `{ topic, partition, offset, timestamp, headers }`, and a message’s time is the record’s. ' +
    'Positions follow delivery: what is committed is the prefix of each partition that has reached its sinks, so a crash repeats records and loses none. ' +
    'A record that cannot be decoded leaves by the `error` port as `{ error, value }` and disturbs no other. ' +
    'Tombstones have the value `null`. Read on: [Kafka](connectors/kafka.md), [delivery](delivery.md).',
  inputs: [],
  outputs: ['out', 'error'],
  freshValues: true,
  outside: true,
  partitioned: true,
  transactions: (config) =>
    config.group === undefined
      ? { message: 'it has no group, whose positions a transaction could hold', remedy: 'Name a `group`.' }
      : transactionsOf(config),
  config: schema,
  deadLetters: async (config, context) => {
    if (config.deadLetterTopic === undefined) return null
    const connection = connectionOf(config, context)
    return new DeadLetterShelf({
      driver: await openDriver(config.driver),
      connection,
      topic: context.value(config.deadLetterTopic),
      group: `millrace-dead-letter.${context.workflow.id}.${context.node}`.slice(0, 249),
      producer: plainProducer(connection),
    })
  },
  check: (config) => [
    ...((config.group === undefined) === (config.partitions === undefined)
      ? [
          {
            field: 'group',
            message: 'a consumer has either a group or partitions of its own',
            remedy: 'Name a `group`; or leave it out and list `partitions`.',
          },
        ]
      : []),
    ...((config.decode === 'avro') !== (config.schemaRegistry !== undefined)
      ? [
          {
            field: 'schemaRegistry',
            message: 'a schema registry is what `decode: avro` reads with',
            remedy: 'Use both, or neither.',
          },
        ]
      : []),
    ...(config.heartbeatMs * 2 > config.sessionMsMax
      ? [
          {
            field: 'heartbeatMs',
            message: `${config.heartbeatMs} ms is too seldom for a session of ${config.sessionMsMax} ms`,
            remedy: 'Keep it below half of sessionMsMax; a third or less is usual.',
          },
        ]
      : []),
  ],
  examples: [
    {
      title: 'Orders, in a group',
      config: { brokers: ['127.0.0.1:9092'], topic: 'orders', group: 'big-orders' },
      input: [],
      output: null,
    },
    {
      title: 'Yesterday again, raw, with a place for what fails',
      config: {
        brokers: ['{{ $env.KAFKA }}'],
        topic: 'orders,payments',
        group: 'replay',
        from: { time: '2026-01-01T00:00:00Z' },
        decode: 'raw',
        deadLetterTopic: 'orders.dead',
      },
      input: [],
      output: null,
    },
  ],
  face: {
    kind: 'stream-trigger',
    pausable: true,
    open: (config, context) => open(config, context),
  },
})

async function open(config: Config, context: TriggerContext): Promise<KafkaSource> {
  const connection = connectionOf(config, context)
  const driver = await openDriver(config.driver)
  const topics = topicsOf(config, context)
  const deadLetterTopic = config.deadLetterTopic === undefined ? null : context.value(config.deadLetterTopic)
  if (config.createTopic !== undefined)
    await createTopics(
      driver,
      connection,
      [...topics, ...(deadLetterTopic === null ? [] : [deadLetterTopic])],
      config.createTopic,
    )
  const rounds = context.delivery === 'exactly-once' ? sharedRounds(context, config.transactionMs) : null
  await rounds?.open((wishes) =>
    driver.openProducer({ ...transactionProducer(connection, config, context), ...wishes }),
  )
  const deadLetters =
    deadLetterTopic === null
      ? null
      : new DeadLetterTopic({
          topic: deadLetterTopic,
          workflow: context.workflow.name,
          now: () => context.host.clock.now(),
          openProducer: () => driver.openProducer(plainProducer(connection)),
          rounds,
        })
  const source = new KafkaSource(
    context,
    {
      node: context.node,
      decoder: await decoderOf(config, context),
      key: config.key,
      recordBytesMax: Math.min(config.recordBytesMax, context.gate.limit.bytes),
      commitMs: config.commitMs,
      revokeMsMax: Math.floor(config.rebalanceMsMax / 3),
      untilCaughtUp: config.until === 'caught-up',
    },
    deadLetters,
    rounds,
  )
  try {
    source.start(await driver.openConsumer(consumerOptions(connection, config, topics, context), source))
    return source
  } catch (thrown) {
    await source.close()
    throw thrown
  }
}

/** What reads Avro is loaded only by those who read Avro. */
async function decoderOf(config: Config, context: TriggerContext): Promise<Decoder> {
  const { decode, schemaRegistry } = config
  if (decode !== 'avro') return plainDecoder(decode)
  if (schemaRegistry === undefined) throw new NodeError('kafka.no-registry', `${context.node} names no schema registry`)
  const { AvroDecoder } = await import('./avro-decoder.ts')
  const { SchemaRegistry } = await import('./schema-registry.ts')
  const { url, username, password, requestMsMax, awayMsMax, schemasMax } = schemaRegistry
  const user =
    username === undefined
      ? null
      : { username: context.value(username), password: password === undefined ? '' : context.value(password) }
  const registry = new SchemaRegistry({ url: context.value(url), user, requestMsMax, schemasMax })
  return new AvroDecoder(registry, awayMsMax, schemasMax)
}

function topicsOf(config: Config, context: TriggerContext): readonly string[] {
  const topics = String(context.value(config.topic) ?? '')
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
  if (topics.length === 0)
    throw new NodeError(
      'kafka.no-topic',
      `${context.node}: topic is empty; is the variable set, and allowed by --allow-env?`,
    )
  return topics
}

function consumerOptions(
  connection: ConnectionOptions,
  config: Config,
  topics: readonly string[],
  context: TriggerContext,
): ConsumerOptions {
  const { sessionMsMax, heartbeatMs, rebalanceMsMax, fetchWaitMsMax, prefetchBytesMax } = config
  const instance = config.instance === undefined ? null : context.value(config.instance)
  const { lane } = context.host
  return {
    ...connection,
    group:
      config.group === undefined
        ? null
        : {
            id: context.value(config.group),
            instanceId: instance === null ? null : lane === undefined ? instance : `${instance}-${lane.index}`,
            topics,
          },
    assigned: topics
      .flatMap((topic) => (config.partitions ?? []).map((partition) => ({ topic, partition })))
      .filter(
        // Lanes without a group share the list among themselves.
        (_, index) => lane === undefined || index % lane.count === lane.index,
      ),
    from: startAt(config.from),
    isolation: config.isolation,
    sessionMsMax,
    heartbeatMs,
    rebalanceMsMax,
    fetchWaitMsMax,
    partitionFetchBytesMax: config.fetchBytesMax,
    prefetchBytesMax,
  }
}

function startAt(from: Config['from']): StartAt {
  if (from === 'earliest' || from === 'latest') return { kind: from }
  if ('offset' in from) return { kind: 'offset', offset: from.offset }
  return { kind: 'time', timeMs: typeof from.time === 'number' ? from.time : Date.parse(from.time) }
}

function plainProducer(connection: ConnectionOptions): ProducerOptions {
  return {
    ...connection,
    acks: 'all',
    idempotent: true,
    compression: 'none',
    requestsMax: 5,
    batchBytesMax: 1_000_000,
    recordBytesMax: 1_000_000,
    deliveryMsMax: 30_000,
    transaction: null,
  }
}

function transactionProducer(connection: ConnectionOptions, config: Config, context: TriggerContext): ProducerOptions {
  const lane = context.host.lane?.index ?? 0
  const id =
    config.transactionId === undefined
      ? `${config.group === undefined ? '' : context.value(config.group)}.${context.workflow.id}`
      : context.value(config.transactionId)
  return {
    ...plainProducer(connection),
    transaction: { id: `${id}.${lane}`, msMax: Math.max(10_000, config.transactionMs * 10) },
  }
}
