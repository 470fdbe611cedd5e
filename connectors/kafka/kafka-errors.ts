import { NodeError } from '../../core/flow/failure.ts'

/** What a broker's answer means here: a code of ours, whether the same may work later, and what to do. */
interface Meaning {
  readonly code: string
  readonly retriable: boolean
  readonly remedy: string
}

const moving: Meaning = {
  code: 'kafka.rebalancing',
  retriable: true,
  remedy: 'the group is being shared out anew; it goes on by itself',
}
const busy: Meaning = { code: 'kafka.unavailable', retriable: true, remedy: 'it is tried again' }
const fenced: Meaning = {
  code: 'kafka.fenced',
  retriable: false,
  remedy: 'another one with the same id has taken over; give each its own',
}
const notAuthorised: Meaning = {
  code: 'kafka.not-authorised',
  retriable: false,
  remedy: 'grant the user the right, or use another user',
}
const unknownTopic: Meaning = {
  code: 'kafka.unknown-topic',
  retriable: false,
  remedy: 'create the topic, or correct its name',
}
const tooLarge: Meaning = {
  code: 'kafka.too-large',
  retriable: false,
  remedy: 'send less at once, or raise max.message.bytes of the topic',
}
const corrupt: Meaning = { code: 'kafka.corrupt', retriable: true, remedy: 'it is tried again' }
const refused: Meaning = { code: 'kafka.refused', retriable: false, remedy: 'see the name in the list of Kafka errors' }

/** By the protocol's names, and by the older ones that kafkajs uses. https://kafka.apache.org/protocol#protocol_error_codes */
const meanings: Readonly<Record<string, Meaning>> = {
  REBALANCE_IN_PROGRESS: moving,
  ILLEGAL_GENERATION: moving,
  UNKNOWN_MEMBER_ID: moving,
  STALE_MEMBER_EPOCH: moving,
  FENCED_MEMBER_EPOCH: moving,
  MEMBER_ID_REQUIRED: moving,
  FENCED_INSTANCE_ID: fenced,
  PRODUCER_FENCED: fenced,
  INVALID_PRODUCER_EPOCH: fenced,
  TRANSACTION_COORDINATOR_FENCED: fenced,
  TOPIC_AUTHORIZATION_FAILED: notAuthorised,
  GROUP_AUTHORIZATION_FAILED: notAuthorised,
  CLUSTER_AUTHORIZATION_FAILED: notAuthorised,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: notAuthorised,
  SASL_AUTHENTICATION_FAILED: {
    code: 'kafka.not-authenticated',
    retriable: false,
    remedy: 'check user name and password, and the mechanism',
  },
  UNSUPPORTED_SASL_MECHANISM: {
    code: 'kafka.not-authenticated',
    retriable: false,
    remedy: 'the broker offers no such mechanism; choose another',
  },
  UNKNOWN_TOPIC_OR_PARTITION: unknownTopic,
  UNKNOWN_TOPIC_ID: unknownTopic,
  INVALID_TOPIC_EXCEPTION: {
    code: 'kafka.invalid-topic',
    retriable: false,
    remedy: 'use letters, digits, dots, underscores and hyphens, 249 at most',
  },
  MESSAGE_TOO_LARGE: tooLarge,
  RECORD_LIST_TOO_LARGE: tooLarge,
  UNSUPPORTED_VERSION: {
    code: 'kafka.too-old',
    retriable: false,
    remedy: 'it needs Kafka 2.5 or newer; or choose driver kafkajs, which speaks to older ones',
  },
  OFFSET_OUT_OF_RANGE: {
    code: 'kafka.offset-out-of-range',
    retriable: false,
    remedy: 'what stood there is deleted, or was never written; seek to an offset that is there',
  },
  CORRUPT_MESSAGE: corrupt,
  LEADER_NOT_AVAILABLE: busy,
  NOT_LEADER_FOR_PARTITION: busy,
  NOT_LEADER_OR_FOLLOWER: busy,
  FENCED_LEADER_EPOCH: busy,
  UNKNOWN_LEADER_EPOCH: busy,
  OFFSET_NOT_AVAILABLE: busy,
  REPLICA_NOT_AVAILABLE: busy,
  KAFKA_STORAGE_ERROR: busy,
  REQUEST_TIMED_OUT: busy,
  NETWORK_EXCEPTION: busy,
  NOT_ENOUGH_REPLICAS: busy,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: busy,
  COORDINATOR_LOAD_IN_PROGRESS: busy,
  GROUP_LOAD_IN_PROGRESS: busy,
  COORDINATOR_NOT_AVAILABLE: busy,
  GROUP_COORDINATOR_NOT_AVAILABLE: busy,
  NOT_COORDINATOR: busy,
  NOT_COORDINATOR_FOR_GROUP: busy,
  CONCURRENT_TRANSACTIONS: busy,
  UNSTABLE_OFFSET_COMMIT: busy,
  NOT_CONTROLLER: busy,
  THROTTLING_QUOTA_EXCEEDED: busy,
}

/**
 * The error for what a broker answered. `name` is the protocol's, e.g. `NOT_LEADER_OR_FOLLOWER`; `doing` says what was asked of whom,
 * e.g. `committing offsets of group g1`.
 */
export function brokerError(name: string, doing: string, cause?: unknown): NodeError {
  const { code, retriable, remedy } = meanings[name] ?? refused
  return new NodeError(code, `${doing}: the broker answered ${name}; ${remedy}`, { retriable, cause })
}

/** Whether a broker's answer by this name is one after which the same may be tried again. */
export function isRetriable(name: string): boolean {
  return meanings[name]?.retriable === true
}

/** No broker could be reached, or the one that was has gone. */
export function unreachable(doing: string, brokers: readonly string[], cause?: unknown): NodeError {
  const why = cause instanceof Error && cause.message !== '' ? ` (${cause.message.slice(0, 300)})` : ''
  const text = `${doing}: no broker answers at ${brokers.join(', ')}${why}; check addresses, TLS and network`
  return new NodeError('kafka.unreachable', text, { retriable: true, cause })
}

/** A broker was asked and did not answer in time. */
export function timedOut(doing: string, limitMs: number, cause?: unknown): NodeError {
  return new NodeError('kafka.timeout', `${doing}: no answer within ${limitMs} ms; it is tried again`, {
    retriable: true,
    cause,
  })
}

/** For what is asked of something that has been closed. */
export function closed(what: string): NodeError {
  return new NodeError('kafka.closed', `the ${what} is closed`)
}
