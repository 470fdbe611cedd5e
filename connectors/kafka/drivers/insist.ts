import { NodeError } from '../../../core/flow/failure.ts'

/** Does a request again while it fails with a retriable NodeError, with growing pauses, for `limitMs` at most. */
export async function insist<T>(limitMs: number, request: () => Promise<T>): Promise<T> {
  const until = performance.now() + limitMs
  for (let pauseMs = 10; ; pauseMs = Math.min(pauseMs * 2, 1_000)) {
    try {
      return await request()
    } catch (thrown) {
      const passing = thrown instanceof NodeError && thrown.retriable
      if (!passing || performance.now() + pauseMs > until) throw thrown
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}
