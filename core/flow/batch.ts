import type { Message } from './message.ts'
import type { Receipt } from './receipt.ts'
import type { Scope } from './scope.ts'

/**
 * What travels in the stream between messages.
 * `time`: nothing older follows. `epoch`: a snapshot's fence. `end`: the scope's last word.
 */
export type Mark =
  | { readonly kind: 'time'; readonly watermark: number }
  | { readonly kind: 'epoch'; readonly epoch: number }
  | { readonly kind: 'end' }

/** What a source may send on its way; the end is the execution's to send. */
export type PassingMark = Exclude<Mark, { kind: 'end' }>

export const endMark: Mark = { kind: 'end' }

/** Messages of one scope under one receipt; the unit that flows through RxJS. The mark comes after the messages. */
export interface Batch {
  readonly messages: readonly Message[]
  readonly receipt: Receipt
  readonly scope: Scope
  readonly mark: Mark | null
}

class BatchRecord implements Batch {
  readonly messages: readonly Message[]
  readonly receipt: Receipt
  readonly scope: Scope
  readonly mark: Mark | null

  constructor(messages: readonly Message[], receipt: Receipt, scope: Scope, mark: Mark | null) {
    this.messages = messages
    this.receipt = receipt
    this.scope = scope
    this.mark = mark
  }
}

/** The one door that makes batches. Whoever receives the batch holds one holder of its receipt. */
export function batch(messages: readonly Message[], receipt: Receipt, scope: Scope, mark: Mark | null = null): Batch {
  return new BatchRecord(messages, receipt, scope, mark)
}

/** The same batch with other messages: receipt holder, scope and mark pass on. */
export function rest(original: Batch, messages: readonly Message[]): Batch {
  return new BatchRecord(messages, original.receipt, original.scope, original.mark)
}

export const noMessages: readonly Message[] = Object.freeze([])
