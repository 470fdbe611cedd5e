import { z } from 'zod'
import { createCatalogue } from '../core/catalogue.ts'
import { compile } from '../core/compile/compile.ts'
import type { NodeType } from '../core/define.ts'
import { define, defineVersions } from '../core/define.ts'
import { planText } from '../core/document/plan-text.ts'
import type { Message } from '../core/flow/message.ts'
import type { DeadLetter, Host } from '../core/host.ts'
import type { Execution, Outcome, Pipeline } from '../core/pipeline.ts'
import { watchReceipts } from '../core/testing.ts'
import { catalogue } from '../nodes.ts'
import { systemClock } from '../server/system-clock.ts'

export interface RealFlow {
  readonly pipeline: Pipeline
  readonly execution: Execution
  /** Values that reached `test.keep` nodes, as they come. */
  readonly kept: unknown[]
  readonly deadLetters: DeadLetter[]
  /** The most messages and bytes that were in flight when a `test.keep` node was written to. */
  readonly inFlightMax: () => number
  /** Resolves when so many values have been kept. */
  keptCount(count: number): Promise<void>
  /** Ends all and answers the outcome, with faults of receipts. */
  finish(): Promise<{ readonly outcome: Outcome; readonly faults: readonly string[] }>
}

export interface RealFlowOptions {
  readonly host?: Partial<Host>
  /** Called for each write of a `test.keep` node; what it returns is awaited. */
  readonly onWrite?: (values: readonly unknown[]) => Promise<void> | void
  readonly types?: readonly NodeType[]
  /** For a document whose trigger is of event lifetime. */
  readonly start?: { readonly entry: string; readonly input: readonly Message[] }
}

/** Runs a document against the real clock and the real outside. `test.keep@1` is a sink that keeps what it gets. */
export async function realFlow(document: unknown, options: RealFlowOptions = {}): Promise<RealFlow> {
  const kept: unknown[] = []
  const deadLetters: DeadLetter[] = []
  let waiting: { readonly count: number; readonly resolve: () => void }[] = []
  let inFlightMax = 0
  const keep = define({
    name: 'test.keep',
    version: 1,
    summary: 'Keeps what it gets.',
    inputs: ['in'],
    outputs: [],
    config: z.strictObject({}),
    examples: [],
    face: {
      kind: 'sink',
      limits: () => ({ messagesMax: 1024, waitMsMax: 0, timeoutMs: 60_000, concurrency: 1 }),
      make: () => ({
        async write(messages) {
          inFlightMax = Math.max(inFlightMax, pipeline.metrics()?.inFlight ?? 0)
          const values = messages.map((each) => each.value)
          await options.onWrite?.(values)
          kept.push(...values)
          for (const each of waiting) if (kept.length >= each.count) each.resolve()
          waiting = waiting.filter((each) => kept.length < each.count)
          return []
        },
        close: async () => undefined,
      }),
    },
  })
  const types = createCatalogue([
    ...catalogue.types,
    ...(options.types ?? []),
    defineVersions({ 1: keep }, { latest: 1 }),
  ])
  const planned = planText(typeof document === 'string' ? document : JSON.stringify(document), types)
  let ids = 0
  const host: Host = {
    clock: systemClock,
    random: Math.random,
    id: () => `r${++ids}`,
    env: {},
    vars: () => ({}),
    log: { write: () => undefined },
    deadLetter: async (letters) => void deadLetters.push(...letters),
    ...options.host,
  }
  const watch = watchReceipts()
  const pipeline = compile(planned, types, host)
  const entry = options.start?.entry ?? planned.nodes[planned.entries[0]?.node ?? 0]?.id ?? ''
  const execution = pipeline.start(entry, options.start?.input ?? [])
  return {
    pipeline,
    execution,
    kept,
    deadLetters,
    inFlightMax: () => inFlightMax,
    keptCount: (count) =>
      kept.length >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve })),
    async finish() {
      const outcome = await execution.done
      await pipeline.release(0)
      const open = outcome.state === 'done' ? watch.open.size : 0
      watch.restore()
      return { outcome, faults: [...watch.faults, ...(open > 0 ? [`${open} receipts are still open`] : [])] }
    },
  }
}
