/**
 * The open positions of one partition. What may be committed is the closed prefix in the order of opening,
 * so one slow batch holds back all that was opened after it, and nothing past an open ticket is ever committed.
 */
export interface Ledger {
  /** Notes that everything up to and including position `last` is now in flight; answers its ticket. */
  open(last: bigint, now: number): number
  /** Ends a ticket. Unknown or repeated tickets are ignored: they belong to a revoked past. */
  close(ticket: number): void
  /** The last position of the closed prefix, or null while there is none. Frozen by `revoke`. */
  readonly committable: bigint | null
  readonly openCount: number
  /** When the oldest open ticket was opened, in milliseconds; null when none is open. */
  readonly oldestTicketTime: number | null
  /** The partition belongs to somebody else now: nothing more becomes committable. */
  revoke(): void
}

/** Makes an empty ledger. */
export function createLedger(): Ledger {
  return new PrefixLedger()
}

interface Entry {
  readonly last: bigint
  readonly openedAt: number
  closed: boolean
}

class PrefixLedger implements Ledger {
  committable: bigint | null = null
  openCount = 0
  /** Entries from the first open ticket on; `#first` is the ticket of `#entries[#head]`. */
  #entries: (Entry | undefined)[] = []
  #head = 0
  #first = 0
  #revoked = false

  open(last: bigint, now: number): number {
    const ticket = this.#first + this.#entries.length - this.#head
    this.#entries.push({ last, openedAt: now, closed: false })
    this.openCount += 1
    return ticket
  }

  close(ticket: number): void {
    const entry = ticket < this.#first ? undefined : this.#entries[this.#head + ticket - this.#first]
    if (this.#revoked || entry === undefined || entry.closed) return
    entry.closed = true
    this.openCount -= 1
    this.#advance()
  }

  get oldestTicketTime(): number | null {
    return this.#entries[this.#head]?.openedAt ?? null
  }

  revoke(): void {
    this.#revoked = true
    this.#entries = []
    this.#head = 0
    this.openCount = 0
  }

  #advance(): void {
    let entry = this.#entries[this.#head]
    while (entry?.closed === true) {
      this.committable = entry.last
      this.#entries[this.#head] = undefined
      this.#head += 1
      this.#first += 1
      entry = this.#entries[this.#head]
    }
    // The array is cut when half of it is past, so that memory follows what is open, at amortised constant cost.
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
  }
}
