import type { Message } from './message.ts'
import type { Held, Receipt } from './receipt.ts'
import { joinReceipts } from './receipt.ts'

/**
 * Messages that wait together for a result: a window, a group, the last value of a debounce.
 * It keeps one parked hold per batch, not per message: the credit goes back to the source, the commit stays held.
 */
export class Pane {
  readonly messages: Message[] = []
  readonly #holds = new Map<Receipt, Held>()

  /** Adds a message of a batch. The caller still owns its own hold of the receipt. */
  add(message: Message, receipt: Receipt): void {
    this.messages.push(message)
    this.hold(receipt)
  }

  /** Holds a batch without keeping a message of it: what was replaced is settled with what replaced it. */
  hold(receipt: Receipt): void {
    if (this.#holds.has(receipt)) return
    receipt.retain(1)
    this.#holds.set(receipt, receipt.park())
  }

  /**
   * The receipt of a result of `count` messages: it settles all that went into the pane, and debits a gate as a new flyer.
   * The gate is the one that its first batch came through: another source's could be shut by what itself waits for that source.
   */
  close(count: number): Receipt {
    const holds = [...this.#holds.values()]
    this.#holds.clear()
    return joinReceipts(holds, holds[0]?.gate ?? null, { messages: count, bytes: 0 })
  }

  /** Settles all without a result. */
  drop(): void {
    for (const hold of this.#holds.values()) hold.settle()
    this.#holds.clear()
  }
}
