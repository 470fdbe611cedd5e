import type { NodeContext, ScopeOpener, Source, TriggerContext } from '../define.ts'
import type { PassingMark } from '../flow/batch.ts'
import type { CreditGate, Size } from '../flow/credits.ts'
import type { Failure } from '../flow/failure.ts'
import { NodeError } from '../flow/failure.ts'
import type { Message } from '../flow/message.ts'
import type { Scope } from '../flow/scope.ts'
import type { SharedThings } from './shared-things.ts'
import type { Trigger } from './trigger.ts'

/** Who a feed gives to: one version's place for the source. */
export interface FeedReader {
  readonly scope: Scope
  /** `scope`: one that it has opened; null stands for its own. */
  emit(port: number, messages: readonly Message[], ticket: number, size: Size, scope: Scope | null): void
  mark(mark: PassingMark): void
  complete(): void
  fail(failure: Failure): void
  openScope(opener?: ScopeOpener): Scope
  endScope(scope: Scope): void
}

/** What was emitted and is not closed yet. */
export interface Emission {
  readonly ticket: number
  readonly port: number
  readonly messages: readonly Message[]
  readonly size: Size
  /** Null for the long-lived execution's own. */
  readonly scope: Scope | null
}

/**
 * An open source of a long-lived execution. It outlives the pipeline that opened it: a new version that has the same trigger
 * becomes its reader, and the outside (a consumer group, the sockets of a server) does not notice.
 */
export class Feed {
  readonly gate: CreditGate
  source: Source | null = null
  /** Somebody asked it to rest. */
  paused = false
  #reader: FeedReader
  /** What a source that cannot wait emits while one reader has gone and the next has not come; the gate bounds it. */
  #between: Emission[] | null = null
  /** Scopes that a reader has left, by which the source still knows them; what they have become for the next reader, once they are needed. */
  readonly #left = new Map<Scope, { readonly opener: ScopeOpener | null; scope: Scope | null }>()
  readonly #shared: SharedThings
  readonly #controller = new AbortController()
  readonly #cleanups: (() => void | Promise<void>)[] = []

  constructor(gate: CreditGate, shared: SharedThings, reader: FeedReader) {
    this.gate = gate
    this.#shared = shared
    this.#reader = reader
  }

  async open(trigger: Trigger): Promise<void> {
    this.source = await trigger.face.open(trigger.node.config, this.#context(trigger.context))
    if (this.paused) this.source.pause()
  }

  /** From now on nothing reaches the reader that there is. */
  detach(): void {
    this.#between ??= []
  }

  /** The reader ends this scope, but the source is to go on with it: the next reader opens another in its place, with the next message. */
  leave(scope: Scope, opener: ScopeOpener | null): void {
    this.#left.set(scope, { opener, scope: null })
  }

  /** What was emitted before and has not been delivered comes first, then what came in between. */
  leadTo(reader: FeedReader, left: readonly Emission[]): void {
    this.#reader = reader
    const between = this.#between ?? []
    this.#between = null
    for (const each of left) this.gate.overdraw(each.size)
    for (const each of [...left, ...between]) this.#give(each)
    if (!this.paused) this.source?.resume()
  }

  async close(): Promise<void> {
    const { source } = this
    this.source = null
    this.#controller.abort(new NodeError('workflow.released', 'the workflow has been stopped'))
    try {
      await source?.close()
      for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup()
    } finally {
      await this.#shared.release(this)
    }
  }

  #give({ port, messages, ticket, size, scope }: Emission): void {
    this.#reader.emit(port, messages, ticket, size, scope === null ? null : this.#present(scope))
  }

  /** The scope as the reader knows it. */
  #present(scope: Scope): Scope {
    const left = this.#left.get(scope)
    if (left === undefined) return scope
    left.scope ??= this.#reader.openScope(left.opener ?? undefined)
    return this.#present(left.scope)
  }

  #end(scope: Scope): void {
    const left = this.#left.get(scope)
    this.#left.delete(scope)
    if (left === undefined) this.#reader.endScope(scope)
    else if (left.scope !== null) this.#end(left.scope)
    // Nothing has come for it since it was left, so it ended then.
    else left.opener?.scopeEnded(null)
  }

  #context(context: NodeContext): TriggerContext {
    const reader = (): FeedReader => this.#reader
    // A source may keep the scope that it was given at first; it means the long-lived execution, whichever that is by now.
    const streamScopes = new WeakSet<Scope>()
    return {
      ...context,
      signal: this.#controller.signal,
      onRelease: (cleanup) => void this.#cleanups.push(cleanup),
      shared: (key, make, close) => this.#shared.use(this, key, make, close),
      gate: this.gate,
      lifetime: 'stream',
      get streamScope() {
        streamScopes.add(reader().scope)
        return reader().scope
      },
      emit: (port, messages, of, ticket, size) => {
        const scope = of === this.#reader.scope || streamScopes.has(of) ? null : of
        if (this.#between !== null) this.#between.push({ ticket, port, messages, size, scope })
        else this.#reader.emit(port, messages, ticket, size, scope === null ? null : this.#present(scope))
      },
      openScope: (opener) => this.#reader.openScope(opener),
      endScope: (scope) => this.#end(scope),
      mark: (mark) => this.#reader.mark(mark),
      complete: () => this.#reader.complete(),
      fail: (failure) => this.#reader.fail(failure),
    }
  }
}
