import type { Meta } from '../../core/flow/message.ts'
import { SharedMeta } from '../../core/flow/message.ts'
import type { RecordBlock } from './driver.ts'

/** What the messages of one block have beside their values: `$meta` is `{ topic, partition, offset, timestamp, headers }`. */
export class BlockMeta extends SharedMeta {
  readonly #block: RecordBlock
  #described = -1
  #last: Meta | null = null

  constructor(block: RecordBlock) {
    super()
    this.#block = block
  }

  get block(): RecordBlock {
    return this.#block
  }

  offsetAt(at: number): number {
    const cursor = this.#block.cursor()
    cursor.moveTo(at)
    return cursor.offset
  }

  /** Several expressions read the same message one after the other, so the last description is kept. */
  describe(at: number): Meta {
    if (this.#last !== null && this.#described === at) return this.#last
    const { topic, partition } = this.#block
    if (at < 0) return { topic, partition }
    const cursor = this.#block.cursor()
    cursor.moveTo(at)
    this.#last = {
      topic,
      partition,
      offset: cursor.offset,
      timestamp: cursor.timestampMs,
      headers: this.#block.headersAt(at),
    }
    this.#described = at
    return this.#last
  }
}
