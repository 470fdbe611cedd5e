import type { SourceLetter } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { jsonText } from '../../core/json/json-text.ts'
import { BlockMeta } from './block-meta.ts'
import type { Draft, OutHeader, Producer } from './driver.ts'
import type { Rounds } from './rounds.ts'

/** Names of the headers that say why a record is in a dead-letter topic. */
export const causeHeaders = {
  workflow: 'millrace-workflow',
  node: 'millrace-node',
  code: 'millrace-code',
  message: 'millrace-message',
  topic: 'millrace-topic',
  partition: 'millrace-partition',
  offset: 'millrace-offset',
  time: 'millrace-time',
} as const

export interface DeadLetterTopicOptions {
  readonly topic: string
  readonly workflow: string
  readonly now: () => number
  /** Opens the producer when the first letter is written. */
  readonly openProducer: () => Promise<Producer>
  /** With exactly-once, letters are part of the transaction. */
  readonly rounds: Rounds | null
}

/**
 * Keeps records that failed for good: key, value and headers as they came, and headers that say what went wrong and where they
 * came from, so that they can be sent again. What was made of several records is written as JSON.
 */
export class DeadLetterTopic {
  readonly #options: DeadLetterTopicOptions
  #producer: Promise<Producer> | null = null

  constructor(options: DeadLetterTopicOptions) {
    this.#options = options
  }

  async write(letters: readonly SourceLetter[], signal: AbortSignal): Promise<void> {
    const { rounds, topic } = this.#options
    if (rounds !== null) {
      await rounds.write((producer) => this.#draft(producer, letters, signal), signal)
      return
    }
    this.#producer ??= this.#options.openProducer()
    const producer = await this.#producer.catch((thrown: unknown) => {
      this.#producer = null
      throw thrown
    })
    const [first] = await producer.send(await this.#draft(producer, letters, signal), signal)
    if (first !== undefined)
      throw new NodeError(first.failure.code, `the dead-letter topic ${topic}: ${first.failure.message}`, {
        retriable: first.failure.retriable,
      })
  }

  async close(): Promise<void> {
    const producer = await this.#producer?.catch(() => null)
    await producer?.close()
  }

  async #draft(producer: Producer, letters: readonly SourceLetter[], signal: AbortSignal): Promise<Draft> {
    await producer.prepare(this.#options.topic, signal)
    const draft = producer.draft()
    for (const letter of letters) this.#add(draft, letter)
    return draft
  }

  #add(draft: Draft, { message, failure }: SourceLetter): void {
    const { topic, workflow, now } = this.#options
    const headers: OutHeader[] = [
      { name: causeHeaders.workflow, value: workflow },
      { name: causeHeaders.node, value: failure.node ?? '' },
      { name: causeHeaders.code, value: failure.code },
      { name: causeHeaders.message, value: failure.message.slice(0, 2_000) },
      { name: causeHeaders.time, value: new Date(now()).toISOString() },
    ]
    if (message.meta instanceof BlockMeta && message.at >= 0) {
      const { block } = message.meta
      const record = block.recordAt(message.at)
      headers.push(
        { name: causeHeaders.topic, value: block.topic },
        { name: causeHeaders.partition, value: String(block.partition) },
        { name: causeHeaders.offset, value: String(record.offset) },
      )
      const own = record.headers.flatMap(({ name, value }) => (value === null ? [] : [{ name, value }]))
      draft.add(topic, null, record.key, record.value, [...own, ...headers], record.timestampMs)
    } else draft.add(topic, null, message.key, jsonText(message.value) ?? null, headers, message.time)
  }
}
