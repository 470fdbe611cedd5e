import { expect, test } from 'vitest'
import type { ConsumerEvents, ConsumerOptions } from '../../driver.ts'
import { readBlock } from './batch-block.ts'
import type { Cluster } from './cluster.ts'
import type { FetchedPartition as Answered, FetchRequest } from './fetch-request.ts'
import { FetchedPartition } from './fetched-partition.ts'
import { Fetcher } from './fetcher.ts'
import type { RecordCodec } from './record-codec.ts'
import { writeSlowly } from './slow-batches.fixture.ts'

const topic = 't'

/** A broker that leads everything: what it is asked waits here for the test's answer. */
class Broker {
  readonly asked: { readonly request: FetchRequest; readonly answer: (answers: readonly Answered[]) => void }[] = []

  leader(): number {
    return 1
  }

  // It is asked for nothing but fetches.
  askForRecords(_broker: number, _use: unknown, _api: unknown, request: unknown): Promise<never> {
    return new Promise((answer) =>
      this.asked.push({ request: request as FetchRequest, answer: (answers) => answer(answers as never) }),
    )
  }

  /** Partitions of the last request. */
  get wanted(): readonly number[] {
    return (
      this.asked
        .at(-1)
        ?.request.topics.get(topic)
        ?.map((each) => each.partition) ?? []
    )
  }
}

function answered(partition: number, bytes: Buffer): Answered {
  return {
    topic,
    partition,
    bytes,
    errorCode: 0,
    highWatermark: 1_000,
    lastStableOffset: 1_000,
    startOffset: 0,
    aborted: [],
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a partition that is given up with all that waits makes room: the others are fetched again', async () => {
  const broker = new Broker()
  const leaving = new FetchedPartition({ topic, partition: 0 }, 1)
  const staying = new FetchedPartition({ topic, partition: 1 }, 1)
  const owned = new Set([leaving, staying])
  const events = { ready: () => undefined, trouble: () => undefined, failed: () => undefined }
  // The fetcher reads no more of these than what is here.
  const options = { prefetchBytesMax: 1_000, isolation: 'read-uncommitted' } as Partial<ConsumerOptions>
  const fetcher = new Fetcher(
    broker as Partial<Cluster> as Cluster,
    options as ConsumerOptions,
    events as Partial<ConsumerEvents> as ConsumerEvents,
    { read: readBlock } as Partial<RecordCodec> as RecordCodec,
    () => owned,
  )
  for (const each of owned) fetcher.place(each, 0)
  await turn()
  const record = { offset: 0, timestampMs: 0, key: null, value: Buffer.alloc(2_000), headers: [] }
  broker.asked.at(-1)?.answer([answered(0, writeSlowly([record], 'none', 0))])
  await turn()
  expect(broker.asked).toHaveLength(1)
  owned.delete(leaving)
  fetcher.drop(leaving)
  await turn()
  expect(broker.asked).toHaveLength(2)
  expect(broker.wanted).toEqual([staying.partition])
  fetcher.end()
})
