import { expect } from 'vitest'
import type { Failure } from '../../core/flow/failure.ts'
import type { Consumer, ConsumerEvents, ConsumerOptions, Driver, Partition, Position, RecordBlock } from './driver.ts'

/** A record as it was read, with the block that it came in. */
export interface Read extends Position {
  readonly key: string | null
  readonly value: string | null
  readonly headers: Readonly<Record<string, string>>
  readonly timestampMs: number
  readonly generation: number
}

/** A consumer of a test: takes what comes, and notes what it is told. */
export class Reading implements ConsumerEvents {
  readonly records: Read[] = []
  readonly blocks: RecordBlock[] = []
  readonly assignments: { readonly partitions: readonly Partition[]; readonly generation: number }[] = []
  readonly revocations: { readonly partitions: readonly Partition[]; readonly reason: string }[] = []
  readonly troubles: Failure[] = []
  readonly failures: Failure[] = []
  /** Whether blocks are taken as soon as they are there. */
  taking = true
  /** What is done while partitions go. */
  onRevoked: (partitions: readonly Partition[]) => Promise<void> = () => Promise.resolve()
  #consumer: Consumer | null = null
  /** What an expectation threw while blocks were read: the driver that called us is not to blame. */
  #broken: unknown = null

  async open(driver: Driver, options: ConsumerOptions): Promise<void> {
    this.#consumer = await driver.openConsumer(options, this)
    this.ready()
  }

  get consumer(): Consumer {
    if (this.#consumer === null) throw new Error('the consumer is not open')
    return this.#consumer
  }

  /** What is ours now. */
  get ours(): readonly string[] {
    return this.consumer.state().map((each) => `${each.topic}/${each.partition}`)
  }

  get values(): readonly (string | null)[] {
    return this.records.map((each) => each.value)
  }

  /** Where each partition would go on after what was read. */
  get positions(): readonly Position[] {
    const ends = new Map<string, Position>()
    for (const { topic, partition, lastOffset } of this.blocks) {
      ends.set(`${topic}/${partition}`, { topic, partition, offset: lastOffset + 1 })
    }
    return [...ends.values()]
  }

  async until(what: string, done: () => boolean): Promise<void> {
    const over = (): boolean => this.#broken !== null || done()
    await expect.poll(over, { timeout: 30_000, interval: 10, message: what }).toBe(true)
    if (this.#broken !== null) throw this.#broken
  }

  async untilRead(count: number): Promise<readonly Read[]> {
    await this.until(`${count} records`, () => this.records.length >= count)
    return this.records
  }

  /** Takes what is there. */
  take(): void {
    try {
      for (let block = this.consumer.take(); block !== null; block = this.consumer.take()) this.#note(block)
    } catch (thrown) {
      this.#broken ??= thrown
    }
  }

  assigned(partitions: readonly Partition[], generation: number): void {
    this.assignments.push({ partitions, generation })
  }

  revoked(partitions: readonly Partition[], reason: string): Promise<void> {
    this.revocations.push({ partitions, reason })
    return this.onRevoked(partitions)
  }

  ready(): void {
    if (this.taking && this.#consumer !== null) this.take()
  }

  trouble(failure: Failure): void {
    this.troubles.push(failure)
  }

  failed(failure: Failure): void {
    this.failures.push(failure)
  }

  async close(): Promise<void> {
    await this.#consumer?.close()
  }

  #note(block: RecordBlock): void {
    this.blocks.push(block)
    const { topic, partition, generation } = block
    const cursor = block.cursor()
    let count = 0
    let last = block.firstOffset - 1
    while (cursor.next()) {
      const { bytes, keyStart, keyEnd, valueStart, valueEnd, offset, timestampMs } = cursor
      const text = (start: number, end: number): string | null => (end < 0 ? null : bytes.toString('utf8', start, end))
      const headers = block.headersAt(cursor.at)
      const key = text(keyStart, keyEnd)
      const value = text(valueStart, valueEnd)
      this.records.push({ topic, partition, offset, key, value, headers, timestampMs, generation })
      expect(offset).toBeGreaterThan(last)
      last = offset
      count += 1
    }
    expect(count).toBe(block.count)
    expect(last).toBeLessThanOrEqual(block.lastOffset)
  }
}
