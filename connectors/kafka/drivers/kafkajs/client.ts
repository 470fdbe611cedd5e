import type { SASLOptions } from 'kafkajs'
import kafkajs from 'kafkajs'
import { NodeError } from '../../../../core/flow/failure.ts'
import type { Codec } from '../../codecs.ts'
import { compress, decompress } from '../../codecs.ts'
import type { ConnectionOptions, SaslOptions } from '../../driver.ts'
import { brokerError, timedOut, unreachable } from '../../kafka-errors.ts'

/** A kafkajs client that keeps silent: what it has to say reaches us as errors and events. */
export function kafkaClient(options: ConnectionOptions, retries: number): kafkajs.Kafka {
  const { tls } = options
  return new kafkajs.Kafka({
    brokers: [...options.brokers],
    clientId: options.clientId,
    connectionTimeout: options.connectMsMax,
    authenticationTimeout: options.connectMsMax,
    requestTimeout: options.requestMsMax,
    retry: { initialRetryTime: 100, maxRetryTime: 2_000, retries },
    logLevel: kafkajs.logLevel.NOTHING,
    ssl:
      tls === null
        ? false
        : {
            ca: tls.ca ?? undefined,
            cert: tls.cert ?? undefined,
            key: tls.key ?? undefined,
            rejectUnauthorized: tls.verify,
          },
    sasl: options.sasl === null ? undefined : saslOptions(options.sasl),
  })
}

function saslOptions({ mechanism, username, password }: SaslOptions): SASLOptions {
  if (mechanism === 'plain') return { mechanism, username, password }
  return mechanism === 'scram-sha-256' ? { mechanism, username, password } : { mechanism, username, password }
}

/** Uncompressed bytes of one batch, at most: brokers refuse batches over a megabyte, which seldom grows twentyfold. */
const batchBytesMax = 256 * 1024 * 1024

const numbers: Readonly<Record<Codec, kafkajs.CompressionTypes>> = {
  none: kafkajs.CompressionTypes.None,
  gzip: kafkajs.CompressionTypes.GZIP,
  snappy: kafkajs.CompressionTypes.Snappy,
  lz4: kafkajs.CompressionTypes.LZ4,
  zstd: kafkajs.CompressionTypes.ZSTD,
}

export function compressionType(codec: Codec): kafkajs.CompressionTypes {
  return numbers[codec]
}

const codec = (name: Codec) => () => ({
  compress: async (encoder: { readonly buffer: Buffer }) => compress(name, encoder.buffer),
  decompress: async (bytes: Buffer) => decompress(name, bytes, batchBytesMax),
})
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.Snappy] = codec('snappy')
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.LZ4] = codec('lz4')
kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = codec('zstd')

/** What kafkajs threw, as an error of ours. `doing` says what was asked of whom. */
export function nodeError(thrown: unknown, doing: string, options: ConnectionOptions): NodeError {
  if (thrown instanceof NodeError) return thrown
  const type = protocolName(thrown)
  if (type !== null) return brokerError(type, doing, thrown)
  const cause = causeOf(thrown)
  const name = cause instanceof Error ? cause.name : ''
  if (name === 'KafkaJSSASLAuthenticationError') {
    return brokerError('SASL_AUTHENTICATION_FAILED', doing, thrown)
  }
  if (name === 'KafkaJSRequestTimeoutError' || name === 'KafkaJSTimeout') {
    return timedOut(doing, options.requestMsMax, thrown)
  }
  if (name === 'KafkaJSGroupCoordinatorNotFound') return brokerError('COORDINATOR_NOT_AVAILABLE', doing, thrown)
  if (connectionErrors.has(name) || (cause instanceof Error && cause.message === 'Broker not connected'))
    return unreachable(doing, options.brokers, cause)
  const text = cause instanceof Error ? cause.message : String(thrown)
  return new NodeError('kafka.refused', `${doing}: ${text.slice(0, 500)}`, { cause: thrown })
}

const connectionErrors: ReadonlySet<string> = new Set([
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSBrokerNotFound',
  'KafkaJSNoBrokerAvailableError',
])

/** The protocol's name of an error, where a broker gave one; kafkajs wraps errors in errors. */
export function protocolName(thrown: unknown): string | null {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if ('type' in error && typeof error.type === 'string') return error.type
    const first = 'errors' in error && Array.isArray(error.errors) ? error.errors[0] : null
    if (first instanceof Error && 'type' in first && typeof first.type === 'string') return first.type
  }
  return null
}

function causeOf(thrown: unknown): unknown {
  let error = thrown
  while (error instanceof Error && error.cause instanceof Error) error = error.cause
  return error
}
