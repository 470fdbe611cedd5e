import { spawnSync } from 'node:child_process'

/**
 * Keeps this process, and what it starts, on one core; the answer undoes it. Whether two threads meet on one core or
 * wake each other across two is the scheduler's whim, costs 40 µs of 50, and falls now on one and now on the other: on
 * one core a comparison shows what the code costs. Does nothing where `taskset` is missing.
 */
export function keepToOneCore(): () => void {
  const mask = /mask: ([0-9a-f]+)\s*$/m.exec(taskset([String(process.pid)]))?.[1]
  if (mask === undefined) return () => undefined
  const all = BigInt(`0x${mask}`)
  taskset(['-a', (all & -all).toString(16), String(process.pid)])
  return () => taskset(['-a', mask, String(process.pid)])
}

function taskset(args: readonly string[]): string {
  return spawnSync('taskset', ['-p', ...args], { encoding: 'utf8', timeout: 5000 }).stdout ?? ''
}
