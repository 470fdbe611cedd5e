import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Size } from './credits.ts'
import { createGate } from './credits.ts'
import type { Failure } from './failure.ts'
import type { Held, Receipt, ReceiptOwner } from './receipt.ts'
import { joinFlying, joinReceipts, openReceipt } from './receipt.ts'

type Step =
  | { readonly do: 'open'; readonly messages: number }
  | { readonly do: 'retain'; readonly at: number; readonly count: number }
  | { readonly do: 'settle' | 'fail' | 'park'; readonly at: number }
  | { readonly do: 'grow'; readonly at: number; readonly by: number }
  | { readonly do: 'join'; readonly at: readonly number[]; readonly messages: number; readonly gated: boolean }

const at = fc.nat(100)
const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('open' as const), messages: fc.integer({ min: 1, max: 50 }) }),
  fc.record({ do: fc.constant('retain' as const), at, count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ do: fc.constantFrom('settle' as const, 'settle' as const, 'fail' as const, 'park' as const), at }),
  fc.record({ do: fc.constant('grow' as const), at, by: fc.integer({ min: 1, max: 9 }) }),
  fc.record({
    do: fc.constant('join' as const),
    at: fc.array(at, { minLength: 1, maxLength: 4 }),
    messages: fc.integer({ min: 0, max: 9 }),
    gated: fc.boolean(),
  }),
)

/** What a receipt should be, told with plain numbers. */
interface Model {
  flying: number
  parked: number
  /** Messages that it owes to the gate while it flies; null where its parents owe them. */
  owed: number | null
  failure: Failure | null
  closed: boolean
  parents: readonly Hold[]
}

interface Hold {
  readonly model: Model
  readonly held: Held
  /** Null when it is parked. */
  readonly receipt: Receipt | null
}

/** Plays steps on receipts and on the model at once. */
class Play {
  readonly gate = createGate({ messages: 1_000_000, bytes: 1_000_000 })
  readonly holds: Hold[] = []
  readonly models: Model[] = []
  readonly closed: { readonly ticket: number; readonly failure: Failure | null }[] = []
  readonly expected: { readonly ticket: number; readonly failure: Failure | null }[] = []
  #failures = 0
  readonly #owner: ReceiptOwner = {
    gateOf: () => this.gate,
    credited: (size) => this.gate.give(size),
    grown: (by) => this.gate.overdraw(by),
    closed: (ticket, failure) => void this.closed.push({ ticket, failure }),
  }

  step(each: Step): void {
    if (each.do === 'open') {
      const size: Size = { messages: each.messages, bytes: 0 }
      this.gate.overdraw(size)
      this.#add(openReceipt(this.#owner, this.models.length, size), each.messages, [])
    } else if (each.do === 'join') this.#join(each)
    else {
      const hold = this.#pick(each.at, each.do === 'settle' || each.do === 'fail')
      if (hold === undefined) return
      const { model, receipt } = hold
      if (each.do === 'settle') this.#end(hold, null)
      else if (each.do === 'fail') this.#end(hold, this.#failure())
      else if (receipt === null) return
      else if (each.do === 'retain') {
        receipt.retain(each.count)
        model.flying += each.count
        for (let i = 0; i < each.count; i++) this.holds.push({ model, held: receipt, receipt })
      } else if (each.do === 'grow') {
        receipt.grow({ messages: each.by, bytes: 0 })
        if (model.owed !== null) model.owed += each.by
      } else {
        this.holds.splice(this.holds.indexOf(hold), 1)
        this.#parkModel(model)
        this.holds.push({ model, held: receipt.park(), receipt: null })
      }
    }
  }

  /** Ends what is left, every other hold with a failure of its own. */
  endAll(): void {
    for (let hold = this.holds[0]; hold !== undefined; hold = this.holds[0])
      this.#end(hold, this.holds.length % 2 === 0 ? null : this.#failure())
  }

  get owed(): number {
    return this.models.reduce((sum, model) => sum + (model.flying > 0 ? (model.owed ?? 0) : 0), 0)
  }

  #pick(index: number, parkedToo: boolean): Hold | undefined {
    const able = this.holds.filter((hold) => parkedToo || hold.receipt !== null)
    return able[index % Math.max(1, able.length)]
  }

  /** With a gate the parents are parked and the result flies anew; without, the parents fly for as long as it does. */
  #join({ at: indices, messages, gated }: Extract<Step, { do: 'join' }>): void {
    const able = this.holds.filter((hold) => (hold.receipt === null) === gated)
    const chosen = [...new Set(indices.map((index) => able[index % Math.max(1, able.length)]))].filter(
      (hold) => hold !== undefined,
    )
    if (chosen.length === 0) return
    for (const hold of chosen) this.holds.splice(this.holds.indexOf(hold), 1)
    const size: Size = { messages, bytes: 0 }
    const receipt = gated
      ? joinReceipts(
          chosen.map((hold) => hold.held),
          this.gate,
          size,
        )
      : joinFlying(
          chosen.flatMap((hold) => hold.receipt ?? []),
          size,
        )
    this.#add(receipt, gated ? messages : null, chosen)
  }

  #add(receipt: Receipt, owed: number | null, parents: readonly Hold[]): void {
    const model: Model = { flying: 1, parked: 0, owed, failure: null, closed: false, parents }
    this.models.push(model)
    this.holds.push({ model, held: receipt, receipt })
  }

  #failure(): Failure {
    return { code: `f${++this.#failures}`, message: '', node: null, retriable: false }
  }

  #end(hold: Hold, failure: Failure | null): void {
    this.holds.splice(this.holds.indexOf(hold), 1)
    this.#endModel(hold, failure)
    if (failure === null) hold.held.settle()
    else hold.held.fail(failure)
  }

  #parkModel(model: Model): void {
    model.flying -= 1
    model.parked += 1
    this.#landModel(model)
  }

  #landModel(model: Model): void {
    if (model.flying > 0 || model.owed !== null) return
    for (const { model: parent } of model.parents) this.#parkModel(parent)
    model.parents = model.parents.map((parent) => ({ ...parent, receipt: null }))
  }

  #endModel({ model, receipt }: Hold, failure: Failure | null): void {
    model.failure ??= failure
    if (receipt === null) model.parked -= 1
    else {
      model.flying -= 1
      this.#landModel(model)
    }
    if (model.flying + model.parked > 0) return
    model.closed = true
    if (model.parents.length === 0) this.expected.push({ ticket: this.models.indexOf(model), failure: model.failure })
    for (const parent of model.parents) this.#endModel(parent, model.failure)
  }
}

test('any tree of receipts closes each source batch once, with its first failure, and gives back what was taken and grown', () => {
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 60 }), (all) => {
      const play = new Play()
      for (const each of all) {
        play.step(each)
        expect(play.closed).toEqual(play.expected)
        expect(play.gate.inFlight.messages).toBe(play.owed)
      }
      play.endAll()
      expect(play.closed).toEqual(play.expected)
      expect(play.models.every((model) => model.closed)).toBe(true)
      expect(play.gate.inFlight).toEqual({ messages: 0, bytes: 0 })
    }),
    {
      numRuns: 500,
      examples: [
        [
          [
            { do: 'open', messages: 1 },
            { do: 'park', at: 0 },
            { do: 'join', at: [0], messages: 0, gated: true },
            { do: 'grow', at: 0, by: 1 },
          ],
        ],
      ],
    },
  )
})

test('a parked hold keeps the batch open after its credit has gone back', () => {
  const events: string[] = []
  const owner: ReceiptOwner = {
    gateOf: () => null,
    credited: (size) => void events.push(`credited ${size.messages}`),
    closed: (ticket) => void events.push(`closed ${ticket}`),
    grown: () => undefined,
  }
  const receipt = openReceipt(owner, 7, { messages: 3, bytes: 30 })
  const parked = receipt.park()
  expect(events).toEqual(['credited 3'])
  parked.settle()
  expect(events).toEqual(['credited 3', 'closed 7'])
})
