import type { Observable } from 'rxjs'
import type { SourceLetter } from '../define.ts'
import type { Batch } from '../flow/batch.ts'
import type { CreditGate } from '../flow/credits.ts'
import { edge } from '../flow/edge.ts'
import type { FailedValue, Failure } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import { withValue } from '../flow/message.ts'
import type { Scope } from '../flow/scope.ts'
import { sink } from '../flow/sink.ts'
import type { DeadLetter } from '../host.ts'
import type { Engine } from '../run/engine.ts'
import type { SourceRun } from '../run/source-run.ts'

const limits = { messagesMax: 256, waitMsMax: 0, timeoutMs: 30_000, concurrency: 1 }

/**
 * The implicit end of every error port that no edge leaves. What it cannot write has neither been delivered nor dead-lettered,
 * so its receipts fail and the source decides.
 */
export function deadLetterSink(letters: Observable<Batch>, engine: Engine): void {
  const writer = {
    async write(
      messages: readonly Message[],
      signal: AbortSignal,
      scopeOf: (index: number) => Scope,
      gateOf: (index: number) => CreditGate | null,
    ) {
      // A source may take back what is its own, as it came; it knows better where that belongs.
      const groups: { readonly source: SourceRun | null; readonly scope: Scope; readonly indexes: number[] }[] = []
      messages.forEach((_, index) => {
        const source = engine.sourceOf(gateOf(index)) ?? null
        const scope = scopeOf(index)
        const known = groups.find((each) => each.source === source && each.scope === scope)
        if (known === undefined) groups.push({ source, scope, indexes: [index] })
        else known.indexes.push(index)
      })
      await Promise.all(
        groups.map(({ source, scope, indexes }) => {
          const own = indexes.flatMap((index) => messages[index] ?? [])
          if (source !== null) return source.deadLetter(own.map(sourceLetterOf), signal, executionOf(scope))
          return engine.host.deadLetter(
            indexes.flatMap((index) => {
              const each = messages[index]
              return each === undefined ? [] : letterOf(each, scope, engine)
            }),
            signal,
          )
        }),
      )
      engine.deadLettered(messages.length)
      for (const { scope, indexes } of groups)
        scope.owner?.deadLettered?.(failureIn(messages[indexes[0] ?? 0]?.value), indexes.length)
      return []
    },
    async close() {},
  }
  const failed = sink(writer, limits, {
    node: 'dead-letter',
    clock: engine.host.clock,
    onError: { kind: 'stop' },
    signal: engine.signal,
    stop: () => undefined,
  })(letters)
  edge(failed, (batch) => batch.receipt.settle())
}

function sourceLetterOf(each: Message): SourceLetter {
  if (!isFailedValue(each.value)) return { message: each, failure: unknownFailure }
  return { message: withValue(each, each.value.value), failure: each.value.error }
}

/** The failure in what came by an error port. */
export function failureIn(value: unknown): Failure {
  return isFailedValue(value) ? value.error : unknownFailure
}

function letterOf(each: Message, scope: Scope, engine: Engine): DeadLetter {
  return {
    workflow: engine.plan.workflow.id,
    execution: executionOf(scope),
    failure: failureIn(each.value),
    value: isFailedValue(each.value) ? each.value.value : each.value,
    key: each.key,
    time: each.time,
  }
}

function executionOf(scope: Scope): string {
  return scope.owner?.executionId(scope) ?? ''
}

const unknownFailure: Failure = { code: 'node.error', message: 'the message failed', node: null, retriable: false }

function isFailedValue(value: unknown): value is FailedValue {
  return typeof value === 'object' && value !== null && 'error' in value && 'value' in value
}
