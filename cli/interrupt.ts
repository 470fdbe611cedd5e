import { isatty } from 'node:tty'
import { clearProgress } from './progress-line.ts'

/** Whether somebody wants the command to end. */
export interface Interrupt {
  /** Aborts at the first Ctrl-C, SIGTERM or SIGHUP. */
  readonly signal: AbortSignal
  /** What to exit with for it: 130, or 129 where the terminal was closed. Null before. */
  readonly exitCode: number | null
}

/** What a command that drains has to say of it. */
export interface Draining {
  /** Says on a terminal that it drains, as that may take a while. */
  readonly drains?: boolean
  /** Says what was done so far, when a second signal ends the process in the middle of it. */
  readonly cut?: () => void
}

/** Listens to signals from here on. A second one ends the process at once. */
export function onInterrupt({ drains = false, cut = () => undefined }: Draining = {}): Interrupt {
  const controller = new AbortController()
  let exitCode: number | null = null
  const terminal = [0, 1, 2].some((descriptor) => isatty(descriptor))
  const ask = (signal: NodeJS.Signals): void => {
    if (exitCode !== null) {
      // That a terminal was closed may be told by the system and by a shell.
      if (signal === 'SIGHUP') return
      cut()
      process.exit(exitCode)
    }
    exitCode = signal === 'SIGHUP' ? 129 : 130
    if (signal === 'SIGHUP' && terminal) process.on('exit', endByHangUp)
    if (drains && process.stderr.isTTY === true) {
      clearProgress()
      process.stderr.write('draining; Ctrl-C again stops at once\n')
    }
    controller.abort()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ask)
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode
    },
  }
}

/** Node aborts, with a dump, where it cannot put a terminal back that has gone. A shell sees 129 this way, too. */
function endByHangUp(): void {
  process.removeAllListeners('SIGHUP')
  process.kill(process.pid, 'SIGHUP')
}

/** Resolves when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
