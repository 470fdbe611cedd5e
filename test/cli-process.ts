import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../bin/millrace.js', import.meta.url))

/** What a run of the program said and how it ended. */
export interface CliResult {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface CliOptions {
  readonly cwd: string
  /** Its whole standard input; without it, that stays open. */
  readonly input?: string
  /** On top of this process's own. */
  readonly env?: Readonly<Record<string, string>>
}

/** A run of the program that is still under way. */
export interface CliProcess {
  readonly child: ChildProcessWithoutNullStreams
  readonly done: Promise<CliResult>
  /** Resolves when standard error or output holds it; rejects when the program ends before. */
  said(pattern: RegExp): Promise<RegExpMatchArray>
}

/** Starts the program as a person does, by its bin file. `input` is its whole standard input; without it, it stays open. */
export function startCli(args: readonly string[], options: CliOptions): CliProcess {
  return start(process.execPath, [program, ...args], options)
}

/** Starts a line of shell in which `millrace` is the program: for what comes of pipes, files and terminals. */
export function startShell(line: string, options: CliOptions): CliProcess {
  return start('sh', ['-c', `millrace() { "$NODE" "$PROGRAM" "$@"; }\n${line}`], {
    ...options,
    env: { NODE: process.execPath, PROGRAM: program, ...options.env },
  })
}

function start(command: string, args: readonly string[], options: CliOptions): CliProcess {
  const env = { ...process.env, NO_COLOR: '1', ...options.env }
  const child = spawn(command, [...args], { cwd: options.cwd, env, stdio: 'pipe' })
  let out = ''
  let err = ''
  const looking = new Set<() => void>()
  const look = (): void => {
    for (const each of looking) each()
  }
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString('utf8')
    look()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString('utf8')
    look()
  })
  child.stdin.on('error', () => undefined)
  if (options.input !== undefined) child.stdin.end(options.input)
  const done = new Promise<CliResult>((resolve) => child.on('close', (code) => resolve({ code, out, err })))
  return {
    child,
    done,
    said: (pattern) =>
      new Promise((resolve, reject) => {
        const search = (): void => {
          const found = err.match(pattern) ?? out.match(pattern)
          if (found === null) return
          looking.delete(search)
          resolve(found)
        }
        looking.add(search)
        search()
        void done.then(() => reject(new Error(`ended without saying ${pattern}:\n${out}${err}`)))
      }),
  }
}

/** Runs the program to its end. */
export function cli(args: readonly string[], options: CliOptions): Promise<CliResult> {
  return startCli(args, { input: '', ...options }).done
}
