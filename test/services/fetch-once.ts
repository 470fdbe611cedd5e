import { existsSync } from 'node:fs'
import { mkdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { root } from '../source-files.ts'

/** Where what was fetched under a name lies. */
export function fetchedPath(name: string): string {
  return join(root, 'node_modules/.cache', name, 'fetched')
}

/**
 * Fetches something once for all runs to come; whoever asks meanwhile waits, in whatever process. `fetch` fills an empty folder, and
 * has another one for what it needs on the way.
 */
export async function fetchOnce(
  name: string,
  fetch: (into: string, scratch: string) => Promise<void>,
): Promise<string> {
  const done = fetchedPath(name)
  const folder = join(done, '..')
  const lock = join(folder, 'fetching')
  await mkdir(folder, { recursive: true })
  for (let waited = 0; !existsSync(done); waited += 1) {
    if (await taken(lock)) {
      if (waited > 1_200) throw new Error(`${name} is still being fetched after 5 minutes; remove ${lock}`)
      await after(250)
      continue
    }
    const beat = setInterval(() => void utimes(lock, new Date(), new Date()).catch(() => undefined), 1_000)
    const unfinished = join(folder, `unfinished-${process.pid}`)
    try {
      await mkdir(unfinished)
      await fetch(unfinished, folder)
      await rename(unfinished, done)
    } finally {
      clearInterval(beat)
      await rm(unfinished, { recursive: true, force: true })
      await rm(lock, { recursive: true, force: true })
    }
  }
  return done
}

/** True while another process holds the lock. It touches it every second, so that one that died holds nobody up. */
async function taken(lock: string): Promise<boolean> {
  try {
    await mkdir(lock)
    return false
  } catch {
    const held = await stat(lock).catch(() => null)
    if (held !== null && Date.now() - held.mtimeMs > 10_000) await rm(lock, { recursive: true, force: true })
    return true
  }
}
