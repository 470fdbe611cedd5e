// The page lies at the server's root, where `..` stays at the root: the same path serves the browser and the type checker.
import type { Client, Gap, Place } from '../../../sdk/index.ts'

/** What one topic is read for. */
export interface Reading {
  /** `start`: from the oldest that is kept, and later from where reading stopped. `now`: only what comes. */
  readonly from: 'start' | 'now'
  take(value: unknown): void
  gap?(gap: Gap): void
}

/** Messages that may wait in the page for one topic: few, so that a page that is paused is sent almost nothing more. */
const credits = 8

/**
 * The topics that the page reads. What is not wanted is not asked for, so the server sends nothing of it; what is paused
 * is not taken, so the server stops when the credits are used up.
 */
export class Feed {
  paused = false
  readonly #client: Client
  readonly #failed: (topic: string, error: unknown) => void
  readonly #open = new Map<string, AbortController>()
  /** Where reading stopped, by topic. */
  readonly #places = new Map<string, Place>()
  #resumed: Promise<void> = Promise.resolve()
  #resume = (): void => {}

  constructor(client: Client, failed: (topic: string, error: unknown) => void) {
    this.#client = client
    this.#failed = failed
  }

  get topics(): readonly string[] {
    return [...this.#open.keys()]
  }

  /** Reads exactly these topics from now on. */
  want(wanted: ReadonlyMap<string, Reading>): void {
    for (const [topic, controller] of this.#open) {
      if (wanted.has(topic)) continue
      controller.abort()
      this.#open.delete(topic)
    }
    for (const [topic, reading] of wanted) if (!this.#open.has(topic)) this.#read(topic, reading)
  }

  pause(): void {
    if (this.paused) return
    this.paused = true
    this.#resumed = new Promise((resolve) => {
      this.#resume = resolve
    })
  }

  resume(): void {
    this.paused = false
    this.#resume()
  }

  #read(topic: string, reading: Reading): void {
    const controller = new AbortController()
    this.#open.set(topic, controller)
    const { signal } = controller
    this.#follow(topic, reading, signal).catch((error: unknown) => {
      this.#open.delete(topic)
      if (!signal.aborted) this.#failed(topic, error)
    })
  }

  async #follow(topic: string, reading: Reading, signal: AbortSignal): Promise<void> {
    const known = reading.from === 'start' ? this.#places.get(topic) : undefined
    const subscription = this.#client.topic(topic).subscribe({
      ...(known ?? { after: reading.from === 'start' ? 'start' : null }),
      ...{ signal, credits, onGap: (gap) => reading.gap?.(gap) },
    })
    for await (const { value } of subscription) {
      if (this.paused) await this.#resumed
      if (signal.aborted) return
      reading.take(value)
      if (reading.from === 'start' && subscription.place !== null) this.#places.set(topic, subscription.place)
    }
  }
}
