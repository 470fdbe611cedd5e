import type { Observable } from 'rxjs'
import type { z } from 'zod'
import type { LoopBuilder } from './compile/loop-builder.ts'
import type { Into, Settings } from './document/document.ts'
import type { Expression } from './expression-field.ts'
import type { Batch, PassingMark } from './flow/batch.ts'
import type { CreditGate, Size } from './flow/credits.ts'
import type { Failure } from './flow/failure.ts'
import type { Message } from './flow/message.ts'
import type { Scope } from './flow/scope.ts'
import type { Host } from './host.ts'

export type { Expression } from './expression-field.ts'
export { constant, expression, readsBatch, startExpression } from './expression-field.ts'

/** A node type at one version: schema, docs, examples and behaviour in one place. */
export interface Definition<C> {
  /** `filter`, `http.request`: verbs for operators, nouns with a dot for connectors. */
  readonly name: string
  readonly version: number
  /** One sentence that says what it does, in the present tense. */
  readonly summary: string
  /** More than the sentence: Markdown, for the docs. */
  readonly notes?: string
  readonly inputs: readonly string[]
  /** Output ports, or how the config names them. The `error` port is implicit for all but triggers. */
  readonly outputs: readonly string[] | ((config: C) => readonly string[])
  /** Every field is described; every number has a limit. */
  readonly config: z.ZodType<C>
  readonly examples: readonly Example[]
  readonly face: Face<C>
  /** Makes a new value of the one that it is given, by `become` or `result`; on all other nodes `into` is a problem. */
  readonly makesResult?: boolean
  /** A trigger whose values are fresh objects that nobody else holds: they may be changed in place. */
  readonly freshValues?: boolean
  /** Speaks to the outside: a document's own tests must say what it answers. */
  readonly outside?: boolean
  /** A trigger whose messages come in partitions that several lanes can share among themselves. */
  readonly partitioned?: boolean
  /**
   * Which system's transactions the node takes part in, for `delivery: exactly-once`: triggers and sinks of one workflow must name the same.
   * Where this config can take part in none: why, and what to do about that.
   */
  readonly transactions?: (
    config: C,
  ) => { readonly system: string } | { readonly message: string; readonly remedy: string }
  /** Opens the place where a trigger keeps its dead letters, so that they can be listed and sent again; null where this config names none. */
  readonly deadLetters?: (config: C, context: NodeContext) => Promise<LetterShelf | null>
  /** Keeps something between messages; two triggers of different lifetimes must not both reach it. */
  readonly stateful?: boolean
  /** The input port by which a cycle may come back; only a node that counts rounds has one. */
  readonly closesCycle?: string
  /** More problems than the schema can tell: looks at the parsed config as a whole. */
  readonly check?: (config: C) => readonly ConfigProblem[]
}

export interface ConfigProblem {
  /** Dotted path inside the config. */
  readonly field: string
  readonly message: string
  readonly remedy: string
}

/** An example is documentation and a test at once: these values in give those values out, however batches are cut. */
export interface Example {
  readonly title: string
  readonly config: Readonly<Record<string, unknown>>
  /** As in a document: `replace`, `merge`, or a field name. */
  readonly into?: string
  readonly input: readonly unknown[]
  /** By port. Ports that are not named must stay silent. `null` where the outside decides: shown, not run. */
  readonly output: Readonly<Record<string, readonly unknown[]>> | null
}

/** The six ways in which a node may work, and the trigger. Core owns batching, receipts, retry and marks for all but `stream`. */
export type Face<C> =
  | { readonly kind: 'inline'; readonly build: (config: C, loop: LoopBuilder) => void }
  | { readonly kind: 'kernel'; readonly make: (config: C, context: NodeContext) => Kernel }
  | {
      readonly kind: 'async'
      readonly make: (config: C, context: NodeContext) => AsyncWork
      readonly limits: (config: C) => AsyncLimits
    }
  | {
      readonly kind: 'expand'
      readonly make: (config: C, context: NodeContext) => ExpandWork
      readonly limits: (config: C) => ExpandLimits
    }
  | { readonly kind: 'stream'; readonly make: (config: C, context: NodeContext) => StreamWork }
  | {
      readonly kind: 'sink'
      readonly make: (config: C, context: NodeContext) => SinkWriter
      readonly limits: (config: C) => SinkLimits
    }
  /** A sub-workflow by the path in its config; the planner puts the other document's nodes in its place. */
  | { readonly kind: 'call' }
  | { readonly kind: 'event-trigger'; readonly open: (config: C, context: TriggerContext) => Promise<Source> }
  | {
      readonly kind: 'stream-trigger'
      readonly open: (config: C, context: TriggerContext) => Promise<Source>
      /** Whether the source can wait when the gate is shut; if not, its config declares an overflow policy. */
      readonly pausable: boolean
    }

/** Work per message. What it emits before a throw is taken back: a message succeeds whole or fails whole. */
export type Kernel = (message: Message, emit: Emit, scope: Scope) => void
export type Emit = (message: Message, port?: number) => void
export type AsyncWork = (
  message: Message,
  signal: AbortSignal,
  scope: Scope,
) => Promise<Message | readonly Message[] | null>
/** Gives one message after the other, or several at once where they come so: what is given at once leaves as one batch. */
export type ExpandWork = (
  message: Message,
  signal: AbortSignal,
  scope: Scope,
) => AsyncIterable<Message | readonly Message[]>
/** Gets one observable per input port and gives one per output port; settles or passes on every receipt that it gets. */
export type StreamWork = (inputs: readonly Observable<Batch>[]) => readonly Observable<Batch>[]

export interface AsyncLimits {
  /** Messages worked on at once. */
  readonly concurrency: number
  /**
   * `input`: results leave in the order of their inputs. `key`: only within a key, whose messages are worked on one after the other.
   * `scope`: the same within an execution. `none`: as they come.
   */
  readonly order: 'input' | 'none' | 'key' | 'scope'
  readonly timeoutMs: number
}

export interface ExpandLimits {
  /** Iterators open at once. */
  readonly concurrency: number
  /** The whole iterator's limit. */
  readonly timeoutMs: number
  /** Results in flight of all iterators together; they are asked for more only below it. */
  readonly inFlightMax: number
}

export interface SinkLimits {
  /** A write is started at this many messages … */
  readonly messagesMax: number
  /** … or when the oldest has waited so long; 0 writes what has come in the same turn. */
  readonly waitMsMax: number
  readonly timeoutMs: number
  /** Writes under way at once; 1 keeps the order. */
  readonly concurrency: number
}

export interface SinkWriter {
  /**
   * Writes all; answers those that failed for good or for now. An empty answer: all are durable. A throw: none is.
   * `scopeOf` tells the execution of a message, which expressions are read with; `gateOf` the gate that it came through.
   */
  write(
    messages: readonly Message[],
    signal: AbortSignal,
    scopeOf: (index: number) => Scope,
    gateOf: (index: number) => CreditGate | null,
  ): Promise<readonly WriteFailure[]>
  /** Called once, after the last write. */
  close(): Promise<void>
}

export interface WriteFailure {
  readonly index: number
  readonly failure: Failure
}

/** What a node knows of where it runs. One per node and pipeline, shared by all scopes. */
export interface NodeContext {
  readonly node: string
  readonly workflow: { readonly id: string; readonly name: string; readonly version: string }
  /** What the workflow promises. */
  readonly delivery: Settings['delivery']
  readonly host: Host
  /** Aborted when the pipeline is released. */
  readonly signal: AbortSignal
  /** What the node makes of the old value, applied by the face's results through `result`. */
  readonly into: Into
  /** Makes a function of an expression that is read per message. */
  reader<T>(expression: Expression<T>): (message: Message, scope: Scope) => T
  /** The same for a field that may be left out: then it gives the message's whole value. */
  readerOrValue<T>(expression: Expression<T> | undefined): (message: Message, scope: Scope) => unknown
  /** The value of an expression that is bound at start (`$env`, `$vars`, `$workflow`). */
  value<T>(expression: Expression<T>): T
  /** The message that carries `value` onwards as the node's `into` says: alone, merged, or in a field. */
  result(original: Message, value: unknown): Message
  /** State per execution: `make` runs on a scope's first message; it is freed when the scope ends. */
  state<T>(make: (scope: Scope) => T): (scope: Scope) => T
  /** What several nodes of one pipeline use together, such as a client or a registry of sockets: made by the first that asks for the key, closed with the last pipeline that uses it. */
  shared<T>(key: string, make: () => T, close?: (value: T) => void | Promise<void>): T
  /** Runs when the pipeline is released. */
  onRelease(cleanup: () => void | Promise<void>): void
}

export interface TriggerContext extends NodeContext {
  readonly gate: CreditGate
  readonly lifetime: 'event' | 'stream'
  /**
   * Sends messages down a port under a receipt of their own. The caller has taken `size` from the gate.
   * `ticket` comes back through `Source.closed`.
   */
  emit(port: number, messages: readonly Message[], scope: Scope, ticket: number, size: Size): void
  /** Opens an execution (event lifetime, or a connection's). The opener is told once, when its end mark has closed or it was cut. */
  openScope(opener?: ScopeOpener): Scope
  /** Sends the scope's end mark after what was emitted. */
  endScope(scope: Scope): void
  /** The scope of the one long-lived execution. Stream triggers only. */
  readonly streamScope: Scope
  /**
   * Sends a mark down every port, behind all that was emitted, under a receipt that costs no credit. `Source.marked` tells when it has closed.
   * Stream triggers only: a mark belongs to the one long-lived execution.
   */
  mark(mark: PassingMark): void
  /** The source has nothing more to give; when its receipts have closed, it is done. */
  complete(): void
  /** The source broke: the execution fails. */
  fail(failure: Failure): void
}

/** Whoever opens an execution and wants to hear of its end. */
export interface ScopeOpener {
  scopeEnded(failure: Failure | null): void
  /** Before that: messages of it failed for good and lie in the dead-letter. That is no failure of the execution. */
  deadLettered?(failure: Failure): void
}

/** A message that failed for good, as its source knows it. */
export interface SourceLetter {
  readonly message: Message
  readonly failure: Failure
}

/** The place outside where a trigger keeps what failed for good. Its users close it. */
export interface LetterShelf {
  /** For people: `topic orders.dead`. */
  readonly place: string
  /** The letters up to the end as of now, oldest first in each partition: those that wait, or all that are still there. */
  read(which: 'waiting' | 'all', signal: AbortSignal): AsyncIterable<KeptLetter>
  /**
   * Sends those that wait back to where they came from, at most `limit`, and notes how far it came: a run that is cut repeats some and loses
   * none. `onLetter` hears of each when it is safe; `sent` is false for one that has no place to go back to, which then waits no more.
   */
  replay(limit: number, onLetter: (letter: KeptLetter, sent: boolean) => void, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

/** A message that failed for good, as it is kept. */
export interface KeptLetter {
  /** When it failed, in milliseconds since the epoch. */
  readonly time: number
  /** The node in which it failed. */
  readonly node: string | null
  readonly code: string
  readonly message: string
  /** Where it came from, such as `orders/0@17`; null where it was made of several. */
  readonly origin: string | null
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
}

/** Where `seek` goes. `offset` is the number of the next record to be read. */
export type SeekTarget =
  | { readonly kind: 'earliest' | 'latest' }
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'offset'; readonly offset: number }

/** One partition of a source. Numbers are null where the source cannot know them. */
export interface SourcePosition {
  /** For example `orders/0`. */
  readonly partition: string
  /** The next record to be read. */
  readonly next: number
  /** All before it is done and noted at the outside. */
  readonly committed: number | null
  /** The end, as of the last look. */
  readonly end: number | null
  /** Records between the first that is not done and the end. */
  readonly lag: number | null
  readonly inFlight: number
  /** How long the oldest batch in flight has been so, in milliseconds; 0 when none is. */
  readonly oldestMs: number
}

/** An open trigger. */
export interface Source {
  /**
   * A batch that this source emitted has closed. A failure comes here only when the execution is over, or with `delivery: exactly-once`:
   * then the source undoes its transaction and begins again where the last one ended.
   */
  closed?(ticket: number, failure: Failure | null): void
  /** A mark has reached every sink, or its execution was cut. An epoch's mark has closed: all before it is in the sinks or in state. */
  marked?(mark: PassingMark, failure: Failure | null): void
  /**
   * The messages of a failed batch, made anew from the bytes that the source holds; empty when somebody else has taken them over
   * and will send them. A source that has this answers it for every batch that is open; null only for one that it does not know.
   * Without it the values themselves are held for as long as they are in flight.
   */
  again?(ticket: number): readonly Message[] | null
  /** Takes messages of its own that no error port took, and resolves when they are safe. Absent, or answering null: the host's dead-letter does. */
  deadLetter?(letters: readonly SourceLetter[], signal: AbortSignal): Promise<void> | null
  /** Goes on reading somewhere else; what is in flight is delivered. Answers where that is, one text per partition. */
  seek?(to: SeekTarget): Promise<readonly SourcePosition[]>
  /** Where it stands; asked about once a second. */
  positions?(): readonly SourcePosition[]
  /** No more is emitted from now on; what was emitted drains. */
  pause(): void
  resume(): void
  close(): Promise<void>
}

/** Types a definition; nothing more. Its face is checked when it joins a catalogue. */
export function define<C>(definition: Definition<C>): Definition<C> {
  return Object.freeze(definition)
}

// The config type differs from version to version and is only ever used together with its own schema.
// biome-ignore lint/suspicious/noExplicitAny: a heterogeneous collection of definitions has no other common type
export type AnyDefinition = Definition<any>

/** All versions of a node type. */
export interface NodeType<V extends Versions = Versions, L extends number = number> {
  readonly name: string
  readonly versions: V
  readonly latest: L
}

export type Versions = { readonly [version: number]: AnyDefinition }

/**
 * Joins the versions of a node type and says which is the latest. That `latest` is one of them is a type error otherwise;
 * that keys, names and version numbers agree is checked here and throws at load: it is a mistake of the code, not of a user.
 */
export function defineVersions<const V extends Versions, const L extends keyof V & number>(
  versions: V,
  options: { readonly latest: L },
): NodeType<V, L> {
  const all = Object.entries(versions)
  const name = all[0]?.[1].name
  if (name === undefined) throw new Error('a node type needs at least one version')
  for (const [number, each] of all)
    if (each.version !== Number(number) || each.name !== name)
      throw new Error(`version ${number} of ${name} is defined as ${each.name}@${each.version}`)
  const highest = Math.max(...all.map(([number]) => Number(number)))
  if (highest !== options.latest)
    throw new Error(`latest of ${name} is ${options.latest}, but its highest version is ${highest}`)
  return Object.freeze({ name, versions, latest: options.latest })
}
