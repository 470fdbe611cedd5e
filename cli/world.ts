import { appendFileSync, existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { openLetterShelves } from '../core/compile/letter-shelves.ts'
import type { Plan } from '../core/document/plan.ts'
import type { DeadLetter, Host, Log, Pools } from '../core/host.ts'
import type { Pipeline } from '../core/pipeline.ts'
import { catalogue } from '../nodes.ts'
import { createHost } from '../server/host.ts'
import { launch } from '../server/isolation/launch.ts'
import type { WorldOptions } from './options.ts'
import { taskModulesOf, variablesOf } from './options.ts'
import { UsageError } from './usage-error.ts'

/** Where documents run that were named on a command line. */
export interface World {
  /** Dead letters since the start. */
  readonly deadLetters: number
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
  const pools = await poolsFor(plans, tasks, parts.log)
  let deadLetters = 0
  const foldersOf = (file: string): readonly string[] => [...new Set([dirname(resolve(file)), process.cwd(), ...extra])]
  const hostIn = (folders: readonly string[]): Host =>
    createHost({
      ...parts,
      allowEnv: options.allowEnv ?? [],
      environment: process.env,
      vars,
      folders,
      pools: pools ?? undefined,
      span: appendTo(options.trace),
      deadLetter: async (letters) => {
        deadLetters += letters.length
        keep(letters, options.deadLetter, parts.log)
      },
    })
  return {
    get deadLetters() {
      return deadLetters
    },
    async launch(plan, file, before) {
      const folders = foldersOf(file)
      return launch(plan, catalogue, hostIn(folders), { folders }, before)
    },
    shelves: (plan, file, node) => openLetterShelves(plan, catalogue, hostIn(foldersOf(file)), node),
    close: async () => pools?.close(),
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

function appendTo(file: string | undefined): ((value: unknown) => void) | undefined {
  if (file === undefined) return undefined
  return (value) => appendFileSync(file, `${JSON.stringify(value)}\n`)
}

function keep(letters: readonly DeadLetter[], file: string | undefined, log: Log): void {
  if (file !== undefined) appendFileSync(file, letters.map((letter) => `${JSON.stringify(letter)}\n`).join(''))
  else
    for (const { workflow, failure } of letters)
      log.write('error', `dead letter: ${failure.message}`, { workflow, node: failure.node, code: failure.code })
}
