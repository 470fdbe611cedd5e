import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

/** A server's process that cannot outlive the one that started it. */
export interface TiedProcess {
  readonly pid: number
  /** How it ended: its code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>
  readonly alive: boolean
  kill(signal: NodeJS.Signals): void
  /** The last lines that it wrote. */
  lastWords(): string
}

export interface TiedOptions {
  readonly cwd: string
  /** A file for what it writes; appended to. */
  readonly log: string
  /** Removed if this process goes without having ended the other; null for none. */
  readonly folder: string | null
}

/**
 * Starts a process that ends when this one has gone, however that went: a shell of its own session waits for the end of its standard
 * input, which the kernel closes with us, and then kills. So a run that is cut leaves no server behind.
 */
export function spawnTied(command: string, args: readonly string[], options: TiedOptions): TiedProcess {
  const log = openSync(options.log, 'a')
  const child = spawn(command, args, { cwd: options.cwd, stdio: ['ignore', log, log] })
  closeSync(log)
  const { pid } = child
  const watch = pid === undefined ? null : watchFor(pid, options.folder)
  const ended = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      // A line lets the shell go without killing: the number may be another process's by then.
      watch?.stdin?.end('over\n')
      resolve(code ?? signal)
    })
  })
  ended.catch(() => undefined)
  return {
    pid: pid ?? -1,
    ended,
    get alive() {
      return child.exitCode === null && child.signalCode === null
    },
    kill: (signal) => void child.kill(signal),
    lastWords: () => readFileSync(options.log, 'utf8').split('\n').slice(-30).join('\n'),
  }
}

function watchFor(pid: number, folder: string | null): ChildProcess {
  const script = 'read -r over || { kill -9 "$0"; [ -z "$1" ] || { sleep 1; rm -rf "$1"; }; }'
  const shell = spawn('sh', ['-c', script, String(pid), folder ?? ''], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  shell.on('error', () => undefined)
  shell.stdin?.on('error', () => undefined)
  shell.unref()
  return shell
}
