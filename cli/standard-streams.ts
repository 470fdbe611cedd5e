import { fstatSync } from 'node:fs'
import type { StandardStreams } from '../core/host.ts'
import { clearProgress } from './progress-line.ts'
import { UsageError } from './usage-error.ts'

/** What the system says where nobody reads any more. */
const readerGoneCodes: ReadonlySet<unknown> = new Set(['EPIPE', 'ECONNRESET', 'ERR_STREAM_DESTROYED'])

/** The process's own standard input and output, with their back-pressure. */
export const standardStreams: StandardStreams = {
  input: {
    [Symbol.asyncIterator]() {
      // Node reads a directory as if it were empty.
      if (isDirectory(0)) throw new UsageError('standard input is a directory; give it a file or a pipe')
      const chunks = process.stdin[Symbol.asyncIterator]()
      return {
        next: () => chunks.next(),
        // A read under way would hold the iterator's own `return`, and with it the process, until the writer says something.
        return: async () => {
          process.stdin.destroy()
          return { done: true, value: undefined }
        },
      }
    },
  },
  write(chunk) {
    if (process.stdout.isTTY === true) clearProgress()
    return new Promise((resolve, reject) => {
      process.stdout.write(chunk, (error) => {
        if (error === null || error === undefined) return resolve()
        endOutput(error)
        reject(error)
      })
    })
  },
}

const output = new AbortController()
let failure: string | null = null

/** Aborts when standard output takes nothing more, as after `| head -1` or on a full disk: there is no sense in going on. */
export const outputEnded: AbortSignal = output.signal

/** Why standard output could not be written; null where it was, or where its reader has gone, which is an end like any other. */
export function outputFailure(): string | null {
  return failure
}

// Who writes by `console.log` is told of nothing; and without a listener the event would end the process.
process.stdout.on('error', endOutput)

function isDirectory(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isDirectory()
  } catch {
    return false
  }
}

function endOutput(error: Error): void {
  if (output.signal.aborted) return
  const code = 'code' in error ? error.code : ''
  // A terminal that was closed answers with EIO.
  const readerGone = readerGoneCodes.has(code) || (code === 'EIO' && process.stdout.isTTY === true)
  if (!readerGone) failure = `standard output cannot be written: ${error.message}`
  output.abort()
}
