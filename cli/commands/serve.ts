import type { Plan } from '../../core/document/plan.ts'
import type { MillraceServer } from '../../server/create-server.ts'
import { createServer } from '../../server/create-server.ts'
import { createLog } from '../../server/log.ts'
import { releaseYoungGeneration } from '../boot-memory.ts'
import { aborted, onInterrupt } from '../interrupt.ts'
import type { WorldOptions } from '../options.ts'
import { portOf } from '../options.ts'
import { UsageError } from '../usage-error.ts'

export interface ServeOptions extends WorldOptions {
  readonly port: string
  readonly host: string
}

/** `millrace serve`: deploys documents on a server and runs until it is interrupted; then it drains. */
export async function serve(files: readonly string[], options: ServeOptions): Promise<void> {
  const port = portOf(options.port)
  const log = createLog()
  // The engine is loaded only where there is a document for it: a server without one is small.
  const documents = files.length === 0 ? [] : await read(files)
  if (documents === null) return
  const interrupt = onInterrupt()
  const server = await createServer({ port, host: options.host, token: process.env.MILLRACE_TOKEN ?? null, log })
  let close = async (): Promise<void> => undefined
  try {
    if (documents.length > 0) close = await deployAll(server, documents, options, log)
    releaseYoungGeneration()
    console.error(`listening on ${server.url}`)
    await aborted(interrupt)
  } finally {
    await server.close()
    await close()
  }
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
      await server.deploy(plan.workflow.id, await world.launch(plan, file))
      console.error(`${file}: ${plan.workflow.name} is deployed`)
    }
  } catch (thrown) {
    await world.close()
    throw thrown
  }
  return world.close
}
