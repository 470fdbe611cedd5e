import type { Log } from '../core/host.ts'

const levels = ['debug', 'info', 'warn', 'error'] as const

/** Logs to standard error: a line for people on a terminal, NDJSON elsewhere. */
export function createLog(least: (typeof levels)[number] = 'info'): Log {
  const terminal = process.stderr.isTTY === true
  return {
    write(level, text, fields = {}) {
      if (levels.indexOf(level) < levels.indexOf(least)) return
      const line = terminal
        ? `${level.padEnd(5)} ${text} ${Object.entries(fields)
            .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
            .join(' ')}`
        : JSON.stringify({ time: new Date().toISOString(), level, text, ...fields })
      process.stderr.write(`${line.trimEnd()}\n`)
    },
  }
}
