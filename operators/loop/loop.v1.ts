import { Subject } from 'rxjs'
import { z } from 'zod'
import type { NodeContext } from '../../core/define.ts'
import { define, expression } from '../../core/define.ts'
import type { Batch, Mark } from '../../core/flow/batch.ts'
import { batch, noMessages } from '../../core/flow/batch.ts'
import type { Size } from '../../core/flow/credits.ts'
import { edge } from '../../core/flow/edge.ts'
import type { Failure } from '../../core/flow/failure.ts'
import { failureOf } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import { message, withValue } from '../../core/flow/message.ts'
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

/** A batch that entered: held until everything that became of it inside the loop has ended. */
interface Root {
  readonly receipt: Receipt
  readonly scope: Scope
  open: number
  failure: Failure | null
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
  readonly #roots = new Map<Scope, number>()
  readonly #marks = new Map<Scope, { readonly mark: Mark; readonly receipt: Receipt }[]>()
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

  enter({ messages, receipt, scope, mark }: Batch): void {
    if (messages.length > 0) {
      if (mark !== null) receipt.retain(1)
      const root: Root = { receipt, scope, open: messages.length, failure: null }
      this.#roots.set(scope, (this.#roots.get(scope) ?? 0) + 1)
      for (const each of messages) this.#queue.push({ message: each, root, rounds: 0 })
      this.#plan()
    } else if (mark === null) receipt.settle()
    if (mark === null) return
    const waiting = this.#marks.get(scope) ?? []
    waiting.push({ mark, receipt })
    this.#marks.set(scope, waiting)
    this.#passMarks(scope)
  }

  comeBack({ messages, receipt, scope }: Batch): void {
    for (const each of messages) {
      const lap = each.meta?.[this.#field]
      if (lap instanceof Lap) {
        lap.root.open += 1
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

  credited(): void {}

  grown(): void {}

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
    const { scope } = root
    try {
      if (scope.signal.aborted)
        return this.#end(root, {
          code: 'execution.stopped',
          message: 'the execution was stopped',
          node: this.#context.node,
          retriable: true,
        })
      const again = this.#holds(each, scope)
      if (again && (rounds >= this.#roundsMax || root.open > this.#messagesMax)) {
        const over =
          rounds >= this.#roundsMax
            ? `took ${rounds} rounds, the limit is ${this.#roundsMax}`
            : `became more than ${this.#messagesMax} messages`
        root.receipt.retain(1)
        this.#fail(
          each,
          root.receipt,
          scope,
          rounds >= this.#roundsMax ? 'loop.rounds' : 'loop.messages',
          `the message ${over}`,
        )
        return this.#end(root, null)
      }
      const ticket = this.#tickets++
      this.#children.set(ticket, root)
      const receipt = openReceipt(this, ticket, one)
      if (again) {
        const meta = { ...each.meta, [this.#field]: new Lap(root, rounds) }
        this.round.next(batch([message(each.value, each.key, each.time, meta)], receipt, scope))
      } else this.done.next(batch([each], receipt, scope))
    } catch (thrown) {
      const failure = failureOf(thrown, this.#context.node)
      root.receipt.retain(1)
      this.#fail(each, root.receipt, scope, failure.code, failure.message)
      this.#end(root, null)
    }
  }

  #fail(each: Message, receipt: Receipt, scope: Scope, code: string, text: string): void {
    const failure: Failure = { code, message: text, node: this.#context.node, retriable: false }
    this.error.next(batch([withValue(each, { error: failure, value: each.value })], receipt, scope))
  }

  #end(root: Root, failure: Failure | null): void {
    if (failure !== null) root.failure ??= failure
    root.open -= 1
    if (root.open > 0) return
    const left = (this.#roots.get(root.scope) ?? 1) - 1
    if (left === 0) this.#roots.delete(root.scope)
    else this.#roots.set(root.scope, left)
    if (root.failure === null) root.receipt.settle()
    else root.receipt.fail(root.failure)
    this.#passMarks(root.scope)
  }

  #passMarks(scope: Scope): void {
    if (this.#roots.has(scope)) return
    const waiting = this.#marks.get(scope)
    this.#marks.delete(scope)
    for (const { mark, receipt } of waiting ?? []) {
      receipt.retain(2)
      for (const port of [this.round, this.done, this.error]) port.next(batch(noMessages, receipt, scope, mark))
    }
  }
}
