import { notPrepared } from './draft-list.ts'

/** How long what is known of a topic is taken for true. */
const freshMs = 60_000

/** How many partitions topics have, loaded when first asked for and again when it has grown old. */
export class KnownTopics {
  readonly #load: (topic: string) => Promise<number>
  readonly #known = new Map<string, { readonly partitions: number; readonly loadedAtMs: number }>()
  readonly #loading = new Map<string, Promise<void>>()

  /** `load` asks the brokers; it rejects with `kafka.unknown-topic`. */
  constructor(load: (topic: string) => Promise<number>) {
    this.#load = load
  }

  async prepare(topic: string, signal: AbortSignal): Promise<void> {
    const known = this.#known.get(topic)
    if (known !== undefined && performance.now() - known.loadedAtMs < freshMs) return
    signal.throwIfAborted()
    const loading = this.#loading.get(topic) ?? this.#reload(topic)
    this.#loading.set(topic, loading)
    await untilAborted(loading, signal)
  }

  /** Throws `kafka.unknown-topic` for one that was not prepared. */
  partitions(topic: string): number {
    const known = this.#known.get(topic)
    if (known === undefined) throw notPrepared(topic)
    return known.partitions
  }

  async #reload(topic: string): Promise<void> {
    try {
      const partitions = await this.#load(topic)
      this.#known.set(topic, { partitions, loadedAtMs: performance.now() })
    } finally {
      this.#loading.delete(topic)
    }
  }
}

/** What a promise gives, or a rejection with the signal's reason as soon as it aborts. */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => undefined)
    return Promise.reject(signal.reason)
  }
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
