interface Entry {
  readonly value: unknown
  readonly close: ((value: never) => void | Promise<void>) | undefined
  readonly users: Set<object>
}

/**
 * What nodes use together, by key: a client, a registry of sockets. It belongs to all pipelines of a workflow that take over from
 * each other, and a thing is closed when the last of its users is gone.
 */
export class SharedThings {
  readonly #entries = new Map<string, Entry>()

  use<T>(user: object, key: string, make: () => T, close?: (value: T) => void | Promise<void>): T {
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = { value: make(), close, users: new Set() }
      this.#entries.set(key, entry)
    }
    entry.users.add(user)
    // What stands under a key was made by the nodes that know the key, and has their type.
    return entry.value as T
  }

  /** Closes what nobody else uses. Rejects with the first error, after all were tried. */
  async release(user: object): Promise<void> {
    const closing: Promise<void>[] = []
    for (const [key, entry] of this.#entries) {
      if (!entry.users.delete(user) || entry.users.size > 0) continue
      this.#entries.delete(key)
      // The value has the type that its `close` was given with.
      const { close, value } = entry as { close?: (value: unknown) => void | Promise<void>; value: unknown }
      if (close !== undefined) closing.push((async () => close(value))())
    }
    const results = await Promise.allSettled(closing)
    for (const each of results) if (each.status === 'rejected') throw each.reason
  }
}
