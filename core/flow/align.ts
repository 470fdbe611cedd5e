import { Subject } from 'rxjs'
import type { Batch, Mark } from './batch.ts'
import { batch, noMessages } from './batch.ts'
import { EventTime } from './event-time.ts'
import type { Receipt } from './receipt.ts'
import { joinReceipts } from './receipt.ts'
import type { Scope } from './scope.ts'

/**
 * Brings several links together into one input. Messages pass; an `end` or `epoch` mark waits until every link that can carry it
 * has brought it, and what follows it on an early link waits behind it. `time` marks become their minimum.
 */
export class Alignment {
  readonly out = new Subject<Batch>()
  /** By entry group: how many links carry the marks of its scopes. */
  readonly #linksByGroup: readonly number[]
  readonly #states = new Map<Scope, Aligning>()

  constructor(linksByGroup: readonly number[]) {
    this.#linksByGroup = linksByGroup
  }

  /** Takes a batch that came by a link (0 …). */
  accept(link: number, input: Batch): void {
    const expected = this.#linksByGroup[input.scope.group] ?? 1
    if (expected <= 1) {
      this.out.next(input)
      return
    }
    const state = this.#states.get(input.scope)
    if (state?.arrived.has(link) === true) {
      state.waiting.push({ link, input })
      return
    }
    if (input.mark === null) {
      this.out.next(input)
      return
    }
    this.#mark(link, input, input.mark, expected, state ?? this.#begin(input.scope))
  }

  #begin(scope: Scope): Aligning {
    const state: Aligning = { arrived: new Set(), receipts: [], waiting: [], eventTime: null }
    this.#states.set(scope, state)
    return state
  }

  #mark(link: number, input: Batch, mark: Mark, expected: number, state: Aligning): void {
    const { receipt, scope } = input
    if (input.messages.length > 0) {
      receipt.retain(1)
      this.out.next(batch(input.messages, receipt, scope))
    }
    if (mark.kind === 'time') {
      state.eventTime ??= new EventTime(expected)
      const risen = state.eventTime.observe(state.eventTime.inputOf(link), mark.watermark)
      if (risen === null) receipt.settle()
      else this.out.next(batch(noMessages, receipt, scope, { kind: 'time', watermark: risen }))
      return
    }
    state.arrived.add(link)
    state.receipts.push(receipt)
    if (state.arrived.size < expected) return
    this.out.next(batch(noMessages, joinReceipts(state.receipts, null, { messages: 0, bytes: 0 }), scope, mark))
    const { waiting } = state
    if (mark.kind === 'end') this.#states.delete(scope)
    else {
      state.arrived.clear()
      state.receipts = []
      state.waiting = []
    }
    for (const each of waiting) this.accept(each.link, each.input)
  }
}

interface Aligning {
  readonly arrived: Set<number>
  receipts: Receipt[]
  waiting: { readonly link: number; readonly input: Batch }[]
  eventTime: EventTime | null
}
