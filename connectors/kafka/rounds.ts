import type { Failure } from '../../core/flow/failure.ts'
import { failureOf, NodeError } from '../../core/flow/failure.ts'
import type { Clock } from '../../core/host.ts'
import type { Draft, GroupMembership, Position, Producer, ProducerOptions } from './driver.ts'

/** The reader's side of a round: the source whose positions a transaction holds. */
export interface RoundReader {
  /** What may be committed. */
  positions(): readonly Position[]
  membership(): GroupMembership | null
  committed(positions: readonly Position[]): void
  /** Goes back to what the group has committed. */
  rewind(): Promise<void>
  /** Sends a mark behind what was emitted; `epochClosed` tells when everything before it is written. */
  endEpoch(epoch: number): void
  /** A new round may begin. */
  ready(): void
  fail(failure: Failure): void
  trouble(failure: Failure): void
}

type State = 'shut' | 'idle' | 'beginning' | 'open' | 'ending' | 'finishing'

/**
 * Exactly-once in rounds. A round is one transaction: what the source emits in it, all that becomes of that, and the source's
 * positions are committed together or not at all. While a round ends, the source waits; it goes on fetching meanwhile.
 * After a failure the transaction is undone and the source goes back to what the group has committed. (KIP-98, KIP-447)
 */
export class Rounds {
  /** How long a round collects. */
  roundMs: number
  readonly #clock: Clock
  readonly #wanted: ProducerWishes[] = []
  #open: ((wishes: ProducerWishes) => Promise<Producer>) | null = null
  #producer: Producer | null = null
  #reader: RoundReader | null = null
  #state: State = 'shut'
  #doomed: Failure | null = null
  #epoch = 0
  #records = 0
  #cancelTimer = (): void => undefined
  #isClosing = false
  readonly #waiting: (() => void)[] = []
  readonly #enders: (() => void)[] = []

  constructor(clock: Clock, roundMs: number) {
    this.#clock = clock
    this.roundMs = roundMs
  }

  /** A sink says how it would send; the first one's word counts for all, as they share a producer. */
  wish(wishes: ProducerWishes): void {
    this.#wanted.push(wishes)
  }

  /** Opens the producer, which ends what an earlier one with its id has left. Call before the group is joined. */
  async open(make: (wishes: ProducerWishes) => Promise<Producer>): Promise<void> {
    this.#open = make
    this.#producer = await make(this.#wanted[0] ?? {})
    this.#state = 'idle'
  }

  drive(reader: RoundReader): void {
    this.#reader = reader
  }

  /** Whether the source may emit now; asking begins a round where none is under way. */
  mayEmit(): boolean {
    if (this.#state === 'idle') void this.#begin()
    return this.#state === 'open'
  }

  emitted(records: number): void {
    this.#records += records
  }

  /** What is written from now on must not last. */
  doom(failure: Failure): void {
    if (this.#state === 'idle' || this.#state === 'shut') return
    this.#doomed ??= failure
    this.endSoon()
  }

  endSoon(): void {
    if (this.#state !== 'open') return
    this.#state = 'ending'
    this.#cancelTimer()
    this.#reader?.endEpoch(++this.#epoch)
  }

  /** Resolves when no round is under way. */
  end(): Promise<void> {
    if (this.#state === 'idle' || this.#state === 'shut') return Promise.resolve()
    this.endSoon()
    return new Promise((resolve) => this.#enders.push(resolve))
  }

  /** All that was emitted in the round has been written, or failed. */
  epochClosed(failure: Failure | null): void {
    if (this.#state !== 'ending') return
    if (failure !== null) this.#doomed ??= failure
    this.#state = 'finishing'
    void this.#finish()
  }

  /** Writes within the round. What cannot be written dooms it: all of it is read and written again. */
  async write(fill: (producer: Producer) => Promise<Draft>, signal: AbortSignal): Promise<void> {
    while (this.#producer === null || this.#state === 'shut') await this.#changed(signal)
    if (this.#doomed !== null) return
    const producer = this.#producer
    const draft = await fill(producer)
    if (draft.count === 0) return
    try {
      const [first] = await producer.send(draft, signal)
      if (first !== undefined) this.doom(first.failure)
    } catch (thrown) {
      this.doom(failureOf(thrown, null))
    }
  }

  /** Commits the round that is under way when all of it is `written`, and undoes it otherwise. */
  async close(written = false): Promise<void> {
    this.#cancelTimer()
    this.#isClosing = true
    if (this.#state === 'finishing' || this.#state === 'beginning') await this.end()
    const unfinished = this.#state === 'open' || this.#state === 'ending'
    if (unfinished && written && this.#doomed === null) {
      this.#state = 'finishing'
      await this.#finish()
    }
    const undo = this.#state === 'open' || this.#state === 'ending'
    const producer = this.#producer
    this.#state = 'shut'
    this.#producer = null
    if (undo) await producer?.transaction?.abort().catch(() => undefined)
    await producer?.close()
    this.#shut()
  }

  async #begin(): Promise<void> {
    this.#state = 'beginning'
    this.#records = 0
    try {
      await this.#transaction().begin()
      this.#state = 'open'
      this.#cancelTimer = this.#clock.after(this.roundMs, () => this.#timeIsUp())
      this.#reader?.ready()
    } catch (thrown) {
      await this.#undo(failureOf(thrown, null))
    }
  }

  /** An empty round goes on: a transaction without records and positions is not worth its commit. */
  #timeIsUp(): void {
    if (this.#records > 0) return this.endSoon()
    this.#cancelTimer = this.#clock.after(this.roundMs, () => this.#timeIsUp())
  }

  async #finish(): Promise<void> {
    try {
      if (this.#doomed !== null) throw new NodeError(this.#doomed.code, this.#doomed.message, { retriable: true })
      const positions = this.#reader?.positions() ?? []
      const membership = this.#reader?.membership() ?? null
      if (positions.length > 0) {
        if (membership === null)
          throw new NodeError('kafka.rebalancing', 'the group is being rebalanced', { retriable: true })
        await this.#transaction().sendOffsets(positions, membership)
      }
      await this.#transaction().commit()
      this.#reader?.committed(positions)
      this.#rest()
    } catch (thrown) {
      await this.#undo(failureOf(thrown, null))
    }
  }

  /**
   * Whether a commit that was not answered has happened, nobody here can know. A new producer with the same id makes the broker
   * end the transaction one way or the other; then the group's committed positions are the truth. Who has lost the id to another
   * must not take it back: the other goes on.
   */
  async #undo(failure: Failure): Promise<void> {
    this.#doomed = failure
    if (this.#state === 'shut') return
    this.#reader?.trouble(failure)
    for (let attempt = 0; ; attempt++) {
      try {
        const old = this.#producer
        if (this.#open === null || this.#isClosing) {
          this.#producer = null
          await old?.close()
          return this.#shut()
        }
        if (old !== null && (await old.transaction?.isOurs()) === false) return this.#shut(takenOver)
        this.#producer = null
        await old?.close().catch(() => undefined)
        this.#producer = await this.#open(this.#wanted[0] ?? {})
        await this.#reader?.rewind()
        return this.#rest()
      } catch (thrown) {
        const next = failureOf(thrown, null)
        this.#reader?.trouble(next)
        if (!next.retriable || next.code === 'kafka.fenced') return this.#shut(next)
        await new Promise<void>((resolve) => void this.#clock.after(Math.min(250 * 2 ** attempt, 10_000), resolve))
      }
    }
  }

  /** No round follows. */
  #shut(failure: Failure | null = null): void {
    this.#state = 'shut'
    for (const resolve of this.#enders.splice(0)) resolve()
    if (failure !== null) this.#reader?.fail(failure)
  }

  #rest(): void {
    this.#doomed = null
    if (this.#state !== 'shut') this.#state = 'idle'
    for (const resolve of this.#enders.splice(0)) resolve()
    for (const resolve of this.#waiting.splice(0)) resolve()
    this.#reader?.ready()
  }

  #transaction(): NonNullable<Producer['transaction']> {
    const transaction = this.#producer?.transaction
    if (transaction === null || transaction === undefined)
      throw new NodeError('kafka.no-transaction', 'the producer has no transaction', { retriable: true })
    return transaction
  }

  #changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      this.#waiting.push(resolve)
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  }
}

/** What a sink asks of the producer. */
export type ProducerWishes = Partial<
  Pick<ProducerOptions, 'compression' | 'requestsMax' | 'batchBytesMax' | 'recordBytesMax' | 'deliveryMsMax'>
>

const takenOver: Failure = {
  code: 'kafka.fenced',
  message: 'another one with the same transaction id has taken over; give each its own',
  node: null,
  retriable: false,
}
