import type { API } from '@platformatic/kafka'
import { findCoordinatorV2, metadataV8, protocolErrorsCodesById } from '@platformatic/kafka'
import type { NodeError } from '../../../../core/flow/failure.ts'
import type { ConnectionOptions } from '../../driver.ts'
import { brokerError, closed, unreachable } from '../../kafka-errors.ts'
import { placeOf } from '../connection-settings.ts'
import { answerOf, nodeErrorOf } from '../platformatic-errors.ts'
import type { Place } from './links.ts'
import { Links } from './links.ts'
import type { RecordApi } from './record-wire.ts'

/** What is known of a topic: the broker that leads each partition, -1 where none does at the moment. */
export interface Topic {
  readonly leaders: readonly number[]
  readonly loadedAtMs: number
}

/** Which connection a request goes by, and how long an answer may take there. */
export interface Use {
  readonly name: string
  readonly requestMsMax?: number
}

type MetadataResponse = ReturnType<typeof metadataV8.parseResponse>

interface Refreshing {
  readonly topics: ReadonlySet<string>
  readonly done: Promise<void>
}

const metadataUse: Use = { name: 'metadata' }
/** A broker that has not answered after so long may stand still: then others are asked as well. */
const lateMs = 2_000
const coordinatorTypes = { group: 0, transaction: 1 } as const

/**
 * The brokers of a cluster and what they lead, learnt from those that are known and learnt anew when it proves wrong.
 * Versions of requests are those of Kafka 2.5, the first with fenced offsets in transactions; later brokers answer them too.
 */
export class Cluster {
  readonly options: ConnectionOptions
  readonly #links: Links
  readonly #bootstrap: readonly Place[]
  #brokers = new Map<number, Place>()
  readonly #topics = new Map<string, Topic>()
  readonly #coordinators = new Map<string, number>()
  #controller = -1
  #refreshing: Refreshing | null = null
  #closed = false

  constructor(options: ConnectionOptions) {
    this.options = options
    this.#links = new Links(options)
    this.#bootstrap = options.brokers.map(placeOf)
  }

  /** The broker that changes topics. */
  get controller(): number {
    return this.#controller
  }

  topic(name: string): Topic | null {
    return this.#topics.get(name) ?? null
  }

  /** The broker that leads a partition, or -1. */
  leader(topic: string, partition: number): number {
    return this.#topics.get(topic)?.leaders[partition] ?? -1
  }

  /** Learns who the brokers are. Rejects with `kafka.unreachable`, `kafka.timeout` or `kafka.not-authenticated`. */
  connect(): Promise<void> {
    return this.#load([], 'connecting')
  }

  /** Learns about topics, all that are known included. One that does not exist is forgotten. Calls at the same time share a request. */
  async refresh(topics: readonly string[] = []): Promise<void> {
    let refreshing = this.#refreshing
    while (refreshing !== null && !topics.every((each) => refreshing?.topics.has(each))) {
      await refreshing.done.catch(() => undefined)
      refreshing = this.#refreshing
    }
    await (refreshing ?? this.#begin(topics)).done
  }

  #begin(topics: readonly string[]): Refreshing {
    const wanted = new Set([...this.#topics.keys(), ...topics])
    const doing = `asking about ${topics.length === 1 ? `topic ${topics[0]}` : 'topics'}`
    const done = this.#load([...wanted], doing).finally(() => {
      this.#refreshing = null
    })
    this.#refreshing = { topics: wanted, done }
    return this.#refreshing
  }

  /** What is known of a topic, learnt if it must be. Rejects with `kafka.unknown-topic`. */
  async know(topic: string, ageMsMax: number): Promise<Topic> {
    const known = this.#topics.get(topic)
    if (known !== undefined && performance.now() - known.loadedAtMs < ageMsMax) return known
    await this.refresh([topic])
    const learnt = this.#topics.get(topic)
    if (learnt === undefined) throw brokerError('UNKNOWN_TOPIC_OR_PARTITION', `looking for topic ${topic}`)
    return learnt
  }

  /** Asks a broker. Rejects with what the client library throws, or with `kafka.unreachable` for a broker that nobody knows. */
  async ask<A extends unknown[], R>(node: number, use: Use, api: API<A, R>, ...request: A): Promise<R> {
    const place = this.#placeOf(node)
    const connection = await this.#links.get(place, use.name, use.requestMsMax)
    return this.#watched(node, place, api.async(connection, ...request))
  }

  /** The same for a request that carries records. */
  async askForRecords<Q, A>(node: number, use: Use, api: RecordApi<Q, A>, request: Q): Promise<A> {
    const place = this.#placeOf(node)
    const wire = await this.#links.wire(place, use.name, use.requestMsMax)
    return this.#watched(node, place, wire.ask(api, request, use.requestMsMax ?? this.options.requestMsMax))
  }

  /** Asks the brokers that are known and those named in the options, one after the other and, where one is late, at the same time. */
  askAny<A extends unknown[], R>(api: API<A, R>, ...request: A): Promise<R> {
    const places = [...this.#brokers.values(), ...this.#bootstrap]
    const { promise, resolve, reject } = Promise.withResolvers<R>()
    const timers = new Set<NodeJS.Timeout>()
    let failure: unknown = null
    let isOver = false
    let open = 0
    const end = (settle: () => void): void => {
      isOver = true
      for (const timer of timers) clearTimeout(timer)
      settle()
    }
    const askNext = (): void => {
      const place = places.shift()
      if (isOver) return
      if (place === undefined) {
        if (open === 0) end(() => reject(failure ?? unreachable('connecting', this.options.brokers)))
        return
      }
      open += 1
      const late = setTimeout(askNext, lateMs)
      timers.add(late)
      this.#askAt(place, api, request).then(
        (answer) => end(() => resolve(answer)),
        (thrown: unknown) => {
          open -= 1
          failure ??= thrown
          if (this.#isDecisive(thrown)) return end(() => reject(thrown))
          clearTimeout(late)
          askNext()
        },
      )
    }
    askNext()
    return promise
  }

  async #askAt<A extends unknown[], R>(place: Place, api: API<A, R>, request: A): Promise<R> {
    return api.async(await this.#links.get(place, metadataUse.name), ...request)
  }

  /** A broker that knows us and shuts us out speaks for all, as does one that has answered. */
  #isDecisive(thrown: unknown): boolean {
    return (
      answerOf(thrown) !== undefined ||
      nodeErrorOf(thrown, 'connecting', this.options).code === 'kafka.not-authenticated'
    )
  }

  #placeOf(node: number): Place {
    const place = this.#brokers.get(node)
    if (place === undefined) throw unreachable(`asking broker ${node}`, this.options.brokers)
    return place
  }

  /** While an answer is late, looks whether the cluster still counts the broker: a request to one that stands still would wait its whole time. */
  async #watched<R>(node: number, place: Place, asking: Promise<R>): Promise<R> {
    const timer = setInterval(() => void this.#doubt(node, place), lateMs)
    try {
      return await asking
    } finally {
      clearInterval(timer)
    }
  }

  async #doubt(node: number, place: Place): Promise<void> {
    await this.refresh().catch(() => undefined)
    if (!this.#closed && !this.#brokers.has(node)) this.#links.drop(place)
  }

  /** The broker that keeps a group's offsets or a transaction's state. */
  async coordinator(type: keyof typeof coordinatorTypes, key: string): Promise<number> {
    const name = `${type}/${key}`
    const known = this.#coordinators.get(name)
    if (known !== undefined && this.#brokers.has(known)) return known
    const { coordinators } = await this.askAny(findCoordinatorV2.api, coordinatorTypes[type], [key])
    const found = coordinators[0]
    if (found === undefined) throw brokerError('COORDINATOR_NOT_AVAILABLE', `looking for the coordinator of ${key}`)
    this.#brokers.set(found.nodeId, { host: found.host, port: found.port })
    this.#coordinators.set(name, found.nodeId)
    return found.nodeId
  }

  forgetCoordinators(): void {
    this.#coordinators.clear()
  }

  forgetCoordinator(type: keyof typeof coordinatorTypes, key: string): void {
    this.#coordinators.delete(`${type}/${key}`)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#links.close()
  }

  async #load(topics: readonly string[], doing: string): Promise<void> {
    if (this.#closed) throw closed('client')
    const answer = await this.#metadata(topics, doing)
    this.#brokers = new Map(answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]))
    this.#controller = answer.controllerId
    const loadedAtMs = performance.now()
    for (const { name, errorCode, partitions } of answer.topics) {
      const error = protocolErrorsCodesById[errorCode] ?? 'UNKNOWN'
      if (errorCode === 0 || partitions.length > 0) {
        const leaders: number[] = new Array(partitions.length).fill(-1)
        for (const each of partitions) leaders[each.partitionIndex] = each.leaderId
        this.#topics.set(name, { leaders, loadedAtMs })
      } else if (error === 'UNKNOWN_TOPIC_OR_PARTITION') this.#topics.delete(name)
      // One that is new has no leaders for a moment; it stays as it was known.
      else if (error !== 'LEADER_NOT_AVAILABLE') throw brokerError(error, `asking about topic ${name}`)
    }
  }

  /** The library throws for a part that failed, with the whole answer beside it; of the parts some are always of use. */
  async #metadata(topics: readonly string[], doing: string): Promise<MetadataResponse> {
    try {
      return await this.askAny(metadataV8.api, [...topics], false)
    } catch (thrown) {
      const answer = answerOf(thrown)
      if (isMetadata(answer)) return answer
      throw nodeErrorOf(thrown, doing, this.options)
    }
  }
}

function isMetadata(answer: unknown): answer is MetadataResponse {
  return typeof answer === 'object' && answer !== null && 'brokers' in answer && 'topics' in answer
}

/** Whether an error means that what we know of leaders or coordinators is no longer so. */
export function isOutdated(error: NodeError): boolean {
  return error.code === 'kafka.unavailable' || error.code === 'kafka.unreachable' || error.code === 'kafka.timeout'
}
