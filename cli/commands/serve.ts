import { resolve } from 'node:path'
import { formatProblem } from '../../core/problem.ts'
import { catalogue } from '../../nodes.ts'
import { createServer } from '../../server/create-server.ts'
import { createHost } from '../../server/host.ts'
import { launch } from '../../server/isolation/launch.ts'
import { createLog } from '../../server/log.ts'
import { onInterrupt } from '../interrupt.ts'
import { load } from '../load.ts'
import { portOf, variablesOf } from '../options.ts'

export interface ServeOptions {
  readonly port: string
  readonly host: string
  readonly set?: readonly string[]
  readonly allowEnv?: readonly string[]
}

/** `millrace serve`: deploys documents on a server and runs until it is interrupted. */
export async function serve(files: readonly string[], options: ServeOptions): Promise<void> {
  const port = portOf(options.port)
  const vars = variablesOf(options.set ?? [])
  const loaded = files.map((file) => ({ file, result: load(file) }))
  const broken = loaded.filter(({ result }) => !result.ok)
  for (const { file, result } of broken)
    if (!result.ok) for (const each of result.problems) console.error(`${file}:${formatProblem(each)}`)
  if (broken.length > 0) {
    process.exitCode = 2
    return
  }
  const log = createLog()
  const server = await createServer({ port, host: options.host, token: process.env.MILLRACE_TOKEN ?? null, log })
  const interrupted = onInterrupt()
  for (const { file, result } of loaded) {
    if (!result.ok) continue
    const host = createHost({
      allowEnv: options.allowEnv ?? [],
      environment: process.env,
      vars,
      folders: [resolve(file, '..')],
      log,
      deadLetter: async (letters) => {
        for (const letter of letters)
          log.write('error', `dead letter: ${letter.failure.message}`, {
            workflow: letter.workflow,
            node: letter.failure.node,
            code: letter.failure.code,
          })
      },
      hub: server.hub,
      topics: server.topics,
    })
    await server.deploy(
      result.value.plan.workflow.id,
      await launch(result.value.plan, catalogue, host, { folders: [resolve(file, '..')] }),
    )
    console.error(`${file}: ${result.value.plan.workflow.name} is deployed`)
  }
  console.error(`listening on ${server.url}`)
  await interrupted
  await server.close()
}
