import type { KeptLetter, LetterShelf } from '../../core/define.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { causeHeaders } from './dead-letter-topic.ts'
import type {
  ConnectionOptions,
  Consumer,
  ConsumerOptions,
  Draft,
  Driver,
  OutHeader,
  Partition,
  ProducerOptions,
  RawRecord,
  RecordBlock,
} from './driver.ts'

export interface DeadLetterShelfOptions {
  readonly driver: Driver
  readonly connection: ConnectionOptions
  readonly topic: string
  /** Its committed positions say what has been sent again. */
  readonly group: string
  readonly producer: ProducerOptions
}

/** How often a record has been sent again. */
const replayedHeader = 'millrace-replayed'
const ownPrefix = 'millrace-'
/** A replay that has heard nothing of its group, or of records that must be there, for so long gives up. */
const quietMsMax = 30_000
/** Control records at the end of a partition are never handed out: after so long without a record it is taken for read. */
const tailMsMax = 2_000
const stepMs = 100

/** The letters in a dead-letter topic, and the way back for them. */
export class DeadLetterShelf implements LetterShelf {
  readonly place: string
  readonly #options: DeadLetterShelfOptions

  constructor(options: DeadLetterShelfOptions) {
    this.#options = options
    this.place = `topic ${options.topic}`
  }

  async *read(which: 'waiting' | 'all', signal: AbortSignal): AsyncGenerator<KeptLetter> {
    const reach = await this.#reach(which)
    if (reach.size === 0) return
    const reading = await this.#open(null, [...reach.keys()])
    try {
      for (const [partition, { from }] of reach)
        await reading.consumer.seek([{ topic: this.#options.topic, partition }], { kind: 'offset', offset: from })
      for await (const block of reading.blocks(reach, signal)) {
        const end = reach.get(block.partition)?.end ?? 0
        for (const record of recordsOf(block)) if (record.offset < end) yield letterOf(record)
      }
    } finally {
      await reading.consumer.close()
    }
  }

  async replay(
    limit: number,
    onLetter: (letter: KeptLetter, sent: boolean) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const reach = await this.#reach('waiting')
    if (reach.size === 0) return
    const { driver, producer: settings, topic } = this.#options
    const reading = await this.#open(this.#options.group, [])
    const producer = await driver.openProducer(settings)
    let left = limit
    try {
      for await (const block of reading.blocks(reach, signal)) {
        const end = reach.get(block.partition)?.end ?? 0
        const records = [...recordsOf(block)].filter((each) => each.offset < end).slice(0, left)
        const last = records.at(-1)
        if (last === undefined) continue
        const draft = producer.draft()
        const letters = records.map((each) => ({ letter: letterOf(each), record: each, origin: originOf(each) }))
        for (const { origin } of letters) if (origin !== null) await producer.prepare(origin.topic, signal)
        for (const { record, origin } of letters) if (origin !== null) addAgain(draft, record, origin)
        if (draft.count > 0) {
          const [failed] = await producer.send(draft, signal)
          if (failed !== undefined)
            throw new NodeError(failed.failure.code, `sending again to where it came from: ${failed.failure.message}`)
        }
        await reading.consumer.commit([{ topic, partition: block.partition, offset: last.offset + 1 }])
        for (const { letter, origin } of letters) onLetter(letter, origin !== null)
        left -= letters.length
        if (left === 0) return
      }
    } finally {
      await producer.close()
      await reading.consumer.close()
    }
  }

  async close(): Promise<void> {}

  /** By partition, what there is to read now: from the first record that is wanted up to the end. Partitions without any are left out. */
  async #reach(which: 'waiting' | 'all'): Promise<Reach> {
    const { driver, connection, topic, group } = this.#options
    const admin = await driver.openAdmin(connection)
    try {
      if ((await admin.partitions(topic)) === null) return new Map()
      const begin = await admin.offsets(topic, { kind: 'earliest' })
      const ends = await admin.offsets(topic, { kind: 'latest' })
      const done = which === 'all' ? [] : await admin.groupOffsets(group, [topic])
      const at = (list: typeof ends, partition: number): number =>
        list.find((each) => each.partition === partition)?.offset ?? 0
      const all = ends.map(({ partition, offset }) => {
        const from = Math.max(at(begin, partition), at(done, partition))
        return [partition, { from, end: offset }] as const
      })
      return new Map(all.filter(([, { from, end }]) => from < end))
    } finally {
      await admin.close()
    }
  }

  async #open(group: string | null, partitions: readonly number[]): Promise<Reading> {
    const { driver, connection, topic } = this.#options
    const options: ConsumerOptions = {
      ...connection,
      group: group === null ? null : { id: group, instanceId: null, topics: [topic] },
      assigned: partitions.map((partition) => ({ topic, partition })),
      from: { kind: 'earliest' },
      isolation: 'read-committed',
      sessionMsMax: 10_000,
      heartbeatMs: 2_000,
      rebalanceMsMax: 20_000,
      partitionFetchBytesMax: 1_048_576,
      prefetchBytesMax: 8_388_608,
      fetchWaitMsMax: 200,
    }
    const reading = new Reading()
    reading.consumer = await driver.openConsumer(options, reading)
    return reading
  }
}

type Reach = ReadonlyMap<number, { readonly from: number; readonly end: number }>

/** A consumer that is read up to an end. */
class Reading {
  consumer!: Consumer
  readonly #owned = new Set<number>()
  #wake = (): void => undefined
  #failure: Failure | null = null

  assigned(partitions: readonly Partition[]): void {
    for (const each of partitions) this.#owned.add(each.partition)
    this.#wake()
  }

  async revoked(partitions: readonly Partition[]): Promise<void> {
    for (const each of partitions) this.#owned.delete(each.partition)
  }

  ready(): void {
    this.#wake()
  }

  trouble(): void {}

  failed(failure: Failure): void {
    this.#failure = failure
    this.#wake()
  }

  /** Blocks of the partitions that are ours, until all of them have come to their ends. */
  async *blocks(reach: Reach, signal: AbortSignal): AsyncGenerator<RecordBlock> {
    let heardAt = Date.now()
    for (;;) {
      if (this.#failure !== null) throw new NodeError(this.#failure.code, this.#failure.message)
      if (signal.aborted) return
      const block = this.consumer.take()
      if (block !== null) {
        yield block
        heardAt = Date.now()
        continue
      }
      const quietMs = Date.now() - heardAt
      const open = this.consumer.state().filter((at) => {
        const wanted = reach.get(at.partition)
        return this.#owned.has(at.partition) && wanted !== undefined && Math.max(at.offset, wanted.from) < wanted.end
      })
      if (this.#owned.size > 0 && open.length === 0) return
      // Fetches have come back since, and brought nothing.
      if (this.#owned.size > 0 && quietMs > tailMsMax && open.every((at) => at.fetchedAtMs > heardAt)) return
      if (quietMs > quietMsMax)
        throw new NodeError('kafka.quiet', `nothing came within ${quietMsMax / 1_000} s; is another replay running?`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, stepMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}

function* recordsOf(block: RecordBlock): Generator<RawRecord> {
  const cursor = block.cursor()
  while (cursor.next()) yield block.recordAt(cursor.at)
}

function header(record: RawRecord, name: string): string | null {
  // The last one counts: what comes before may be the record's own from an earlier life.
  return record.headers.findLast((each) => each.name === name)?.value?.toString('utf8') ?? null
}

function originOf(record: RawRecord): (Partition & { readonly offset: string }) | null {
  const topic = header(record, causeHeaders.topic)
  const partition = Number(header(record, causeHeaders.partition) ?? Number.NaN)
  if (topic === null || !Number.isSafeInteger(partition)) return null
  return { topic, partition, offset: header(record, causeHeaders.offset) ?? '?' }
}

function letterOf(record: RawRecord): KeptLetter {
  const origin = originOf(record)
  const time = Date.parse(header(record, causeHeaders.time) ?? '')
  const node = header(record, causeHeaders.node)
  return {
    time: Number.isNaN(time) ? record.timestampMs : time,
    node: node === '' ? null : node,
    code: header(record, causeHeaders.code) ?? '',
    message: header(record, causeHeaders.message) ?? '',
    origin: origin === null ? null : `${origin.topic}/${origin.partition}@${origin.offset}`,
    key: record.key,
    value: record.value,
  }
}

/** The record as it was, to the partition that it came from. */
function addAgain(draft: Draft, record: RawRecord, origin: Partition): void {
  const own: OutHeader[] = record.headers.flatMap(({ name, value }) =>
    name.startsWith(ownPrefix) || value === null ? [] : [{ name, value }],
  )
  const times = Number(header(record, replayedHeader) ?? 0) + 1
  const headers = [...own, { name: replayedHeader, value: String(Number.isSafeInteger(times) ? times : 1) }]
  draft.add(origin.topic, origin.partition, record.key, record.value, headers, record.timestampMs)
}
