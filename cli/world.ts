import { accessSync, appendFileSync, constants, existsSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { openLetterShelves } from '../core/compile/letter-shelves.ts'
import type { Plan } from '../core/document/plan.ts'
import type { DeadLetter, Host, Log, Pools, Span } from '../core/host.ts'
import { jsonText } from '../core/json/json-text.ts'
import type { Pipeline } from '../core/pipeline.ts'
import { catalogue } from '../nodes.ts'
import packageJson from '../package.json' with { type: 'json' }
import { createHost } from '../server/host.ts'
import { launch } from '../server/isolation/launch.ts'
import type { OtlpTraces } from '../server/otlp-traces.ts'
import type { WorldOptions } from './options.ts'
import { collectorOf, taskModulesOf, variablesOf } from './options.ts'
import { UsageError } from './usage-error.ts'

/** Where documents run that were named on a command line. */
export interface World {
  /** Dead letters since the start. */
  readonly deadLetters: number
  /** Keeps what failed for good, as the documents' own. */
  readonly keep: (letters: readonly DeadLetter[]) => Promise<void>
  /** Makes a plan run that was read from `file`, in the place of `before` if that runs. */
  launch(plan: Plan, file: string, before?: Pipeline): Promise<Pipeline>
  /** Where the triggers of a plan keep their dead letters; `node` asks for one of them. */
  shelves(plan: Plan, file: string, node: string | null): ReturnType<typeof openLetterShelves>
  close(): Promise<void>
}

/** What `run` and `serve` have each in their own way. */
export type WorldParts = Pick<Host, 'log' | 'hub' | 'topics' | 'standardStreams'>

/**
 * Joins options to what documents may reach: variables, folders, pools, a place for dead letters.
 * `plans` tell what is needed, so that nothing else is loaded. Throws a UsageError for options that make no sense.
 */
export async function createWorld(options: WorldOptions, plans: readonly Plan[], parts: WorldParts): Promise<World> {
  const vars = variablesOf(options.set ?? [])
  const tasks = taskModulesOf(options.tasks ?? [])
  const extra = (options.allowFolder ?? []).map((each) => folderOf(each))
  writable('--dead-letter', options.deadLetter)
  writable('--trace', options.trace)
  const pools = await poolsFor(plans, tasks, parts.log)
  const traces = await tracesFor(plans, options.otlp, parts.log)
  const appended = appendTo(options.trace)
  let deadLetters = 0
  const foldersOf = (file: string): readonly string[] => [...new Set([dirname(resolve(file)), process.cwd(), ...extra])]
  const keep = async (letters: readonly DeadLetter[]): Promise<void> => {
    deadLetters += letters.length
    write(letters, options.deadLetter, parts.log)
  }
  const hostIn = (folders: readonly string[]): Host =>
    createHost({
      ...parts,
      allowEnv: options.allowEnv,
      environment: process.env,
      vars,
      folders,
      pools: pools ?? undefined,
      span: bothOf(appended, traces?.span),
      deadLetter: keep,
    })
  return {
    get deadLetters() {
      return deadLetters
    },
    keep,
    async launch(plan, file, before) {
      const folders = foldersOf(file)
      return launch(plan, catalogue, hostIn(folders), { folders }, before)
    },
    shelves: (plan, file, node) => openLetterShelves(plan, catalogue, hostIn(foldersOf(file)), node),
    close: async () => {
      await pools?.close()
      await traces?.close().catch((thrown: unknown) => parts.log.write('warn', `traces: ${String(thrown)}`))
    },
  }
}

/** What speaks to a collector is loaded only where there is one, and a document that has spans for it. */
async function tracesFor(plans: readonly Plan[], url: string | undefined, log: Log): Promise<OtlpTraces | null> {
  if (url === undefined || !plans.some((plan) => plan.settings.telemetry === 'trace')) return null
  const { otlpTraces } = await import('../server/otlp-traces.ts')
  return otlpTraces({ url: collectorOf(url), version: packageJson.version, log })
}

function bothOf(
  one: ((span: Span) => void) | undefined,
  other: ((span: Span) => void) | undefined,
): ((span: Span) => void) | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return (span) => {
    one(span)
    other(span)
  }
}

/** Workers are loaded only where a document has work for them. */
async function poolsFor(
  plans: readonly Plan[],
  tasks: readonly URL[],
  log: Log,
): Promise<(Pools & { close(): Promise<void> }) | null> {
  if (!plans.some((plan) => plan.nodes.some((node) => node.type.startsWith('pool@')))) return null
  return (await import('../workers/pools.ts')).createPools({ tasks, log })
}

function folderOf(path: string): string {
  if (!existsSync(path)) throw new UsageError(`--allow-folder names ${path}, but there is no such folder`)
  return resolve(path)
}

/** Throws a UsageError where a file cannot be appended to. It is looked at before anything runs: later, what should go there would be lost. */
function writable(option: string, file: string | undefined): void {
  if (file === undefined) return
  try {
    const there = existsSync(file)
    if (there && statSync(file).isDirectory())
      throw new UsageError(`${option} names ${file}, which is a folder; name a file`)
    accessSync(there ? file : dirname(resolve(file)), constants.W_OK)
  } catch (thrown) {
    if (thrown instanceof UsageError) throw thrown
    throw new UsageError(
      `${option} names ${file}, which cannot be written: ${thrown instanceof Error ? thrown.message : thrown}`,
    )
  }
}

function appendTo(file: string | undefined): ((value: unknown) => void) | undefined {
  if (file === undefined) return undefined
  return (value) => appendFileSync(file, `${JSON.stringify(value)}\n`)
}

function write(letters: readonly DeadLetter[], file: string | undefined, log: Log): void {
  if (file !== undefined) appendFileSync(file, letters.map((letter) => `${jsonText(letter)}\n`).join(''))
  else
    for (const { workflow, failure } of letters)
      log.write('error', `dead letter: ${failure.message}`, { workflow, node: failure.node, code: failure.code })
}
