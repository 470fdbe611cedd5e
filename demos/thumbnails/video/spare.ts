import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { spawn } from 'node:child_process'

/** An ffmpeg that nobody came for is ended after so long. */
const spareMsMax = 1200

interface Spare {
  readonly key: string
  readonly child: ChildProcessWithoutNullStreams
  readonly limit: NodeJS.Timeout
}

/** At most one in a process. */
let spare: Spare | null = null

/**
 * Starts an ffmpeg that waits for its input, so that the video which comes next need not wait for ffmpeg: loading its libraries
 * takes it as long as decoding a dozen keyframes. It ends by itself when nobody takes it, and by the end of its input when this
 * process dies.
 */
export function prepareFfmpeg(executable: string, args: readonly string[]): void {
  if (spare !== null) {
    if (spare.key === keyOf(executable, args)) spare.limit.refresh()
    return
  }
  const child = spawnFfmpeg(executable, args)
  const limit = setTimeout(() => {
    // Forgotten first: whoever comes while it dies must not get it.
    forget(made)
    child.kill('SIGKILL')
  }, spareMsMax)
  const made: Spare = { key: keyOf(executable, args), child, limit }
  // One that cannot be started is told to whoever starts the next.
  child.once('error', () => forget(made))
  child.once('exit', () => forget(made))
  spare = made
}

/** The spare ffmpeg if it was started with just these arguments, or else a new one. Its caller is its owner. */
export function takeFfmpeg(executable: string, args: readonly string[]): ChildProcessWithoutNullStreams {
  if (spare?.key !== keyOf(executable, args)) return spawnFfmpeg(executable, args)
  const { child } = spare
  forget(spare)
  return child
}

function spawnFfmpeg(executable: string, args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(executable, args, { stdio: ['pipe', 'pipe', 'pipe'], windowsHide: true })
}

function forget(gone: Spare): void {
  clearTimeout(gone.limit)
  if (spare === gone) spare = null
}

function keyOf(executable: string, args: readonly string[]): string {
  return JSON.stringify([executable, args])
}
