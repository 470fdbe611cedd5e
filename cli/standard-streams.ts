import type { StandardStreams } from '../core/host.ts'

/** The process's own standard input and output, with their back-pressure. */
export const standardStreams: StandardStreams = {
  input: {
    [Symbol.asyncIterator]() {
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
    return new Promise((resolve, reject) => {
      process.stdout.write(chunk, (error) => {
        if (error === null || error === undefined) resolve()
        else reject(error)
      })
    })
  },
}

/** Aborts when nobody reads standard output any more, as in `| head -1`: there is no sense in going on. */
export const readerGone: AbortSignal = watchReader()

/** Who writes is told of an error by its promise; the event that comes with it must not end the process. */
function watchReader(): AbortSignal {
  const controller = new AbortController()
  process.stdout.on('error', () => controller.abort())
  return controller.signal
}
