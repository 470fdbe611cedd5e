import type { RecordReader, Records } from '../../core/flow/record-source.ts'

export interface WholeTextOptions {
  readonly where: string
  readonly node: string
  readonly textBytesMax: number
}

/** Reads a whole text as one record, up to a limit. */
export function wholeText(options: WholeTextOptions): RecordReader {
  let pieces: Uint8Array[] = []
  let bytes = 0
  let ended = false
  return {
    push(chunk) {
      bytes += chunk.length
      if (bytes <= options.textBytesMax) pieces.push(chunk)
      else pieces = []
    },
    end() {
      ended = true
    },
    restart() {
      bytes = 0
    },
    take(): Records | null {
      if (!ended) return null
      ended = false
      // A byte order mark is no part of the text, here as for lines and CSV.
      const text = new TextDecoder().decode(Buffer.concat(pieces))
      pieces = []
      if (bytes <= options.textBytesMax) return { values: [text], unreadable: [], bytes, again: () => [text] }
      const message = `${options.where} has ${bytes} bytes; the limit is ${options.textBytesMax}`
      const failure = { code: 'record.too-long', message, node: options.node, retriable: false }
      return { values: [], unreadable: [{ failure, value: null }], bytes: 0, again: () => [] }
    },
  }
}
