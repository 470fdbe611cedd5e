import type { TopicLimits } from './topics.ts'
import { defaultTopicLimits } from './topics.ts'

/** Every bound of the server. Times are milliseconds, sizes are bytes. */
export interface ServerLimits {
  readonly connectionsMax: number
  /** Requests under way at once, streams included; over it 503. */
  readonly requestsMax: number
  /** The same for one remote address; over it 429. */
  readonly requestsPerClientMax: number
  readonly headBytesMax: number
  /** For the request line and headers to arrive. */
  readonly headMsMax: number
  /** How long a connection without a request stays open: longer than proxies keep theirs, which else send into one that just closes. */
  readonly keepAliveMs: number
  /** How long a body may stand still while it arrives. */
  readonly bodyIdleMsMax: number
  /** For a handler to begin its answer. */
  readonly firstByteMsMax: number
  /** How long a reader of a streamed answer may take nothing at all. */
  readonly stallMsMax: number
  /** What one streamed answer may hold for a slow reader when its writer does not wait. */
  readonly replyBufferBytesMax: number
  readonly apiBodyBytesMax: number
  /** Temporary files of all uploads together. */
  readonly spoolBytesMax: number
  readonly socketsMax: number
  readonly subscriptionsPerSocketMax: number
  /** One frame from a client. */
  readonly frameBytesMax: number
  /** Above it nothing more is sent to a socket until it drains. */
  readonly socketBufferBytesMax: number
  readonly helloMsMax: number
  /** A WebSocket that has not answered a ping for so long is cut. */
  readonly heartbeatMs: number
  /** Readers that look at ports of workflows. */
  readonly tapsMax: number
  /** What each of them sees and has looked at in a second, and how much of a value, as JSON. */
  readonly tapPerSecondMax: number
  readonly tapExaminedPerSecondMax: number
  readonly tapValueCharsMax: number
  readonly executionsRunningMax: number
  readonly executionsKeptMax: number
  readonly closeMsMax: number
  readonly topics: TopicLimits
}

export const defaultLimits: ServerLimits = {
  connectionsMax: 10_000,
  requestsMax: 1_000,
  requestsPerClientMax: 500,
  headBytesMax: 16 * 1024,
  headMsMax: 10_000,
  keepAliveMs: 75_000,
  bodyIdleMsMax: 30_000,
  firstByteMsMax: 300_000,
  stallMsMax: 30_000,
  replyBufferBytesMax: 16 * 1024 * 1024,
  apiBodyBytesMax: 4 * 1024 * 1024,
  spoolBytesMax: 16 * 1024 * 1024 * 1024,
  socketsMax: 1_000,
  subscriptionsPerSocketMax: 100,
  frameBytesMax: 4 * 1024 * 1024,
  socketBufferBytesMax: 1024 * 1024,
  helloMsMax: 10_000,
  heartbeatMs: 20_000,
  tapsMax: 20,
  tapPerSecondMax: 200,
  tapExaminedPerSecondMax: 20_000,
  tapValueCharsMax: 8_192,
  executionsRunningMax: 1_000,
  executionsKeptMax: 200,
  closeMsMax: 10_000,
  topics: defaultTopicLimits,
}
