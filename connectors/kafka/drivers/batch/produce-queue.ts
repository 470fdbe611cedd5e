import { protocolErrorsCodesById } from '@platformatic/kafka'
import type { NodeError } from '../../../../core/flow/failure.ts'
import { failureOf } from '../../../../core/flow/failure.ts'
import { giveBack } from '../../../../core/flow/give-back.ts'
import type { ProducerOptions } from '../../driver.ts'
import { brokerError, isRetriable, timedOut } from '../../kafka-errors.ts'
import { nodeErrorOf } from '../platformatic-errors.ts'
import { stamp } from './batch-builder.ts'
import type { Cluster } from './cluster.ts'
import { halves, without } from './divide-batch.ts'
import type { Outgoing, Sending } from './out-partition.ts'
import { OutPartition, sequenceAfter } from './out-partition.ts'
import type { ProduceAnswer, ProducedBatch } from './produce-request.ts'
import { produceBatches } from './produce-request.ts'
import type { DraftedPartition } from './record-codec.ts'

/** Who we are to brokers that count our batches. */
export interface ProducerIdentity {
  readonly producerId: bigint
  readonly epoch: number
}

const nobody: ProducerIdentity = { producerId: -1n, epoch: -1 }

/** A broker remembers the last five batches of a producer and partition: more under way could not be told from repeated ones. */
const rememberedMax = 5
/** What one request carries at most, unless a batch alone is larger. */
const requestBytesMax = 8 * 1024 * 1024
const lookMs = 100

/**
 * Sends batches to the leaders of their partitions: one request takes one batch of each partition, several requests are under way to
 * each broker, and each partition keeps its order across failures, moves of its leader and repetitions.
 */
export class ProduceQueue {
  readonly #cluster: Cluster
  readonly #options: ProducerOptions
  /** Asks for a new identity; sequences begin anew with it. */
  readonly #identify: () => Promise<ProducerIdentity>
  readonly #underWayMax: number
  #identity: ProducerIdentity
  readonly #partitions = new Map<string, OutPartition>()
  /** Those with something pending. */
  readonly #active = new Set<OutPartition>()
  readonly #requests = new Map<number, number>()
  #isPlanned = false
  #isRefreshing = false
  /** Set while sequences must begin anew: nothing is sent, and it happens when nothing is under way. */
  #isResetting = false
  #isIdentifying = false
  #fatal: NodeError | null = null
  #timer: NodeJS.Timeout | null = null
  readonly #idleWatchers: (() => void)[] = []

  constructor(
    cluster: Cluster,
    options: ProducerOptions,
    identity: ProducerIdentity | null,
    identify: () => Promise<ProducerIdentity>,
  ) {
    this.#cluster = cluster
    this.#options = options
    this.#identity = identity ?? nobody
    this.#identify = identify
    // Without numbers only one batch of a partition at a time keeps the order.
    this.#underWayMax = identity === null ? 1 : Math.min(rememberedMax, options.requestsMax)
  }

  get identity(): ProducerIdentity {
    return this.#identity
  }

  add({ topic, partition, batches }: DraftedPartition, sending: Sending): void {
    const name = `${topic}/${partition}`
    let out = this.#partitions.get(name)
    if (out === undefined) this.#partitions.set(name, (out = new OutPartition(topic, partition)))
    for (const batch of batches) out.pending.push({ batch, sending, sequence: -1, isUnsure: false })
    this.#active.add(out)
    this.#plan()
  }

  /** Drops what nobody waits for and no broker has seen. */
  forget(sending: Sending): void {
    sending.isOver = true
    for (const partition of this.#active) {
      for (const out of [...partition.pending]) {
        if (out.sending === sending && out.sequence < 0) partition.remove(out)
      }
    }
    this.#notice()
  }

  /** Resolves when nothing is pending. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#idleWatchers.push(resolve)
      this.#notice()
    })
  }

  /** Begins sequences anew under another identity. To be called when idle. */
  become(identity: ProducerIdentity): void {
    this.#identity = identity
    for (const partition of this.#partitions.values()) partition.begin()
  }

  /** Fails what is pending and all that comes. */
  end(error: NodeError): void {
    this.#fatal ??= error
    for (const partition of this.#active) {
      for (const out of [...partition.pending]) this.#fail(partition, out, this.#fatal)
    }
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #plan(): void {
    if (this.#isPlanned) return
    this.#isPlanned = true
    queueMicrotask(() => {
      this.#isPlanned = false
      this.#pump()
    })
  }

  #pump(): void {
    if (this.#fatal !== null) return this.end(this.#fatal)
    this.#watch()
    if (this.#isResetting) return
    const nowMs = performance.now()
    const ready = new Map<number, OutPartition[]>()
    for (const partition of this.#active) {
      if (partition.next(this.#underWayMax, nowMs) === null) continue
      const leader = this.#cluster.leader(partition.topic, partition.partition)
      const ofLeader = ready.get(leader)
      if (ofLeader === undefined) ready.set(leader, [partition])
      else ofLeader.push(partition)
    }
    if (ready.delete(-1)) this.#refresh()
    for (const [leader, partitions] of ready) {
      while ((this.#requests.get(leader) ?? 0) < this.#options.requestsMax) {
        const taken = this.#take(partitions, nowMs)
        if (taken.length === 0) break
        this.#send(leader, taken)
      }
    }
  }

  /** One batch of each partition, as far as a request holds them. */
  #take(partitions: readonly OutPartition[], nowMs: number): readonly (readonly [OutPartition, Outgoing])[] {
    const taken: [OutPartition, Outgoing][] = []
    let bytes = 0
    for (const partition of partitions) {
      const out = partition.next(this.#underWayMax, nowMs)
      if (out === null || (bytes > 0 && bytes + out.batch.bytes.length > requestBytesMax)) continue
      bytes += out.batch.bytes.length
      partition.sent += 1
      partition.underWay += 1
      taken.push([partition, out])
    }
    return taken
  }

  #send(leader: number, taken: readonly (readonly [OutPartition, Outgoing])[]): void {
    const { acks, requestMsMax, transaction } = this.#options
    const topics = new Map<string, ProducedBatch[]>()
    for (const [partition, out] of taken) {
      this.#stamp(partition, out)
      const batch = { partition: partition.partition, bytes: out.batch.bytes }
      const ofTopic = topics.get(partition.topic)
      if (ofTopic === undefined) topics.set(partition.topic, [batch])
      else ofTopic.push(batch)
    }
    this.#requests.set(leader, (this.#requests.get(leader) ?? 0) + 1)
    const request = {
      transactionalId: transaction?.id ?? null,
      acks: acks === 'all' ? -1 : acks === 'leader' ? 1 : 0,
      timeoutMs: requestMsMax,
      topics,
    }
    // The broker itself gives up after the limit; its word for that is worth a little more time.
    const use = { name: 'produce', requestMsMax: requestMsMax + 1_000 }
    this.#cluster
      .askForRecords(leader, use, produceBatches, request)
      .then(
        (answers) => this.#answered(taken, acks === 'none' ? null : answers),
        (thrown: unknown) => this.#broken(taken, thrown),
      )
      .finally(() => {
        this.#requests.set(leader, (this.#requests.get(leader) ?? 1) - 1)
        this.#plan()
      })
  }

  #stamp(partition: OutPartition, out: Outgoing): void {
    const { producerId, epoch } = this.#identity
    if (producerId < 0n) {
      if (out.sequence < 0) stamp(out.batch, producerId, epoch, -1)
      out.sequence = 0
      return
    }
    if (out.sequence >= 0) return
    out.sequence = partition.nextSequence
    partition.nextSequence = sequenceAfter(out.sequence, out.batch.count)
    stamp(out.batch, producerId, epoch, out.sequence)
  }

  #answered(taken: readonly (readonly [OutPartition, Outgoing])[], answers: readonly ProduceAnswer[] | null): void {
    for (const [partition, out] of taken) {
      partition.underWay -= 1
      const answer = answers?.find((each) => each.partition === partition.partition && each.topic === partition.topic)
      if (answers === null || answer?.errorCode === 0) this.#succeed(partition, out)
      else if (answer === undefined) this.#retry(partition, out, 'NETWORK_EXCEPTION')
      else this.#refused(partition, out, answer)
      this.#settle(partition)
    }
  }

  /** The connection broke, or there is none: perhaps the batches have arrived, perhaps not. */
  #broken(taken: readonly (readonly [OutPartition, Outgoing])[], thrown: unknown): void {
    const error = nodeErrorOf(thrown, 'sending', this.#cluster.options)
    for (const [partition, out] of taken) {
      partition.underWay -= 1
      out.isUnsure = true
      if (error.retriable) this.#retry(partition, out, 'NETWORK_EXCEPTION')
      else this.#fail(partition, out, error)
      this.#settle(partition)
    }
  }

  #refused(partition: OutPartition, out: Outgoing, answer: ProduceAnswer): void {
    const name = protocolErrorsCodesById[answer.errorCode] ?? 'UNKNOWN_SERVER_ERROR'
    if (name === 'DUPLICATE_SEQUENCE_NUMBER') return this.#succeed(partition, out)
    if (isRetriable(name) || name === 'UNKNOWN_TOPIC_OR_PARTITION') return this.#retry(partition, out, name)
    if (outOfStep.has(name) && this.#isCounted) {
      // Behind a batch that failed this is what had to come; of the first, the broker and we no longer agree.
      const isFirst = partition.pending[0] === out
      if (isFirst && this.#options.transaction === null) this.#isResetting = true
      if (!isFirst || this.#isResetting) return this.#retry(partition, out, name)
    }
    const error = brokerError(name, `sending to ${partition.topic}, partition ${partition.partition}`)
    if (error.code === 'kafka.fenced') return this.end(error)
    if (error.code === 'kafka.too-large' && out.batch.count > 1) return this.#divide(partition, out, halves(out.batch))
    if (answer.wrongRecords.length > 0 && answer.wrongRecords.length < out.batch.count) {
      const indexes = answer.wrongRecords.flatMap((place) => out.batch.indexes[place] ?? [])
      out.sending.failed(indexes, failureOf(error, null))
      const rest = without(out.batch, answer.wrongRecords)
      return this.#divide(partition, out, rest === null ? [] : [rest])
    }
    this.#fail(partition, out, error)
  }

  get #isCounted(): boolean {
    return this.#identity.producerId >= 0n
  }

  #succeed(partition: OutPartition, out: Outgoing): void {
    partition.remove(out)
    partition.isBegun = true
    partition.attempts = 0
    out.sending.done(out.batch.count)
    // After an answer nobody reads the bytes any more; a connection that broke might.
    if (this.#options.acks !== 'none' && !out.isUnsure) giveBack(out.batch.memory)
  }

  #retry(partition: OutPartition, out: Outgoing, name: string): void {
    partition.isBlocked = true
    if (name !== 'OUT_OF_ORDER_SEQUENCE_NUMBER') this.#refresh()
    if (performance.now() >= out.sending.giveUpAtMs) this.#expire(partition, out, name)
  }

  /** The broker has refused the batch for good, and so whatever came after it: their numbers are free again. */
  #divide(partition: OutPartition, out: Outgoing, parts: Parameters<OutPartition['replace']>[1]): void {
    const { sequence } = out
    partition.isBlocked = true
    partition.replace(out, parts)
    if (this.#isCounted) partition.renumber(sequence)
  }

  #fail(partition: OutPartition, out: Outgoing, error: NodeError): void {
    const { sequence } = out
    partition.remove(out)
    if (this.#isCounted && sequence >= 0 && this.#fatal === null) {
      partition.isBlocked = true
      partition.renumber(sequence)
    }
    out.sending.failed(out.batch.indexes, failureOf(error, null))
  }

  /** Given up. Whether the broker has it nobody knows, so what follows needs numbers that do not depend on it. */
  #expire(partition: OutPartition, out: Outgoing, name: string): void {
    partition.remove(out)
    if (this.#isCounted && out.sequence >= 0 && this.#options.transaction === null) this.#isResetting = true
    const doing = `sending to ${partition.topic}, partition ${partition.partition}`
    const { deliveryMsMax } = this.#options
    const error = name === '' ? timedOut(doing, deliveryMsMax) : brokerError(name, `${doing}, for ${deliveryMsMax} ms`)
    out.sending.failed(out.batch.indexes, failureOf(error, null))
  }

  #settle(partition: OutPartition): void {
    if (partition.isBlocked && partition.underWay === 0) partition.restart(performance.now())
    this.#notice()
  }

  /** Tells those who wait, and begins sequences anew where that was waiting for quiet. */
  #notice(): void {
    for (const partition of this.#active) {
      if (partition.pending.length === 0 && partition.underWay === 0) this.#active.delete(partition)
    }
    if (this.#isResetting && !this.#isIdentifying && this.#isQuiet) void this.#reset()
    if (this.#idleWatchers.length === 0 || this.#active.size > 0) return
    for (const watcher of this.#idleWatchers.splice(0)) watcher()
  }

  async #reset(): Promise<void> {
    this.#isIdentifying = true
    try {
      this.become(await this.#identify())
      this.#isResetting = false
      this.#plan()
    } catch {
      // The timer comes back to it.
    } finally {
      this.#isIdentifying = false
    }
  }

  /** Nothing is under way. */
  get #isQuiet(): boolean {
    for (const partition of this.#active) if (partition.underWay > 0) return false
    return true
  }

  #refresh(): void {
    if (this.#isRefreshing) return
    this.#isRefreshing = true
    this.#cluster
      .refresh()
      .catch(() => undefined)
      .finally(() => {
        this.#isRefreshing = false
        this.#plan()
      })
  }

  /** Looks now and then at what waits, for as long as something does. */
  #watch(): void {
    if (this.#active.size === 0) {
      if (this.#timer !== null) clearInterval(this.#timer)
      this.#timer = null
      return
    }
    this.#timer ??= setInterval(() => {
      const nowMs = performance.now()
      for (const partition of this.#active) {
        // What is under way comes back in time by itself.
        for (const out of partition.pending.slice(partition.sent)) {
          if (nowMs >= out.sending.giveUpAtMs) this.#expire(partition, out, '')
        }
      }
      this.#notice()
      this.#plan()
    }, lookMs)
  }
}

const outOfStep: ReadonlySet<string> = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_ID_MAPPING',
  'INVALID_PRODUCER_EPOCH',
])
