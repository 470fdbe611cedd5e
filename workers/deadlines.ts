const tickMs = 10
const slotCount = 256

export interface Deadline {
  readonly slot: number
  rounds: number
  readonly callback: () => void
}

/**
 * Many time limits on one timer: setting and cancelling one costs a set operation, and there is no timer at all while
 * none is set. A hashed wheel; a limit strikes up to 10 ms late, never early. It does not keep the process alive.
 */
export class Deadlines {
  readonly #slots: Set<Deadline>[] = Array.from({ length: slotCount }, () => new Set())
  #count = 0
  #tick = 0
  #tickedAt = 0
  #timer: NodeJS.Timeout | null = null

  after(delayMs: number, callback: () => void): Deadline {
    if (this.#timer === null) {
      this.#tickedAt = performance.now()
      this.#timer = setInterval(() => this.#turn(), tickMs)
      this.#timer.unref()
    }
    // One tick more, because the present one has begun already.
    const ticks = Math.ceil((performance.now() - this.#tickedAt + delayMs) / tickMs) + 1
    const deadline = { slot: (this.#tick + ticks) % slotCount, rounds: Math.floor((ticks - 1) / slotCount), callback }
    this.#slots[deadline.slot]!.add(deadline)
    this.#count += 1
    return deadline
  }

  cancel(deadline: Deadline | null): void {
    if (deadline !== null && this.#slots[deadline.slot]!.delete(deadline)) this.#removed()
  }

  close(): void {
    for (const slot of this.#slots) slot.clear()
    this.#count = 0
    this.#stop()
  }

  /** A late timer makes up for the ticks that it missed. */
  #turn(): void {
    const now = performance.now()
    while (this.#timer !== null && this.#tickedAt + tickMs <= now) {
      this.#tickedAt += tickMs
      this.#tick = (this.#tick + 1) % slotCount
      this.#strike(this.#slots[this.#tick]!)
    }
  }

  /** Callbacks may set and cancel what they like: those set now are not looked at, those cancelled are not called. */
  #strike(slot: Set<Deadline>): void {
    for (const deadline of [...slot]) {
      if (deadline.rounds > 0) {
        deadline.rounds -= 1
      } else if (slot.delete(deadline)) {
        this.#removed()
        deadline.callback()
      }
    }
  }

  #removed(): void {
    this.#count -= 1
    if (this.#count === 0) this.#stop()
  }

  #stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}
