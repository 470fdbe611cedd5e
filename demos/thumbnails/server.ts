import { readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compile } from '../../core/compile/compile.ts'
import type { Plan } from '../../core/document/plan.ts'
import { planText } from '../../core/document/plan-text.ts'
import type { Pools } from '../../core/host.ts'
import { catalogue } from '../../nodes.ts'
import { createServer } from '../../server/create-server.ts'
import { createHost } from '../../server/host.ts'
import { createLog } from '../../server/log.ts'
import { sdkPages } from '../../server/sdk-pages.ts'
import { createPools } from '../../workers/pools.ts'

export interface RunningDemo {
  readonly url: string
  /** Which decoder makes the thumbnails, for people: `ffmpeg 5.1.9`. */
  readonly decoder: string
  close(): Promise<void>
}

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

/** Starts the thumbnails demo: a server with the page, the workflow and a pool of worker processes. */
export async function startDemo(options: { readonly port: number }): Promise<RunningDemo> {
  const log = createLog('warn')
  const server = await createServer({
    port: options.port,
    log,
    pages: [{ path: '/', directory: here('page') }, { path: '/design', directory: here('../design') }, ...sdkPages],
  })
  const pools = createPools({
    tasks: ['./video/task', './tasks'].map((name) => new URL(name + extname(import.meta.url), import.meta.url)),
    // The runners decode with what the page says they do.
    env: ['MILLRACE_DECODER'],
  })
  const host = createHost({
    log,
    deadLetter: async (letters) => {
      for (const letter of letters)
        log.write('warn', letter.failure.message, { code: letter.failure.code, node: letter.failure.node })
    },
    pools,
    hub: server.hub,
    topics: server.topics,
  })
  const close = async (): Promise<void> => {
    await server.close()
    await pools.close()
  }
  try {
    await server.deploy('thumbnails', compile(readPlan(), catalogue, host))
    return { url: server.url, decoder: await warm(pools), close }
  } catch (thrown) {
    await close()
    throw thrown
  }
}

function readPlan(): Plan {
  return planText(readFileSync(here('workflow.yaml'), 'utf8'), catalogue, { id: 'thumbnails', version: '1' })
}

/** Waits for the first runner of the workflow's pool, so that the first video does not, and asks it what it decodes with. */
async function warm(pools: Pools): Promise<string> {
  const pool = pools.pool({
    name: 'thumbnails',
    backend: 'process',
    ...{ min: 1, max: 2, concurrencyMax: 2, idleShutdownMs: 30_000 },
  })
  return String(await pool.call('decoder', null, { timeoutMs: 30_000 }))
}
