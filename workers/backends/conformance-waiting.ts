import { spawnSync } from 'node:child_process'

/** Waits for something that no event tells of. */
export async function until(holds: () => boolean, waitMsMax = 10_000): Promise<void> {
  const end = performance.now() + waitMsMax
  while (!holds()) {
    if (performance.now() > end) throw new Error(`Not within ${waitMsMax} ms: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

export async function all(values: AsyncIterable<unknown>): Promise<unknown[]> {
  const list: unknown[] = []
  for await (const value of values) list.push(value)
  return list
}

export function iterate(values: AsyncIterable<unknown>): AsyncIterator<unknown> {
  return values[Symbol.asyncIterator]()
}

/** Whether a process runs; one that has ended and was not waited for does not. */
export function isAlive(pid: unknown): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' })
  return stdout.trim() !== '' && !stdout.trim().startsWith('Z')
}
