import type { Watch } from '../host.ts'

/**
 * Notes which node is at work while a function runs, so that a watchdog in another thread can name the one that blocks.
 * Calls nest: a stage that sends a batch on runs its followers inside its own call. Without a watch the function stays as it is.
 */
export function watched<A extends readonly unknown[], R>(
  watch: Watch | undefined,
  node: number,
  work: (...args: A) => R,
): (...args: A) => R {
  if (watch === undefined) return work
  const { slots } = watch
  return (...args) => {
    const before = slots[0] ?? 0
    slots[0] = node + 1
    try {
      return work(...args)
    } finally {
      slots[0] = before
    }
  }
}
