/** Aborts at the first Ctrl-C or SIGTERM. A second one ends the process at once. */
export function onInterrupt(): AbortSignal {
  const controller = new AbortController()
  const ask = (): void => {
    if (controller.signal.aborted) process.exit(130)
    controller.abort()
  }
  process.on('SIGINT', ask)
  process.on('SIGTERM', ask)
  return controller.signal
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
