import type { CreditGate, Size } from './credits.ts'
import type { Failure } from './failure.ts'

/** One share of what is owed to a source. Exactly one of the two is called, exactly once. */
export interface Held {
  /** The gate of the source that is owed; of several sources, the first one's. Null for a mark. */
  readonly gate: CreditGate | null
  /** Delivered, dead-lettered, or dropped on purpose. */
  settle(): void
  /** Neither delivered nor dead-lettered: an infrastructure failure. A message's own error never comes here. */
  fail(failure: Failure): void
}

/**
 * What is owed to the source for a batch, counted on fan-out. It starts with one holder: whoever receives the batch.
 * A flying holder owns credit, a parked one does not; the receipt closes when the last holder of either kind ended.
 */
export interface Receipt extends Held {
  readonly size: Size
  /** Adds holders, before the first of them can end. */
  retain(holders: number): void
  /** Accounts for messages that a one-to-many node added. */
  grow(by: Size): void
  /** Turns one flying holder into a parked one: the credit goes back when none flies, the commit stays held. */
  park(): Held
}

/** Gets the receipts of one source back: an integer ticket instead of a closure per batch. */
export interface ReceiptOwner {
  /** The gate of the source that a receipt's messages came through in the end. */
  gateOf(ticket: number): CreditGate | null
  /** No holder flies any more: the credit is free. */
  credited(size: Size): void
  /** The last holder ended. `failure` is the first one reported, or null. */
  closed(ticket: number, failure: Failure | null): void
  /** A one-to-many node added messages. */
  grown(by: Size): void
}

/** Opens a receipt with one flying holder. The owner has already debited `size`. */
export function openReceipt(owner: ReceiptOwner, ticket: number, size: Size): Receipt {
  return new CountedReceipt(owner, ticket, size)
}

/**
 * One receipt over several parked holds: what a message made of several inputs carries. `size` is debited as a new flyer.
 * Each of `parents` is one hold that the caller owns and hands over; all end when the new receipt closes.
 */
export function joinReceipts(parents: readonly Held[], gate: CreditGate | null, size: Size): Receipt {
  if (gate !== null) gate.overdraw(size)
  return new CountedReceipt(new JoinedOwner(parents, gate), 0, size)
}

/** The same over holds that fly: they own the credit as long as the new receipt flies, and are parked when it is. */
export function joinFlying(parents: readonly Receipt[], size: Size): Receipt {
  return new CountedReceipt(new FlyingOwner(parents), 0, size)
}

/** Watches receipts open and end; the test kit proves with it that each hold ends exactly once. */
export interface ReceiptObserver {
  opened(receipt: Receipt): void
  closed(receipt: Receipt): void
  /** A hold was ended that had ended already. */
  overEnded(receipt: Receipt): void
}

let observer: ReceiptObserver | null = null

/** Sets the observer, for tests; returns the one before. */
export function observeReceipts(next: ReceiptObserver | null): ReceiptObserver | null {
  const before = observer
  observer = next
  return before
}

class CountedReceipt implements Receipt {
  size: Size
  private holders = 1
  private flying = 1
  private failure: Failure | null = null
  private readonly owner: ReceiptOwner
  private readonly ticket: number

  constructor(owner: ReceiptOwner, ticket: number, size: Size) {
    this.owner = owner
    this.ticket = ticket
    this.size = size
    if (observer !== null) observer.opened(this)
  }

  get gate(): CreditGate | null {
    return this.owner.gateOf(this.ticket)
  }

  retain(holders: number): void {
    this.holders += holders
    this.flying += holders
  }

  grow(by: Size): void {
    this.size = { messages: this.size.messages + by.messages, bytes: this.size.bytes + by.bytes }
    this.owner.grown(by)
  }

  settle(): void {
    if (this.flying <= 0) return this.overEnded()
    this.flying -= 1
    this.holders -= 1
    if (this.flying === 0) this.owner.credited(this.size)
    if (this.holders === 0) this.close()
  }

  fail(failure: Failure): void {
    this.failure ??= failure
    this.settle()
  }

  park(): Held {
    if (this.flying <= 0) this.overEnded()
    else {
      this.flying -= 1
      if (this.flying === 0) this.owner.credited(this.size)
    }
    return new ParkedHold(this)
  }

  /** Ends a parked hold; called by ParkedHold only. */
  endParked(failure: Failure | null): void {
    if (failure !== null) this.failure ??= failure
    if (this.holders <= 0) return this.overEnded()
    this.holders -= 1
    if (this.holders === 0) this.close()
  }

  private close(): void {
    if (observer !== null) observer.closed(this)
    this.owner.closed(this.ticket, this.failure)
  }

  /** A hold ended twice means that something else may be lost; it is never ignored where an observer watches. */
  private overEnded(): void {
    if (observer !== null) observer.overEnded(this)
  }
}

class ParkedHold implements Held {
  private readonly receipt: CountedReceipt

  constructor(receipt: CountedReceipt) {
    this.receipt = receipt
  }

  get gate(): CreditGate | null {
    return this.receipt.gate
  }

  settle(): void {
    this.receipt.endParked(null)
  }

  fail(failure: Failure): void {
    this.receipt.endParked(failure)
  }
}

class JoinedOwner implements ReceiptOwner {
  private readonly parents: readonly Held[]
  private readonly gate: CreditGate | null

  constructor(parents: readonly Held[], gate: CreditGate | null) {
    this.parents = parents
    this.gate = gate
  }

  gateOf(): CreditGate | null {
    return this.gate ?? this.parents[0]?.gate ?? null
  }

  credited(size: Size): void {
    this.gate?.give(size)
  }

  grown(by: Size): void {
    this.gate?.overdraw(by)
  }

  closed(_ticket: number, failure: Failure | null): void {
    endAll(this.parents, failure)
  }
}

class FlyingOwner implements ReceiptOwner {
  private readonly parents: readonly Receipt[]
  private holds: readonly Held[]

  constructor(parents: readonly Receipt[]) {
    this.parents = parents
    this.holds = parents
  }

  gateOf(): CreditGate | null {
    return this.parents[0]?.gate ?? null
  }

  credited(): void {
    this.holds = this.parents.map((each) => each.park())
  }

  grown(): void {}

  closed(_ticket: number, failure: Failure | null): void {
    endAll(this.holds, failure)
  }
}

function endAll(holds: readonly Held[], failure: Failure | null): void {
  for (const each of holds) {
    if (failure === null) each.settle()
    else each.fail(failure)
  }
}
