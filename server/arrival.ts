/** A speed that was measured over less says nothing: what a socket had in store comes at once. */
const measuredMsMin = 20

/**
 * Watches a body of `totalBytes` come in and calls `tell` once, when the rest is expected within `withinMs` at the speed so far.
 * Give the answer the bytes received so far, after each piece. Bodies that are complete too soon to be judged are not told of.
 */
export function watchArrival(
  totalBytes: number,
  withinMs: number,
  tell: (receivedBytes: number, expectedMs: number) => void,
): (receivedBytes: number) => void {
  const startedMs = performance.now()
  let told = false
  return (receivedBytes) => {
    if (told || receivedBytes >= totalBytes) return
    const elapsedMs = performance.now() - startedMs
    if (elapsedMs < measuredMsMin) return
    const expectedMs = ((totalBytes - receivedBytes) / receivedBytes) * elapsedMs
    if (expectedMs > withinMs) return
    told = true
    tell(receivedBytes, expectedMs)
  }
}
