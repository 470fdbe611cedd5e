import { Subject } from 'rxjs'
import type { NodeContext, StreamWork } from '../define.ts'
import type { Batch } from './batch.ts'
import { batch, noMessages } from './batch.ts'
import { edge } from './edge.ts'
import { failureOf, stopped } from './failure.ts'
import type { Message } from './message.ts'
import { withValue } from './message.ts'
import type { Receipt } from './receipt.ts'
import type { Scope } from './scope.ts'

/** What a stateful operator keeps for one scope. */
export interface PerScope {
  /**
   * Takes one message of a batch. The caller owns the batch's hold and ends it afterwards: keep the message in a pane,
   * or retain the receipt for a batch of your own. A throw sends the message to the error port.
   */
  take(message: Message, receipt: Receipt): void
  /** The scope ends: gives what must not wait any longer. Called before the end mark passes, and after what still comes behind it. */
  flush(): void
  /** Whether a mark may pass now; where it may not, the operator's own emitting asks again. Left out: always. */
  idle?(): boolean
  /** The scope is over, however it ended: frees timers. Nothing may be emitted from here. Perhaps called twice. */
  close(): void
}

/**
 * A stream operator with one input, `ports` outputs, an error port, and state per scope: made on the scope's first batch, flushed at its end mark, then freed.
 * `emit` takes a batch with one hold. Marks pass on all ports after what was flushed; what comes behind a mark that must wait, waits too.
 */
export function stateful(
  context: NodeContext,
  ports: number,
  make: (scope: Scope, emit: (port: number, output: Batch) => void) => PerScope,
): StreamWork {
  return (inputs) => {
    const operator = new StatefulOperator(context, ports, make)
    const [input] = inputs
    if (input !== undefined) edge(input, (next) => operator.accept(next))
    return operator.outputs
  }
}

interface Kept {
  readonly state: PerScope
  /** What waits behind a mark that may not pass yet; the mark is the first. */
  fenced: Batch[]
  draining: boolean
  ended: boolean
}

class StatefulOperator {
  readonly outputs: readonly Subject<Batch>[]
  readonly #node: string
  readonly #ports: number
  readonly #make: (scope: Scope, emit: (port: number, output: Batch) => void) => PerScope
  readonly #scopes = new Map<Scope, Kept>()

  constructor(
    context: NodeContext,
    ports: number,
    make: (scope: Scope, emit: (port: number, output: Batch) => void) => PerScope,
  ) {
    this.#node = context.node
    this.#ports = ports
    this.#make = make
    this.outputs = Array.from({ length: ports + 1 }, () => new Subject<Batch>())
  }

  accept(input: Batch): void {
    const { scope } = input
    if (scope.over) return this.#refuse(input)
    const kept = this.#scopes.get(scope) ?? (input.messages.length > 0 ? this.#open(scope) : null)
    if (kept === null) this.#passMark(input)
    else if (kept.fenced.length > 0) kept.fenced.push(input)
    else this.#work(kept, input)
  }

  #open(scope: Scope): Kept {
    const state = this.#make(scope, (port, output) => {
      this.#emit(port, output)
      if (kept.fenced.length > 0) this.#drain(kept)
    })
    const kept: Kept = { state, fenced: [], draining: false, ended: false }
    this.#scopes.set(scope, kept)
    scope.onEnd(() => {
      this.#scopes.delete(scope)
      state.close()
      for (const each of kept.fenced.splice(0)) this.#refuse(each)
    })
    return kept
  }

  #work(kept: Kept, input: Batch): void {
    const { messages, receipt, scope, mark } = input
    if (messages.length > 0) {
      if (mark !== null) receipt.retain(1)
      for (const each of messages) {
        // What the one before gave may have cut the execution.
        if (scope.over) break
        try {
          kept.state.take(each, receipt)
        } catch (thrown) {
          receipt.retain(1)
          const failed = withValue(each, { error: failureOf(thrown, this.#node), value: each.value })
          this.#emit(this.#ports, batch([failed], receipt, scope))
        }
      }
      if (scope.over) {
        // It was closed already, but perhaps in the middle of a message that it kept afterwards.
        kept.state.close()
        receipt.fail(stopped(this.#node))
      } else {
        if (mark?.kind === 'end' || kept.ended) kept.state.flush()
        receipt.settle()
      }
    } else if (mark?.kind === 'end') kept.state.flush()
    if (mark?.kind === 'end') kept.ended = true
    if (mark === null) {
      if (messages.length === 0) receipt.settle()
      return
    }
    const passing = batch(noMessages, receipt, scope, mark)
    if (kept.state.idle?.() === false) kept.fenced.unshift(passing)
    else this.#passMark(passing)
  }

  /** Lets go on what waits behind a mark, as far as marks may pass. */
  #drain(kept: Kept): void {
    if (kept.draining) return
    kept.draining = true
    for (let first = kept.fenced[0]; first !== undefined; first = kept.fenced[0]) {
      if (first.messages.length === 0 && first.mark !== null && kept.state.idle?.() === false) break
      kept.fenced.shift()
      this.#work(kept, first)
    }
    kept.draining = false
  }

  /** What arrives for a scope that is over is not worked on; its marks pass, so that nobody behind waits for them. */
  #refuse({ messages, receipt, scope, mark }: Batch): void {
    if (messages.length > 0) {
      if (mark !== null) receipt.retain(1)
      receipt.fail(stopped(this.#node))
    }
    if (mark !== null || messages.length === 0) this.#passMark(batch(noMessages, receipt, scope, mark))
  }

  #passMark(passing: Batch): void {
    if (passing.mark === null) return passing.receipt.settle()
    passing.receipt.retain(this.#ports)
    for (let port = 0; port <= this.#ports; port++) this.#emit(port, passing)
  }

  #emit(port: number, output: Batch): void {
    const subject = this.outputs[port]
    if (subject === undefined) output.receipt.settle()
    else subject.next(output)
  }
}
