import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const rssBytesMax = 90 * 1024 * 1024

/** Runs a server in a process of its own, as the bin does: compiled code is cached first thing. */
async function idleServer(folder: string): Promise<{ readonly rss: number }> {
  const main = join(folder, 'main.mjs')
  const entry = new URL('./index.ts', import.meta.url)
  await writeFile(
    main,
    `import module from 'node:module'
    module.enableCompileCache(${JSON.stringify(join(folder, 'cache'))})
    const { createServer } = await import(${JSON.stringify(entry.href)})
    const server = await createServer({ port: 0 })
    await fetch(server.url + '/readyz')
    console.log(JSON.stringify({ rss: process.memoryUsage().rss }))
    await server.close()
    module.flushCompileCache()`,
  )
  const child = spawn(process.execPath, [main], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  for await (const chunk of child.stdout) text += String(chunk)
  return JSON.parse(text)
}

it('an idle server is small from its second start on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'idle-test-'))
  try {
    await idleServer(folder)
    const { rss } = await idleServer(folder)
    expect(rss).toBeLessThanOrEqual(rssBytesMax)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
