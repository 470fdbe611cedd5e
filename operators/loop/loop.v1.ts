import { Subject } from 'rxjs'
import { z } from 'zod'
import type { NodeContext } from '../../core/define.ts'
import { define, expression } from '../../core/define.ts'
import type { Batch } from '../../core/flow/batch.ts'
import { batch, noMessages } from '../../core/flow/batch.ts'
import type { CreditGate, Size } from '../../core/flow/credits.ts'
import { edge } from '../../core/flow/edge.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { failureOf, stopped } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import { message, metaOf, withValue } from '../../core/flow/message.ts'
import type { Receipt, ReceiptOwner } from '../../core/flow/receipt.ts'
import { openReceipt } from '../../core/flow/receipt.ts'
import type { Scope } from '../../core/flow/scope.ts'

/** The only way back: counts rounds. */
export const loopV1 = define({
  name: 'loop',
  version: 1,
  summary: 'Sends each message round by round through `round` and takes it back on `back`, while a condition holds.',
  notes:
    'A message leaves by `done` as soon as `while` does not hold, and by `error` after `roundsMax` rounds. ' +
    'Rounds go through a queue, so that a long loop neither fills the stack nor starves other work.',
  inputs: ['in', 'back'],
  outputs: ['round', 'done'],
  closesCycle: 'back',
  stateful: true,
  config: z.strictObject({
    while: expression(z.boolean()).describe('Another round follows while it holds.'),
    roundsMax: z.int().min(1).max(1_000_000).default(1_000).describe('Rounds that one message may take.'),
    messagesMax: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(100_000)
      .describe('Messages that one message may become inside the loop.'),
  }),
  examples: [
    { title: 'Nothing to do', config: { while: '{{ $json.n < 0 }}' }, input: [{ n: 3 }], output: { done: [{ n: 3 }] } },
    {
      title: 'What goes round and does not come back is dropped there',
      config: { while: '{{ $json.n > 2 }}' },
      input: [{ n: 1 }, { n: 3 }],
      output: { done: [{ n: 1 }], round: [{ n: 3 }] },
    },
  ],
  face: {
    kind: 'stream',
    make: (config, context) => (inputs) => {
      const rounds = new Rounds(context, context.reader(config.while), config.roundsMax, config.messagesMax)
      const [entering, returning] = inputs
      if (entering !== undefined) edge(entering, (input) => rounds.enter(input))
      if (returning !== undefined) edge(returning, (input) => rounds.comeBack(input))
      return [rounds.round, rounds.done, rounds.error]
    },
  },
})

/** A batch that entered: held until everything that became of its messages has ended. */
interface Entered {
  readonly receipt: Receipt
  readonly scope: Scope
  open: number
  failure: Failure | null
}

/** A message that entered, with what it became. */
interface Root {
  readonly entered: Entered
  /** Messages that have not ended, those outside the loop included. */
  open: number
  /** Of them, those inside. */
  inside: number
  /** It became too many: none of them goes round again. */
  over: boolean
}

/**
 * What of a scope is still going round: messages in the queue, and rounds that fly. A mark waits until there is none, and what comes
 * behind the mark waits with it. It owns the receipts of rounds, whose credit tells that a round flies no more: its messages have come back,
 * have gone another way, or are parked in a node that collects, which may be waiting for the mark itself.
 */
class Inside implements ReceiptOwner {
  count = 0
  readonly waiting: Batch[] = []
  readonly #left: () => void
  readonly #rounds: Rounds

  constructor(left: () => void, rounds: Rounds) {
    this.#left = left
    this.#rounds = rounds
  }

  gateOf(ticket: number): CreditGate | null {
    return this.#rounds.gateOf(ticket)
  }

  credited(): void {
    this.#left()
  }

  grown(): void {}

  closed(ticket: number, failure: Failure | null): void {
    this.#rounds.roundClosed(ticket, failure)
  }
}

/** What a message knows of its loop; it travels in the message's meta, under the loop's node id. */
class Lap {
  readonly root: Root
  readonly rounds: number

  constructor(root: Root, rounds: number) {
    this.root = root
    this.rounds = rounds
  }
}

const one: Size = { messages: 1, bytes: 0 }

class Rounds implements ReceiptOwner {
  readonly round = new Subject<Batch>()
  readonly done = new Subject<Batch>()
  readonly error = new Subject<Batch>()
  readonly #context: NodeContext
  readonly #holds: (message: Message, scope: Scope) => boolean
  readonly #roundsMax: number
  readonly #messagesMax: number
  readonly #field: string
  readonly #scopes = new Map<Scope, Inside>()
  readonly #children = new Map<number, Root>()
  #queue: { readonly message: Message; readonly root: Root; readonly rounds: number }[] = []
  #tickets = 0
  #drainPlanned = false

  constructor(
    context: NodeContext,
    holds: (message: Message, scope: Scope) => boolean,
    roundsMax: number,
    messagesMax: number,
  ) {
    this.#context = context
    this.#holds = holds
    this.#roundsMax = roundsMax
    this.#messagesMax = messagesMax
    this.#field = `loop:${context.node}`
  }

  enter(input: Batch): void {
    const waiting = this.#scopes.get(input.scope)?.waiting
    if (waiting !== undefined && waiting.length > 0) waiting.push(input)
    else this.#admit(input)
  }

  #admit({ messages, receipt, scope, mark }: Batch): void {
    if (messages.length > 0) {
      if (mark !== null) receipt.retain(1)
      const entered: Entered = { receipt, scope, open: messages.length, failure: null }
      this.#inside(scope).count += messages.length
      for (const each of messages)
        this.#queue.push({ message: each, root: { entered, open: 1, inside: 1, over: false }, rounds: 0 })
      this.#plan()
    } else if (mark === null) receipt.settle()
    if (mark === null) return
    const passing = batch(noMessages, receipt, scope, mark)
    const inside = this.#scopes.get(scope)
    if (inside !== undefined && inside.count > 0) inside.waiting.unshift(passing)
    else this.#passMark(passing)
  }

  #inside(scope: Scope): Inside {
    const known = this.#scopes.get(scope)
    if (known !== undefined) return known
    const made = new Inside(() => this.#left(scope, made), this)
    this.#scopes.set(scope, made)
    return made
  }

  /** A message goes round no more. When none does, marks pass, and what came behind them enters. */
  #left(scope: Scope, inside: Inside): void {
    inside.count -= 1
    while (inside.count === 0) {
      const next = inside.waiting.shift()
      if (next === undefined) {
        this.#scopes.delete(scope)
        return
      }
      this.#admit(next)
    }
  }

  comeBack({ messages, receipt, scope }: Batch): void {
    for (const each of messages) {
      const lap = each.meta?.[this.#field]
      if (lap instanceof Lap) {
        lap.root.open += 1
        lap.root.inside += 1
        this.#inside(scope).count += 1
        this.#queue.push({ message: each, root: lap.root, rounds: lap.rounds + 1 })
      } else {
        receipt.retain(1)
        this.#fail(
          each,
          receipt,
          scope,
          'loop.lost-count',
          'a message came back that did not enter by this loop; put nodes that make new messages after it',
        )
      }
    }
    // Marks that went round have done their work inside; the same mark has left by `done`.
    receipt.settle()
    this.#plan()
  }

  gateOf(ticket: number): CreditGate | null {
    return this.#children.get(ticket)?.entered.receipt.gate ?? null
  }

  credited(): void {}

  grown(): void {}

  roundClosed(ticket: number, failure: Failure | null): void {
    const root = this.#children.get(ticket)
    if (root !== undefined) root.inside -= 1
    this.closed(ticket, failure)
  }

  closed(ticket: number, failure: Failure | null): void {
    const root = this.#children.get(ticket)
    this.#children.delete(ticket)
    if (root !== undefined) this.#end(root, failure)
  }

  #plan(): void {
    if (this.#drainPlanned || this.#queue.length === 0) return
    this.#drainPlanned = true
    this.#context.host.clock.soon(() => {
      this.#drainPlanned = false
      const turn = this.#queue
      this.#queue = []
      for (const each of turn) this.#step(each.message, each.root, each.rounds)
      this.#plan()
    })
  }

  #step(each: Message, root: Root, rounds: number): void {
    const { scope } = root.entered
    const inside = this.#inside(scope)
    if (this.#goesRound(each, root, rounds, inside)) return
    root.inside -= 1
    this.#left(scope, inside)
  }

  /** Sends a message on its way; answers whether that is another round. */
  #goesRound(each: Message, root: Root, rounds: number, inside: Inside): boolean {
    const { scope, receipt } = root.entered
    try {
      if (scope.aborted) {
        this.#end(root, stopped(this.#context.node))
        return false
      }
      const again = this.#holds(each, scope)
      root.over ||= root.inside > this.#messagesMax
      if (again && (rounds >= this.#roundsMax || root.over)) {
        const over =
          rounds >= this.#roundsMax
            ? `took ${rounds} rounds, the limit is ${this.#roundsMax}`
            : `became more than ${this.#messagesMax} messages`
        receipt.retain(1)
        this.#fail(
          each,
          receipt,
          scope,
          rounds >= this.#roundsMax ? 'loop.rounds' : 'loop.messages',
          `the message ${over}`,
        )
        this.#end(root, null)
        return false
      }
      const ticket = this.#tickets++
      this.#children.set(ticket, root)
      if (again) {
        const meta = { ...metaOf(each), [this.#field]: new Lap(root, rounds) }
        const lap = message(each.value, each.key, each.time, meta)
        this.round.next(batch([lap], openReceipt(inside, ticket, one), scope))
      } else this.done.next(batch([each], openReceipt(this, ticket, one), scope))
      return again
    } catch (thrown) {
      const failure = failureOf(thrown, this.#context.node)
      receipt.retain(1)
      this.#fail(each, receipt, scope, failure.code, failure.message)
      this.#end(root, null)
      return false
    }
  }

  #fail(each: Message, receipt: Receipt, scope: Scope, code: string, text: string): void {
    const failure: Failure = { code, message: text, node: this.#context.node, retriable: false }
    this.error.next(batch([withValue(each, { error: failure, value: each.value })], receipt, scope))
  }

  #end(root: Root, failure: Failure | null): void {
    const { entered } = root
    if (failure !== null) entered.failure ??= failure
    root.open -= 1
    if (root.open > 0) return
    entered.open -= 1
    if (entered.open > 0) return
    if (entered.failure === null) entered.receipt.settle()
    else entered.receipt.fail(entered.failure)
  }

  #passMark(passing: Batch): void {
    passing.receipt.retain(2)
    for (const port of [this.round, this.done, this.error]) port.next(passing)
  }
}
