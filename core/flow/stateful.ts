import type { Observable } from 'rxjs'
import { Subject } from 'rxjs'
import type { NodeContext, StreamWork } from '../define.ts'
import type { Batch, Mark } from './batch.ts'
import { batch, noMessages } from './batch.ts'
import { edge } from './edge.ts'
import { failureOf } from './failure.ts'
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
  /** The scope ends, or an epoch closes: gives what must not wait any longer. Called before the mark passes. */
  flush(): void
  /** Whether the mark may pass now; where it may not, the operator's own emitting asks again. Left out: always. */
  idle?(): boolean
  /** The scope is over, however it ended: frees timers. Nothing may be emitted from here. */
  close(): void
}

/**
 * A stream operator with one input, `ports` outputs, an error port, and state per scope: made on the scope's first batch, flushed at its end mark, then freed.
 * `emit` takes a batch with one hold. Marks pass on all ports after what was flushed.
 */
export function stateful(
  context: NodeContext,
  ports: number,
  make: (scope: Scope, emit: (port: number, output: Batch) => void) => PerScope,
): StreamWork {
  return (inputs) => {
    const outputs = Array.from({ length: ports + 1 }, () => new Subject<Batch>())
    const states = new Map<Scope, PerScope>()
    const emit = (port: number, output: Batch): void => {
      const subject = outputs[port]
      if (subject === undefined) output.receipt.settle()
      else subject.next(output)
    }
    const marks = new Map<Scope, { readonly mark: Mark; readonly receipt: Receipt }[]>()
    const passMarks = (scope: Scope): void => {
      if (states.get(scope)?.idle?.() === false) return
      const queued = marks.get(scope)
      marks.delete(scope)
      for (const { mark, receipt } of queued ?? []) {
        receipt.retain(ports)
        for (let port = 0; port <= ports; port++) emit(port, batch(noMessages, receipt, scope, mark))
      }
    }
    const stateOf = (scope: Scope): PerScope => {
      const known = states.get(scope)
      if (known !== undefined) return known
      const made = make(scope, (port, output) => {
        emit(port, output)
        if (marks.has(scope)) passMarks(scope)
      })
      states.set(scope, made)
      scope.onEnd(() => {
        states.delete(scope)
        made.close()
      })
      return made
    }
    const [input] = inputs
    if (input !== undefined)
      edge(input, ({ messages, receipt, scope, mark }) => {
        if (messages.length > 0) {
          if (mark !== null) receipt.retain(1)
          const state = stateOf(scope)
          for (const each of messages) {
            try {
              state.take(each, receipt)
            } catch (thrown) {
              receipt.retain(1)
              const failed = withValue(each, { error: failureOf(thrown, context.node), value: each.value })
              emit(ports, batch([failed], receipt, scope))
            }
          }
          receipt.settle()
        } else if (mark === null) receipt.settle()
        if (mark === null) return
        const queued = marks.get(scope) ?? []
        queued.push({ mark, receipt })
        marks.set(scope, queued)
        if (mark.kind === 'end') states.get(scope)?.flush()
        passMarks(scope)
      })
    return outputs satisfies readonly Observable<Batch>[]
  }
}
