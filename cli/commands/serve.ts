import type { Plan } from '../../core/document/plan.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Pipeline } from '../../core/pipeline.ts'
import type { MillraceServer } from '../../server/create-server.ts'
import { createServer } from '../../server/create-server.ts'
import { createLog } from '../../server/log.ts'
import { releaseYoungGeneration } from '../boot-memory.ts'
import { aborted, onInterrupt } from '../interrupt.ts'
import type { WorldOptions } from '../options.ts'
import { hostnamesOf, originsOf, portOf } from '../options.ts'
import { UsageError } from '../usage-error.ts'
import type { World } from '../world.ts'

export interface ServeOptions extends WorldOptions {
  readonly port: string
  readonly host: string
  readonly origin?: readonly string[]
  readonly hostname?: readonly string[]
}

/** `millrace serve`: deploys documents on a server and runs until it is interrupted; then it drains. */
export async function serve(files: readonly string[], options: ServeOptions): Promise<void> {
  const port = portOf(options.port)
  const origins = originsOf(options.origin ?? [])
  const hostnames = hostnamesOf(options.hostname ?? [])
  const log = createLog()
  // The engine is loaded only where there is a document for it: a server without one is small.
  const documents = files.length === 0 ? [] : await read(files)
  if (documents === null) return
  const interrupt = onInterrupt({ drains: true })
  let started = false
  const server = await createServer({
    ...{ port, origins, hostnames, log },
    host: options.host,
    hasStarted: () => started,
    token: process.env.MILLRACE_TOKEN ?? null,
  })
  let close = async (): Promise<void> => undefined
  try {
    if (documents.length > 0) close = await deployAll(server, documents, options, log)
    started = true
    releaseYoungGeneration()
    console.error(`listening on ${server.url}`)
    await aborted(interrupt.signal)
  } finally {
    await server.close()
    await close()
  }
}

/** The document as it stands in its file now. Rejects with its problems; then what runs goes on. */
async function relaunch(world: World, file: string, before: Pipeline): Promise<Pipeline> {
  const { load, problemLine } = await import('../load.ts')
  const loaded = load(file)
  const problems = loaded.ok ? [] : loaded.problems.map((each) => problemLine(file, each))
  if (!loaded.ok) throw new NodeError('workflow.has-problems', `the new version cannot run:\n${problems.join('\n')}`)
  const { id } = loaded.value.plan.workflow
  if (id !== before.plan.workflow.id)
    throw new NodeError(
      'workflow.renamed',
      `${file} is now called ${JSON.stringify(id)}; the one that runs is ${JSON.stringify(before.plan.workflow.id)}. Restart the server for a new name`,
    )
  return world.launch(loaded.value.plan, file, before)
}

interface ServedDocument {
  readonly file: string
  readonly plan: Plan
}

/** All documents, or null when one cannot run; then all their problems are printed. */
async function read(files: readonly string[]): Promise<readonly ServedDocument[] | null> {
  const { loadOrSay } = await import('../load.ts')
  const loaded = files.map((file) => loadOrSay(file))
  const documents = loaded.flatMap((each) => (each === null ? [] : [{ file: each.path, plan: each.plan }]))
  if (documents.length < files.length) return null
  const names = new Map<string, string>()
  for (const { file, plan } of documents) {
    const other = names.get(plan.workflow.id)
    if (other !== undefined)
      throw new UsageError(`${other} and ${file} are both called ${JSON.stringify(plan.workflow.id)}: rename one`)
    names.set(plan.workflow.id, file)
  }
  return documents
}

async function deployAll(
  server: MillraceServer,
  documents: readonly ServedDocument[],
  options: ServeOptions,
  log: ReturnType<typeof createLog>,
): Promise<() => Promise<void>> {
  const { createWorld } = await import('../world.ts')
  const plans = documents.map((each) => each.plan)
  const world = await createWorld(options, plans, { log, hub: server.hub, topics: server.topics })
  try {
    for (const { file, plan } of documents) {
      await server.deploy(plan.workflow.id, await world.launch(plan, file), (before) => relaunch(world, file, before))
      console.error(`${file}: ${plan.workflow.name} is deployed`)
    }
  } catch (thrown) {
    await world.close()
    throw thrown
  }
  return world.close
}
