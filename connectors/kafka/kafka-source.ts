import type { SeekTarget, Source, SourceLetter, SourcePosition, TriggerContext } from '../../core/define.ts'
import type { PassingMark } from '../../core/flow/batch.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Step } from '../../core/flow/pump.ts'
import { createPump } from '../../core/flow/pump.ts'
import type { BlockMeta } from './block-meta.ts'
import type { DeadLetterTopic } from './dead-letter-topic.ts'
import type { Consumer, ConsumerEvents, Partition, Position } from './driver.ts'
import { OwnedPartition } from './owned-partition.ts'
import type { ReadMessages, ReadOptions } from './read-messages.ts'
import { readMessages } from './read-messages.ts'
import type { Rounds } from './rounds.ts'

export interface KafkaSourceOptions extends ReadOptions {
  readonly commitMs: number
  /** How long a partition that goes away may take to deliver what is in flight. */
  readonly revokeMsMax: number
  /** Ends the execution when there is nothing more to read. */
  readonly untilCaughtUp: boolean
}

/** A batch in flight. */
interface OpenBatch {
  readonly owned: OwnedPartition
  readonly ledgerTicket: number
  readonly port: 0 | 1
  readonly meta: BlockMeta
  /** The first record of the range that it was made of, and how many records that has. */
  readonly firstAt: number
  readonly records: number
  readonly messages: number
}

const outPort = 0
const errorPort = 1

/**
 * Reads blocks of records into batches. It takes a block when the gate has room, keeps a ledger per partition, and commits what its
 * closed prefix allows, about once a second; with exactly-once the rounds of a transaction take the place of commits.
 */
export class KafkaSource implements Source, ConsumerEvents {
  readonly #options: KafkaSourceOptions
  readonly #context: TriggerContext
  readonly #deadLetters: DeadLetterTopic | null
  readonly #rounds: Rounds | null
  readonly #pump: ReturnType<typeof createPump>
  /** By `topic/partition`, in turn. */
  readonly #owned = new Map<string, OwnedPartition>()
  #turn: OwnedPartition[] = []
  readonly #open = new Map<number, OpenBatch>()
  /** Partitions that are not fetched, since too much of them is in flight. */
  readonly #held = new Set<OwnedPartition>()
  readonly #idleWatchers = new Set<() => void>()
  #consumer: Consumer | null = null
  #tickets = 0
  #preparing = false
  #committing: Promise<void> | null = null
  #cancelCommit = (): void => undefined
  #closed = false

  constructor(
    context: TriggerContext,
    options: KafkaSourceOptions,
    deadLetters: DeadLetterTopic | null,
    rounds: Rounds | null,
  ) {
    this.#context = context
    this.#options = options
    this.#deadLetters = deadLetters
    this.#rounds = rounds
    this.#pump = createPump(
      context.host.clock,
      context.gate,
      () => this.#step(),
      context.complete,
      (thrown) => context.fail(failureOf(thrown, context.node)),
    )
  }

  /** The consumer may call its events from here on. */
  start(consumer: Consumer): void {
    this.#consumer = consumer
    this.#rounds?.drive({
      positions: () => [...this.#owned.values()].flatMap((each) => each.commitable ?? []),
      membership: () => consumer.membership(),
      committed: (positions) => this.#noteCommitted(positions),
      rewind: () => this.#rewind(consumer),
      endEpoch: (epoch) => this.#context.mark({ kind: 'epoch', epoch }),
      ready: () => this.#pump.wake(),
      fail: (failure) => this.failed(failure),
      trouble: (failure) => this.trouble(failure),
    })
    if (this.#rounds === null) this.#planCommit()
    this.#pump.wake()
  }

  pause(): void {
    this.#pump.pause()
    this.#rounds?.endSoon()
  }

  resume(): void {
    this.#pump.resume()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#pump.close()
    this.#cancelCommit()
    await this.#rounds?.close(this.#open.size === 0)
    if (this.#rounds === null)
      await this.#commit().catch((thrown) => this.trouble(failureOf(thrown, this.#context.node)))
    await this.#consumer?.close()
    await this.#deadLetters?.close()
    this.#open.clear()
  }

  closed(ticket: number, failure: Failure | null): void {
    const batch = this.#open.get(ticket)
    if (batch === undefined) return
    this.#open.delete(ticket)
    const { owned } = batch
    owned.messagesOpen -= batch.messages
    if (failure === null) owned.ledger.close(batch.ledgerTicket)
    else this.#rounds?.doom(failure)
    if (owned.messagesOpen === 0) for (const watcher of this.#idleWatchers) watcher()
    this.#pump.wake()
  }

  marked(_mark: PassingMark, failure: Failure | null): void {
    this.#rounds?.epochClosed(failure)
  }

  /** Empty when the partition belongs to somebody else, who reads the records again. */
  again(ticket: number): readonly Message[] | null {
    const batch = this.#open.get(ticket)
    if (batch === undefined) return null
    if (batch.owned.readAgain) return []
    const read = readMessages(batch.meta.block.cursor(), batch.records, batch.meta, this.#options, batch.firstAt)
    return batch.port === outPort ? read.good : read.bad
  }

  deadLetter(letters: readonly SourceLetter[], signal: AbortSignal): Promise<void> | null {
    return this.#deadLetters?.write(letters, signal) ?? null
  }

  async seek(to: SeekTarget): Promise<readonly SourcePosition[]> {
    const consumer = this.#consumer
    if (consumer === null) throw new NodeError('kafka.not-open', `${this.#context.node} is not connected yet`)
    if (this.#rounds !== null) await this.#rounds.end()
    const target = to.kind === 'earliest' || to.kind === 'latest' ? { kind: to.kind } : to
    const positions = await consumer.seek([...this.#owned.values()], target)
    this.#goTo(positions)
    if (this.#rounds === null) await consumer.commit(positions)
    this.#pump.wake()
    return this.positions()
  }

  positions(): readonly SourcePosition[] {
    const now = this.#context.host.clock.now()
    return (this.#consumer?.state() ?? []).flatMap((state) => {
      const owned = this.#owned.get(`${state.topic}/${state.partition}`)
      if (owned === undefined) return []
      const done = owned.commitable?.offset ?? owned.committed ?? owned.begin ?? state.offset
      return {
        partition: owned.name,
        next: state.offset,
        committed: owned.committed,
        end: state.end,
        lag: Math.max(0, state.end - done),
        inFlight: owned.messagesOpen,
        oldestMs: owned.ledger.oldestTicketTime === null ? 0 : now - owned.ledger.oldestTicketTime,
      }
    })
  }

  assigned(partitions: readonly Partition[], generation: number): void {
    for (const each of partitions) {
      const owned = new OwnedPartition(each, generation)
      this.#owned.set(owned.name, owned)
    }
    this.#turn = [...this.#owned.values()]
    this.#context.host.log.write('info', `${this.#context.node} reads ${namesOf(partitions)}`, {
      node: this.#context.node,
      generation,
    })
    this.#pump.wake()
  }

  /** What is in flight may still arrive, within the limit; what has arrived is committed; the rest is the next owner's. */
  async revoked(partitions: readonly Partition[], reason: 'rebalance' | 'lost'): Promise<void> {
    const leaving = partitions.flatMap((each) => this.#owned.get(`${each.topic}/${each.partition}`) ?? [])
    for (const each of leaving) {
      each.drop()
      this.#turn = this.#turn.filter((other) => other !== each)
    }
    try {
      const hasEnded =
        reason === 'rebalance' && (await this.#within(this.#rounds === null ? this.#idle(leaving) : this.#rounds.end()))
      // Another member reads again what the round has read of these, so nothing of it may last.
      if (!hasEnded) this.#rounds?.doom(lostFailure(this.#context.node))
      if (this.#rounds === null && reason === 'rebalance') await this.#commit()
    } catch (thrown) {
      this.trouble(failureOf(thrown, this.#context.node))
    }
    for (const each of leaving) {
      each.gone = true
      each.readAgain = true
      each.ledger.revoke()
      if (this.#owned.get(each.name) === each) this.#owned.delete(each.name)
    }
  }

  ready(): void {
    this.#pump.wake()
  }

  trouble(failure: Failure): void {
    this.#context.host.log.write('warn', `${this.#context.node}: ${failure.message}`, {
      node: this.#context.node,
      code: failure.code,
    })
  }

  failed(failure: Failure): void {
    this.#context.fail({ ...failure, node: this.#context.node })
  }

  #step(): Step {
    if (this.#rounds !== null && !this.#rounds.mayEmit()) return 'idle'
    const owned = this.#next()
    if (owned === null) return this.#caughtUp() ? 'done' : 'idle'
    const { block } = owned
    if (block === null) return 'idle'
    const { gate } = this.#context
    const bytesEach = Math.ceil(block.bytes / Math.max(1, block.count))
    const room = Math.max(1, Math.floor(gate.batchMax.bytes / Math.max(1, bytesEach)))
    const records = Math.min(owned.left, gate.batchMax.messages, room)
    const size = { messages: records, bytes: records * bytesEach }
    if (!gate.take(size)) return 'full'
    this.#emit(owned, records, bytesEach)
    return 'emitted'
  }

  /** The next partition in turn that has records and not too much in flight. */
  #next(): OwnedPartition | null {
    for (const owned of this.#held) if (owned.gone || !this.#isStuck(owned)) this.#letGoOn(owned)
    for (let tries = 0; tries < this.#turn.length; tries++) {
      const owned = this.#turn.shift()
      if (owned === undefined) break
      this.#turn.push(owned)
      if (owned.block !== null && !owned.waits && !this.#isStuck(owned)) return owned
    }
    return this.#takeBlock()
  }

  /**
   * One partition that is stuck must not use up the gate for all. What a window has parked takes no credit and counts for nothing here:
   * the window may be waiting for just the messages that would be held back.
   */
  #isStuck(owned: OwnedPartition): boolean {
    const { inFlight, limit } = this.#context.gate
    if (inFlight.messages * 2 < limit.messages) return false
    return owned.messagesOpen >= Math.max(1, Math.ceil((limit.messages / Math.max(1, this.#owned.size)) * 2))
  }

  #letGoOn(owned: OwnedPartition): void {
    this.#held.delete(owned)
    if (!owned.gone) this.#consumer?.resume([owned])
  }

  #takeBlock(): OwnedPartition | null {
    if (this.#preparing || this.#consumer === null) return null
    for (;;) {
      const block = this.#consumer.take()
      if (block === null) return null
      const owned = this.#owned.get(`${block.topic}/${block.partition}`)
      // A block of a partition that has just gone.
      if (owned === undefined || owned.gone || !this.#turn.includes(owned)) continue
      const missing = this.#options.decoder.prepare(block)
      owned.add(block)
      owned.waits = missing !== null
      if (missing === null) {
        if (!this.#isStuck(owned)) return owned
        this.#consumer.pause([owned])
        this.#held.add(owned)
        continue
      }
      this.#preparing = true
      missing.then(
        () => {
          this.#preparing = false
          owned.waits = false
          this.#pump.wake()
        },
        (thrown) => this.#context.fail(failureOf(thrown, this.#context.node)),
      )
      return null
    }
  }

  #emit(owned: OwnedPartition, records: number, bytesEach: number): void {
    const { cursor, meta } = owned
    if (cursor === null || meta === null) return
    const read: ReadMessages = readMessages(cursor, records, meta, this.#options)
    // The range may begin after a gap; what lies before its first record needs no commit of its own.
    const last = owned.left === records ? meta.block.lastOffset : cursor.offset
    const firstAt = Math.min(read.good[0]?.at ?? Number.MAX_SAFE_INTEGER, read.bad[0]?.at ?? Number.MAX_SAFE_INTEGER)
    owned.taken(records)
    const now = this.#context.host.clock.now()
    const send = (port: 0 | 1, messages: readonly Message[], upTo: number): void => {
      const ticket = this.#tickets++
      const ledgerTicket = owned.ledger.open(BigInt(upTo), now)
      owned.messagesOpen += messages.length
      this.#open.set(ticket, { owned, ledgerTicket, port, meta, firstAt, records, messages: messages.length })
      const size = { messages: messages.length, bytes: messages.length * bytesEach }
      this.#context.emit(port, messages, this.#context.streamScope, ticket, size)
    }
    const { good, bad } = read
    // Of two batches of one range, only the second may carry its end: the first closing alone must commit nothing of it.
    const before = bad.length > 0 && good.length > 0 ? meta.offsetAt(firstAt) - 1 : last
    if (good.length > 0) send(outPort, good, before)
    if (bad.length > 0) send(errorPort, bad, last)
    this.#rounds?.emitted(records)
  }

  /** Whether all that there was has been read, where that is what was asked for. */
  #caughtUp(): boolean {
    if (!this.#options.untilCaughtUp || this.#preparing || this.#consumer === null || this.#owned.size === 0)
      return false
    const states = this.#consumer.state()
    if (states.length < this.#owned.size) return false
    return (
      states.every((each) => each.fetchedAtMs > 0 && each.offset >= each.end) && !this.#turn.some((each) => each.block)
    )
  }

  #planCommit(): void {
    this.#cancelCommit = this.#context.host.clock.after(this.#options.commitMs, () => {
      this.#commit()
        .catch((thrown) => this.trouble(failureOf(thrown, this.#context.node)))
        .finally(() => {
          if (this.#closed) return
          this.#planCommit()
          this.#pump.wake()
        })
    })
  }

  async #commit(): Promise<void> {
    await this.#committing?.catch(() => undefined)
    const positions = [...this.#owned.values()].flatMap((each) => each.commitable ?? [])
    if (positions.length === 0 || this.#consumer === null) return
    this.#committing = this.#consumer.commit(positions)
    try {
      await this.#committing
      this.#noteCommitted(positions)
    } finally {
      this.#committing = null
    }
  }

  #noteCommitted(positions: readonly Position[]): void {
    for (const each of positions) {
      const owned = this.#owned.get(`${each.topic}/${each.partition}`)
      if (owned !== undefined) owned.committed = Math.max(owned.committed ?? 0, each.offset)
    }
  }

  /** Goes back to where the last transaction ended. */
  async #rewind(consumer: Consumer): Promise<void> {
    this.#noteCommitted(await consumer.committed([...this.#owned.values()]))
    for (const each of [...this.#owned.values()]) {
      const offset = each.committed ?? each.begin
      if (offset !== null) this.#goTo(await consumer.seek([each], { kind: 'offset', offset }), true)
    }
  }

  /** What was fetched is dropped, and what is in flight counts for positions that are no longer ours to commit. */
  #goTo(positions: readonly Position[], readAgain = false): void {
    for (const position of positions) {
      const owned = this.#owned.get(`${position.topic}/${position.partition}`)
      if (owned === undefined) continue
      const fresh = new OwnedPartition(owned, owned.generation)
      fresh.begin = position.offset
      fresh.committed = position.offset
      owned.gone = true
      owned.readAgain = readAgain
      owned.drop()
      owned.ledger.revoke()
      this.#owned.set(fresh.name, fresh)
    }
    this.#turn = [...this.#owned.values()]
  }

  #idle(partitions: readonly OwnedPartition[]): Promise<void> {
    return new Promise((resolve) => {
      const watcher = (): void => {
        if (partitions.some((each) => each.messagesOpen > 0)) return
        this.#idleWatchers.delete(watcher)
        resolve()
      }
      this.#idleWatchers.add(watcher)
      watcher()
    })
  }

  /** Whether it was done while a partition that goes away may take its time. */
  #within(work: Promise<void>): Promise<boolean> {
    let cancel = (): void => undefined
    const limit = new Promise<false>((resolve) => {
      cancel = this.#context.host.clock.after(this.#options.revokeMsMax, () => resolve(false))
    })
    return Promise.race([work.then(() => true), limit]).finally(cancel)
  }
}

function namesOf(partitions: readonly Partition[]): string {
  if (partitions.length === 0) return 'no partition'
  const shown = partitions.slice(0, 8).map((each) => `${each.topic}/${each.partition}`)
  return `${shown.join(', ')}${partitions.length > shown.length ? ` and ${partitions.length - shown.length} more` : ''}`
}

function lostFailure(node: string): Failure {
  return { code: 'kafka.lost', message: 'the partitions were lost to another member', node, retriable: true }
}
