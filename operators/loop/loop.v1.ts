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
import type { Held, Receipt, ReceiptOwner } from '../../core/flow/receipt.ts'
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
  /** What became of its messages and is neither ended nor parked in a node that collects. Where there is none, it is parked too. */
  flying: number
  parked: Held | null
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
 * behind the mark waits with it.
 */
interface Inside {
  count: number
  readonly waiting: Batch[]
}

/**
 * A message on its way, and the owner of its receipt. The credit of a round tells that it flies no more: its messages have come back,
 * have gone another way, or are parked in a node that collects, which may be waiting for the mark itself.
 */
class Child implements ReceiptOwner {
  readonly #rounds: Rounds
  readonly #root: Root
  /** Null when it leaves the loop. */
  readonly #inside: Inside | null
  /** What it owes itself, since the batch that it came from has got its credit back. */
  readonly #debt: CreditGate | null

  constructor(rounds: Rounds, root: Root, inside: Inside | null) {
    this.#rounds = rounds
    this.#root = root
    this.#inside = inside
    this.#debt = root.entered.parked === null ? null : root.entered.receipt.gate
    this.#debt?.overdraw(one)
  }

  gateOf(): CreditGate | null {
    return this.#root.entered.receipt.gate
  }

  credited(): void {
    this.#debt?.give(one)
    this.#rounds.landed(this.#root.entered)
    if (this.#inside !== null) this.#rounds.left(this.#root.entered.scope, this.#inside)
  }

  grown(): void {}

  closed(_ticket: number, failure: Failure | null): void {
    if (this.#inside !== null) this.#root.inside -= 1
    this.#rounds.end(this.#root, failure)
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

class Rounds {
  readonly round = new Subject<Batch>()
  readonly done = new Subject<Batch>()
  readonly error = new Subject<Batch>()
  readonly #context: NodeContext
  readonly #holds: (message: Message, scope: Scope) => boolean
  readonly #roundsMax: number
  readonly #messagesMax: number
  readonly #field: string
  readonly #scopes = new Map<Scope, Inside>()
  #queue: { readonly message: Message; readonly root: Root; readonly rounds: number }[] = []
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
      const entered: Entered = {
        receipt,
        scope,
        open: messages.length,
        flying: messages.length,
        parked: null,
        failure: null,
      }
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
    const made: Inside = { count: 0, waiting: [] }
    this.#scopes.set(scope, made)
    return made
  }

  /** A message goes round no more. When none does, marks pass, and what came behind them enters. */
  left(scope: Scope, inside: Inside): void {
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
        lap.root.entered.flying += 1
        this.#inside(scope).count += 1
        this.#queue.push({ message: each, root: lap.root, rounds: lap.rounds + 1 })
      } else {
        receipt.retain(1)
        const text = 'a message came back that did not enter by this loop; put nodes that make new messages after it'
        this.#fail(each, receipt, scope, 'loop.lost-count', text)
      }
    }
    // Marks that went round have done their work inside; the same mark has left by `done`.
    receipt.settle()
    this.#plan()
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
    this.left(scope, inside)
  }

  /** Sends a message on its way; answers whether that is another round. */
  #goesRound(each: Message, root: Root, rounds: number, inside: Inside): boolean {
    const { scope } = root.entered
    const leaving = (): Receipt => openReceipt(new Child(this, root, null), 0, one)
    try {
      if (scope.aborted) {
        this.landed(root.entered)
        this.end(root, stopped(this.#context.node))
        return false
      }
      const again = this.#holds(each, scope)
      root.over ||= root.inside > this.#messagesMax
      if (again && rounds >= this.#roundsMax) {
        const text = `the message took ${rounds} rounds, the limit is ${this.#roundsMax}`
        this.#fail(each, leaving(), scope, 'loop.rounds', text)
      } else if (again && root.over) {
        const text = `the message became more than ${this.#messagesMax} messages`
        this.#fail(each, leaving(), scope, 'loop.messages', text)
      } else if (again) {
        const meta = { ...metaOf(each), [this.#field]: new Lap(root, rounds) }
        const lap = message(each.value, each.key, each.time, meta)
        this.round.next(batch([lap], openReceipt(new Child(this, root, inside), 0, one), scope))
        return true
      } else this.done.next(batch([each], leaving(), scope))
    } catch (thrown) {
      const failure = failureOf(thrown, this.#context.node)
      this.#fail(each, leaving(), scope, failure.code, failure.message)
    }
    return false
  }

  #fail(each: Message, receipt: Receipt, scope: Scope, code: string, text: string): void {
    const failure: Failure = { code, message: text, node: this.#context.node, retriable: false }
    this.error.next(batch([withValue(each, { error: failure, value: each.value })], receipt, scope))
  }

  /** Something flies no more that became of a batch. */
  landed(entered: Entered): void {
    entered.flying -= 1
    if (entered.flying === 0) entered.parked ??= entered.receipt.park()
  }

  end(root: Root, failure: Failure | null): void {
    const { entered } = root
    if (failure !== null) entered.failure ??= failure
    root.open -= 1
    if (root.open > 0) return
    entered.open -= 1
    if (entered.open > 0) return
    const hold = entered.parked ?? entered.receipt
    if (entered.failure === null) hold.settle()
    else hold.fail(entered.failure)
  }

  #passMark(passing: Batch): void {
    passing.receipt.retain(2)
    for (const port of [this.round, this.done, this.error]) port.next(passing)
  }
}
