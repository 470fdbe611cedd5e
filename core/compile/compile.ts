import type { Observable } from 'rxjs'
import { Subject } from 'rxjs'
import type { Catalogue } from '../catalogue.ts'
import type { AnyDefinition, SinkWriter } from '../define.ts'
import type { Plan, PlannedNode, PlannedStage } from '../document/plan.ts'
import { Alignment } from '../flow/align.ts'
import type { AsyncContext } from '../flow/async-map.ts'
import { asyncMap } from '../flow/async-map.ts'
import type { Batch } from '../flow/batch.ts'
import { batch, noMessages } from '../flow/batch.ts'
import { edge } from '../flow/edge.ts'
import { expand } from '../flow/expand.ts'
import type { Scope } from '../flow/scope.ts'
import { sink } from '../flow/sink.ts'
import { watched } from '../flow/watch.ts'
import type { Host, Watch } from '../host.ts'
import type { Pipeline } from '../pipeline.ts'
import { Engine } from '../run/engine.ts'
import { nodeContext } from './context.ts'
import { deadLetterSink, failureIn } from './dead-letter.ts'
import { interpretStage } from './interpret.ts'
import { Outlet } from './outlet.ts'
import type { ErrorRoutes, Loop, StageCounts } from './stage.ts'
import { kernelLoop, MeteredStage, SyncStage, TracedStage } from './stage.ts'
import type { StageText } from './stage-text.ts'
import { stageText } from './stage-text.ts'

export interface CompileOptions {
  /** Walk the statements in place of generating loops: the oracle of the tests, and what runs where code may not be generated. */
  readonly interpret?: boolean
  /** An older version that this one is to take over from: they share what nodes use together. */
  readonly before?: Pipeline
}

/**
 * Joins a plan to observables. This is the only file that wires them together: one subscription per link,
 * made once, shared by all executions of the version.
 */
export function compile(plan: Plan, catalogue: Catalogue, host: Host, options: CompileOptions = {}): Pipeline {
  return new Wiring(plan, catalogue, host, options).connect()
}

class Wiring {
  readonly #plan: Plan
  readonly #catalogue: Catalogue
  readonly #options: CompileOptions
  readonly #engine: Engine
  readonly #outlets: readonly (readonly Outlet[])[]
  /** By stage and input port: where batches enter. */
  readonly #inlets: readonly (readonly Subject<Batch>[])[]
  readonly #deadLetter = new Subject<Batch>()
  readonly #sources = new Map<number, string>()

  constructor(plan: Plan, catalogue: Catalogue, host: Host, options: CompileOptions) {
    this.#plan = plan
    this.#catalogue = catalogue
    this.#options = options
    this.#engine = new Engine(plan, host, options.before ?? null)
    this.#outlets = plan.stages.map((stage) => stage.exits.map((exit) => new Outlet(exit)))
    this.#inlets = plan.stages.map((stage) => stage.inputs.map(() => new Subject<Batch>()))
  }

  connect(): Pipeline {
    deadLetterSink(this.#deadLetter, this.#engine)
    // Stages are connected from the last to the first, so that whoever emits on subscription finds its readers.
    for (const stage of [...this.#plan.stages].reverse()) this.#stage(stage)
    this.#links()
    return this.#engine.pipeline((stage) => this.#sources.get(stage) ?? '')
  }

  #stage(stage: PlannedStage): void {
    const first = this.#nodeOf(stage)
    if (stage.kind === 'loop') return this.#sync(stage, this.#loop(stage))
    const { face } = this.#definitionOf(first)
    const context = nodeContext(first, this.#engine)
    const config = first.config
    switch (face.kind) {
      case 'kernel': {
        const exitOfPort = first.outputs.map((port) => exitOf(stage, first.index, port))
        const readers = first.outputs.map((port) => this.#engine.tapOf(first.id, port))
        const loop = kernelLoop(first, face.make(config, context), exitOfPort, kernelEmitsMax, readers)
        const counters = first.outputs.map((port) => ({ node: first.index, port }))
        return this.#sync(stage, { loop, counters })
      }
      case 'async':
        return this.#twoPorts(stage, first, (input) =>
          asyncMap(
            watched(this.#engine.host.watch, first.index, face.make(config, context)),
            face.limits(config),
            this.#asyncContext(first),
          )(input),
        )
      case 'expand':
        return this.#twoPorts(stage, first, (input) =>
          expand(
            watched(this.#engine.host.watch, first.index, face.make(config, context)),
            face.limits(config),
            this.#asyncContext(first),
          )(input),
        )
      case 'sink': {
        const writer = watchedWriter(this.#engine.host.watch, first.index, face.make(config, context))
        context.onRelease(() => writer.close())
        return this.#twoPorts(stage, first, (input) => ({
          out: null,
          error: sink(writer, face.limits(config), this.#asyncContext(first))(input),
        }))
      }
      case 'stream': {
        const inputs = (this.#inlets[stage.index] ?? []).map((inlet) => this.#counted(stage, inlet))
        face
          .make(
            config,
            context,
          )(inputs)
          .forEach((output, index) => {
            const port = first.outputs[index]
            if (port !== undefined) this.#leave(stage, first, port, output)
            else this.#leave(stage, first, 'error', handled(output, this.#asyncContext(first)))
          })
        return
      }
      case 'event-trigger':
      case 'stream-trigger': {
        const counts = this.#engine.countsOf(
          stage,
          first.outputs.map((port) => ({ node: first.index, port })),
        )
        const ports = first.outputs.map((port, index) => {
          const send = this.#sender(stage, first, port)
          if (counts === null) return send
          return (batch: Batch) => {
            if (port === 'error') addErrors(counts, first.index, batch.messages.length)
            else counts.ports[index] = (counts.ports[index] ?? 0) + batch.messages.length
            send(batch)
          }
        })
        this.#engine.addTrigger(first, face, context, ports)
        return
      }
    }
  }

  #sync(
    stage: PlannedStage,
    made: { readonly loop: Loop; readonly counters: readonly { readonly node: number; readonly port: string }[] },
  ): void {
    const counts = this.#engine.countsOf(stage, made.counters)
    const parts: ConstructorParameters<typeof SyncStage> = [
      stage,
      made.loop,
      this.#outlets[stage.index] ?? [],
      (batch) => this.#deadLetter.next(batch),
      this.#errorRoutes(stage),
      (scope) => this.#engine.batchInput(scope),
    ]
    const runner = this.#runner(stage, counts, parts)
    const [inlet] = this.#inlets[stage.index] ?? []
    if (inlet !== undefined)
      edge(
        inlet,
        watched(this.#engine.host.watch, stage.nodes[0] ?? -1, (batch: Batch) => runner.accept(batch)),
      )
    if (stage.kind === 'loop') this.#engine.addTapper(stage, (taps) => this.#retap(stage, runner, taps))
  }

  /** Telemetry is a choice of class: with `off` there is no code of it, with `trace` without a collector there are only metrics. */
  #runner(stage: PlannedStage, counts: StageCounts | null, parts: ConstructorParameters<typeof SyncStage>): SyncStage {
    if (counts === null) return new SyncStage(...parts)
    const { clock, span } = this.#engine.host
    if (this.#plan.settings.telemetry !== 'trace' || span === undefined)
      return new MeteredStage(counts, clock, ...parts)
    const nodes = stage.nodes.map((index) => this.#plan.nodes[index]?.id ?? '')
    const workflow = this.#plan.workflow.id
    return new TracedStage((each) => span({ workflow, ...each }), nodes, counts, clock, ...parts)
  }

  #loop(stage: PlannedStage): { loop: Loop; counters: StageText['counters'] } {
    const text = stageText(this.#plan, stage, { counters: this.#engine.countsPorts, immutable: false, taps: [] })
    this.#sources.set(stage.index, text.text)
    const loop =
      this.#options.interpret === true ? interpretStage(this.#plan, stage, text.counters) : evaluateText(text)
    return { loop, counters: text.counters }
  }

  /** Puts an instrumented twin of a stage's loop into its slot, or the plain loop back. */
  #retap(
    stage: PlannedStage,
    runner: SyncStage,
    taps: readonly { readonly key: string; readonly read: SyncStage['taps'][number] }[],
  ): void {
    const text = stageText(this.#plan, stage, {
      counters: this.#engine.countsPorts,
      immutable: taps.length > 0,
      taps: taps.map((tap) => tap.key),
    })
    runner.taps.splice(0, runner.taps.length, ...taps.map((tap) => tap.read))
    runner.loop = evaluateText(text)
  }

  #twoPorts(
    stage: PlannedStage,
    node: PlannedNode,
    make: (input: Observable<Batch>) => { readonly out: Observable<Batch> | null; readonly error: Observable<Batch> },
  ): void {
    const [inlet] = this.#inlets[stage.index] ?? []
    if (inlet === undefined) return
    const made = make(this.#counted(stage, inlet))
    if (made.out !== null) this.#leave(stage, node, 'out', made.out)
    this.#leave(stage, node, 'error', made.error)
  }

  #counted(stage: PlannedStage, inlet: Subject<Batch>): Subject<Batch> {
    const counts = this.#engine.countsOf(
      stage,
      this.#nodeOf(stage).outputs.map((port) => ({ node: stage.nodes[0] ?? -1, port })),
    )
    if (counts === null) return inlet
    const counted = new Subject<Batch>()
    edge(inlet, (batch) => {
      counts.in += batch.messages.length
      counts.batches += 1
      counted.next(batch)
    })
    return counted
  }

  /** Leads what a node gives on a port to where the port's edges go. */
  #leave(stage: PlannedStage, node: PlannedNode, port: string, output: Observable<Batch>): void {
    const send = this.#sender(stage, node, port)
    const counts = this.#engine.countsOf(stage, [])
    const position = node.outputs.indexOf(port)
    edge(output, (batch) => {
      if (counts !== null && port === 'error') addErrors(counts, node.index, batch.messages.length)
      else if (counts !== null && position >= 0)
        counts.ports[position] = (counts.ports[position] ?? 0) + batch.messages.length
      send(batch)
    })
  }

  /** What takes a batch with one hold and sends it down a port, or ends it where no edge leaves. */
  #sender(stage: PlannedStage, node: PlannedNode, port: string): (batch: Batch) => void {
    const exit = exitOf(stage, node.index, port)
    const outlet = exit === null ? undefined : this.#outlets[stage.index]?.[exit]
    const toTaps = this.#engine.tapOf(node.id, port)
    if (outlet !== undefined)
      return (batch) => {
        if (toTaps.length > 0) for (const read of toTaps) read(batch.messages)
        outlet.send(batch)
      }
    if (port !== 'error')
      return (batch) => {
        if (toTaps.length > 0) for (const read of toTaps) read(batch.messages)
        batch.receipt.settle()
      }
    return (batch) => {
      if (toTaps.length > 0) for (const read of toTaps) read(batch.messages)
      if (batch.messages.length > 0) this.#deadLetter.next(batch)
      else batch.receipt.settle()
    }
  }

  #links(): void {
    const next = new Map<string, number>()
    for (const stage of this.#plan.stages)
      stage.exits.forEach((exit, index) => {
        const outlet = this.#outlets[stage.index]?.[index]
        for (const target of exit.targets) {
          const inlet = this.#inlets[target.stage]?.[target.port]
          if (inlet === undefined || outlet === undefined) continue
          const key = `${target.stage}.${target.port}`
          const link = next.get(key) ?? 0
          next.set(key, link + 1)
          const alignment = this.#alignment(target.stage, target.port, inlet)
          if (alignment === null) edge(outlet.batches, (batch) => inlet.next(batch))
          else edge(outlet.batches, (batch) => alignment.accept(link, batch))
        }
      })
  }

  readonly #alignments = new Map<string, Alignment>()

  #alignment(stage: number, port: number, inlet: Subject<Batch>): Alignment | null {
    const input = this.#plan.stages[stage]?.inputs[port]
    if (input === undefined || input.linksByGroup.every((links) => links <= 1)) return null
    const key = `${stage}.${port}`
    const known = this.#alignments.get(key)
    if (known !== undefined) return known
    const alignment = new Alignment(input.linksByGroup)
    edge(alignment.out, (batch) => inlet.next(batch))
    this.#alignments.set(key, alignment)
    return alignment
  }

  #errorRoutes(stage: PlannedStage): ErrorRoutes {
    const { nodes } = this.#plan
    const exits = new Map<number, number | null>()
    const readers = new Map<number, ReturnType<Engine['tapOf']>>()
    for (const node of stage.nodes) readers.set(node, this.#engine.tapOf(nodes[node]?.id ?? '', 'error'))
    for (const node of stage.nodes)
      exits.set(
        node,
        nodes[node]?.onError.kind === 'drop' ? null : (exitOf(stage, node, 'error') ?? stage.exits.length),
      )
    return {
      exitOf: (node) => exits.get(node) ?? null,
      readersOf: (node) => readers.get(node) ?? [],
      stops: (node) => nodes[node]?.onError.kind === 'stop',
      nodeOf: (node) => {
        const found = nodes[node]
        if (found === undefined) throw new Error(`the plan has no node ${node}`)
        return found
      },
    }
  }

  #asyncContext(node: PlannedNode): AsyncContext {
    return {
      node: node.id,
      clock: this.#engine.host.clock,
      onError: node.onError,
      signal: this.#engine.signal,
      stop: (failure, scope: Scope) => scope.owner?.broke(scope, failure),
    }
  }

  #nodeOf(stage: PlannedStage): PlannedNode {
    const node = this.#plan.nodes[stage.nodes[0] ?? -1]
    if (node === undefined) throw new Error(`stage ${stage.index} of the plan has no node`)
    return node
  }

  #definitionOf(node: PlannedNode): AnyDefinition {
    const definition = this.#catalogue.find(node.type)
    if (definition !== null) return definition
    throw new Error(`the plan needs ${node.type}, which this catalogue does not have`)
  }
}

/** What failed in a node of the stream face, which knows nothing of `onError`: it goes on, ends here, or breaks its execution. Marks pass. */
function handled(failed: Observable<Batch>, { onError, stop }: AsyncContext): Observable<Batch> {
  if (onError.kind !== 'drop' && onError.kind !== 'stop') return failed
  const left = new Subject<Batch>()
  edge(failed, (input) => {
    const { messages, receipt, scope, mark } = input
    const [first] = messages
    if (first === undefined) return left.next(input)
    if (mark !== null) {
      receipt.retain(1)
      left.next(batch(noMessages, receipt, scope, mark))
    }
    if (onError.kind === 'drop') return receipt.settle()
    const failure = failureIn(first.value)
    stop(failure, scope)
    receipt.fail(failure)
  })
  return left
}

function addErrors(counts: StageCounts, node: number, messages: number): void {
  if (messages > 0) counts.errors.set(node, (counts.errors.get(node) ?? 0) + messages)
}

function watchedWriter(watch: Watch | undefined, node: number, writer: SinkWriter): SinkWriter {
  if (watch === undefined) return writer
  return { write: watched(watch, node, writer.write.bind(writer)), close: () => writer.close() }
}

const kernelEmitsMax = 1024

function exitOf(stage: PlannedStage, node: number, port: string): number | null {
  return stage.routes.find((route) => route.node === node && route.port === port)?.exit ?? null
}

/** Makes the loop of a generated text. The text is made of checked IR and quoted literals only, never of a user's text. */
export function evaluateText(text: StageText): Loop {
  // The one place where text becomes code: what comes out has the form that stage-text writes.
  return new Function('env', text.text)(text.env) as Loop
}
