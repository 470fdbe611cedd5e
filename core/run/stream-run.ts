import type { CreditGate } from '../flow/credits.ts'
import { failureOf } from '../flow/failure.ts'
import type { SourceReport } from '../pipeline.ts'
import type { Emission, Feed } from './feed.ts'
import { Run } from './run.ts'
import type { StreamRunOwner } from './source-run.ts'
import { SourceRun } from './source-run.ts'
import type { Trigger } from './trigger.ts'

/** A source that one version leaves to the next. */
export interface KeptSource {
  readonly feed: Feed
  readonly left: readonly Emission[]
}

/** The one long-lived execution of all stream triggers: several sources, each with its own gate, one scope. */
export class StreamRun extends Run {
  readonly #sources: readonly SourceRun[]

  constructor(engine: StreamRunOwner, triggers: readonly Trigger[], scopeId: number, id: string | null) {
    const first = triggers[0]
    if (first === undefined) throw new Error('a stream execution needs a stream trigger')
    super(engine, first, scopeId, null, id)
    this.#sources = triggers.map((trigger) => new SourceRun(engine, this, trigger))
  }

  /** Opens all sources, or takes those that another version has kept. One that cannot be opened fails the execution. */
  async open(kept: ReadonlyMap<string, KeptSource> = new Map()): Promise<void> {
    await Promise.all(
      this.#sources.map(async (each) => {
        try {
          const own = kept.get(each.trigger.node.id)
          if (own === undefined) await each.open()
          else each.adopt(own.feed, own.left)
        } catch (thrown) {
          this.broke(this.scope, failureOf(thrown, each.trigger.node.id))
        }
      }),
    )
  }

  override end(): void {
    for (const each of this.#sources) each.end()
    this.endSent = true
    // The marks of an idle flow have closed before all of them were sent.
    this.finishIfOver()
  }

  protected override drain(): void {
    for (const each of this.#sources) each.pause()
    this.end()
  }

  override get lasting(): boolean {
    return true
  }

  /** Those of the executions that its sources have opened are counted too. */
  override get receiptsOpen(): number {
    return this.#sources.reduce((sum, each) => sum + each.receiptsOpen, super.receiptsOpen)
  }

  /** It is over when the executions are that its sources have opened. */
  protected override finishIfOver(): void {
    if (this.endSent && this.#sources.every((each) => each.scopesOpen === 0)) super.finishIfOver()
  }

  protected override onFinish(): void {
    for (const each of this.#sources) each.close()
  }

  /** An execution that one of the sources had opened has ended. */
  scopeEnded(): void {
    this.finishIfOver()
  }

  get sources(): readonly SourceRun[] {
    return this.#sources
  }

  reports(): readonly SourceReport[] {
    return this.#sources.map((each) => each.report())
  }

  sourceOf(gate: CreditGate): SourceRun | undefined {
    return this.#sources.find((each) => each.trigger.gate === gate)
  }

  /**
   * Ends the execution for another version: drains it within the limit and answers the sources that the next one keeps, open,
   * each with what it has given and was not delivered in time.
   */
  async handOver(keeps: (trigger: Trigger) => boolean, limitMs: number): Promise<ReadonlyMap<string, KeptSource>> {
    const kept = this.#sources.filter((each) => each.trigger.source !== null && !each.ended && keeps(each.trigger))
    for (const each of kept) each.keepForNext()
    await this.stop(limitMs)
    return new Map(kept.map((each) => [each.trigger.node.id, each.handOver()]))
  }

  /** A source has no more; when none has, the execution ends by itself. */
  sourceEnded(): void {
    if (this.#sources.every((each) => each.ended)) this.endSent = true
    this.finishIfOver()
  }
}
