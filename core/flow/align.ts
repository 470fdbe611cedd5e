import { Subject } from 'rxjs'
import type { Batch, Mark } from './batch.ts'
import { batch, endMark, noMessages } from './batch.ts'
import { EventTime } from './event-time.ts'
import { stopped } from './failure.ts'
import type { Receipt } from './receipt.ts'
import { joinFlying } from './receipt.ts'
import type { Scope } from './scope.ts'

/**
 * Brings several links together into one input. Messages pass; an `end` or `epoch` mark waits until every link that can carry it
 * has brought it or has ended, and what follows it on an early link waits behind it. `time` marks become their minimum.
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
    if (input.scope.over) return this.#passOver(input)
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
    const state: Aligning = {
      arrived: new Set(),
      ended: new Set(),
      epoch: null,
      epochReceipts: [],
      endReceipts: [],
      waiting: [],
      eventTime: null,
    }
    this.#states.set(scope, state)
    scope.onEnd(() => this.#release(scope))
    return state
  }

  /** The scope was cut while marks were awaited that will not come any more. */
  #release(scope: Scope): void {
    const state = this.#states.get(scope)
    if (state === undefined) return
    this.#states.delete(scope)
    for (const receipt of [...state.epochReceipts, ...state.endReceipts]) receipt.settle()
    for (const { input } of state.waiting) input.receipt.fail(stopped(null))
  }

  /** Nobody waits for the marks of a scope that is over; its messages are refused by those who would work on them. */
  #passOver({ messages, receipt, scope }: Batch): void {
    if (messages.length === 0) receipt.settle()
    else this.out.next(batch(messages, receipt, scope))
  }

  #mark(link: number, input: Batch, mark: Mark, expected: number, state: Aligning): void {
    const { receipt, scope } = input
    if (input.messages.length > 0) {
      receipt.retain(1)
      this.out.next(batch(input.messages, receipt, scope))
    }
    if (mark.kind === 'time') {
      state.eventTime ??= eventTimeOf(expected, state.ended)
      const risen = state.eventTime.observe(state.eventTime.inputOf(link), mark.watermark)
      if (risen === null) receipt.settle()
      else this.out.next(batch(noMessages, receipt, scope, { kind: 'time', watermark: risen }))
      return
    }
    if (mark.kind === 'epoch') {
      state.arrived.add(link)
      state.epoch = mark
      state.epochReceipts.push(receipt)
    } else {
      state.ended.add(link)
      state.endReceipts.push(receipt)
      const risen = state.eventTime?.idle(state.eventTime.inputOf(link)) ?? null
      if (risen !== null) {
        receipt.retain(1)
        this.out.next(batch(noMessages, receipt, scope, { kind: 'time', watermark: risen }))
      }
    }
    if (state.arrived.size + state.ended.size === expected) this.#pass(scope, expected, state)
  }

  /** Every link has brought the epoch's mark or its end: what has ended brings nothing more, and holds nothing back. */
  #pass(scope: Scope, expected: number, state: Aligning): void {
    const { epoch, epochReceipts, waiting } = state
    if (epoch !== null) {
      state.arrived.clear()
      state.epoch = null
      state.epochReceipts = []
      state.waiting = []
      this.out.next(batch(noMessages, joinFlying(epochReceipts, noSize), scope, epoch))
      for (const each of waiting) this.accept(each.link, each.input)
    } else if (state.ended.size === expected) {
      this.#states.delete(scope)
      this.out.next(batch(noMessages, joinFlying(state.endReceipts, noSize), scope, endMark))
    }
  }
}

const noSize = { messages: 0, bytes: 0 }

/** Links that have ended already hold no time back. */
function eventTimeOf(links: number, ended: ReadonlySet<number>): EventTime {
  const eventTime = new EventTime(links)
  for (const link of ended) eventTime.idle(eventTime.inputOf(link))
  return eventTime
}

interface Aligning {
  /** Links that have brought the present epoch's mark; what follows on them waits. */
  readonly arrived: Set<number>
  readonly ended: Set<number>
  epoch: Mark | null
  epochReceipts: Receipt[]
  readonly endReceipts: Receipt[]
  waiting: { readonly link: number; readonly input: Batch }[]
  eventTime: EventTime | null
}
