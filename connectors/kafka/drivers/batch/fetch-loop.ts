import type { ConsumerOptions } from '../../driver.ts'
import type { Cluster } from './cluster.ts'
import type { FetchedPartition as Answered, WantedPartition } from './fetch-request.ts'
import { fetchRecords } from './fetch-request.ts'
import type { FetchedPartition } from './fetched-partition.ts'

/** What a loop asks its owner. */
export interface FetchLoopOwner {
  /** The partitions that a broker leads and of which more is wanted now, and how many bytes there is room for. */
  wanted(broker: number): { readonly partitions: readonly FetchedPartition[]; readonly bytesMax: number }
  /** What was asked for, by partition with the place from which it was asked, and what came. */
  arrived(asked: ReadonlyMap<FetchedPartition, Asked>, answers: readonly Answered[]): void
  broken(broker: number, thrown: unknown): void
}

export interface Asked {
  readonly from: number
  readonly seeks: number
}

/** Fetches from one broker, one request after the other, for as long as anything of it is wanted. */
export class FetchLoop {
  readonly #cluster: Cluster
  readonly #options: ConsumerOptions
  readonly #owner: FetchLoopOwner
  readonly #broker: number
  #isOver = false
  #wake: (() => void) | null = null
  /** Where the row of partitions begins next time: a broker fills its answer from the first on. */
  #turn = 0

  constructor(cluster: Cluster, options: ConsumerOptions, owner: FetchLoopOwner, broker: number) {
    this.#cluster = cluster
    this.#options = options
    this.#owner = owner
    this.#broker = broker
    void this.#run()
  }

  /** Something may be wanted that was not before. */
  wake(): void {
    this.#wake?.()
  }

  end(): void {
    this.#isOver = true
    this.#wake?.()
  }

  async #run(): Promise<void> {
    let pauseMs = 20
    while (!this.#isOver) {
      const { partitions, bytesMax } = this.#owner.wanted(this.#broker)
      if (partitions.length === 0) {
        await this.#sleep(null)
        continue
      }
      try {
        await this.#fetch(partitions, bytesMax)
        pauseMs = 20
      } catch (thrown) {
        if (this.#isOver) return
        this.#owner.broken(this.#broker, thrown)
        await this.#sleep(pauseMs)
        pauseMs = Math.min(pauseMs * 2, 1_000)
      }
    }
  }

  async #fetch(partitions: readonly FetchedPartition[], bytesMax: number): Promise<void> {
    const { fetchWaitMsMax, partitionFetchBytesMax, isolation, requestMsMax } = this.#options
    this.#turn += 1
    const first = this.#turn % partitions.length
    const topics = new Map<string, WantedPartition[]>()
    const asked = new Map<FetchedPartition, Asked>()
    for (const each of [...partitions.slice(first), ...partitions.slice(0, first)]) {
      asked.set(each, { from: each.position, seeks: each.seeks })
      const wanted = { partition: each.partition, fetchOffset: each.position }
      const ofTopic = topics.get(each.topic)
      if (ofTopic === undefined) topics.set(each.topic, [wanted])
      else ofTopic.push(wanted)
    }
    // The broker may let us wait; its answer then has the usual time.
    const use = { name: 'fetch', requestMsMax: fetchWaitMsMax + requestMsMax }
    const answers = await this.#cluster.askForRecords(this.#broker, use, fetchRecords, {
      waitMsMax: fetchWaitMsMax,
      bytesMax,
      partitionBytesMax: partitionFetchBytesMax,
      readCommitted: isolation === 'read-committed',
      topics,
    })
    if (!this.#isOver) this.#owner.arrived(asked, answers)
  }

  #sleep(limitMs: number | null): Promise<void> {
    return new Promise((resolve) => {
      const timer = limitMs === null ? null : setTimeout(() => this.#wake?.(), limitMs)
      this.#wake = () => {
        this.#wake = null
        if (timer !== null) clearTimeout(timer)
        resolve()
      }
    })
  }
}
