import { isUtf8 } from 'node:buffer'
import { JsonReader } from '../json/json-reader.ts'
import type { Size } from './credits.ts'
import { LineReader } from './lines.ts'
import type { RecordReader, Records, UnreadableRecord } from './record-source.ts'

const shownCharactersMax = 200
const keptCharactersMax = 10_000

export interface LineRecordsOptions {
  /** `lines`: each line is text. `ndjson`: each line is JSON; empty ones are skipped. */
  readonly format: 'lines' | 'ndjson'
  /** What the lines come from, for messages: `orders.ndjson`, `standard input`. */
  readonly where: string
  readonly node: string
  /** A longer line is not read. */
  readonly lineBytesMax: number
}

/** Reads text line by line. A line that cannot be read does not disturb the ones around it. */
export function lineRecords(options: LineRecordsOptions): RecordReader {
  return new LineRecords(options)
}

class LineRecords implements RecordReader {
  readonly #options: LineRecordsOptions
  readonly #lines: LineReader
  readonly #json = new JsonReader(parseJson)

  constructor(options: LineRecordsOptions) {
    this.#options = options
    this.#lines = new LineReader(options.lineBytesMax)
  }

  push(chunk: Uint8Array): void {
    this.#lines.push(chunk)
  }

  end(): void {
    this.#lines.end()
  }

  restart(): void {
    this.#lines.restart()
  }

  take(limit: Size): Records | null {
    const { format } = this.#options
    const found = format === 'lines' ? new TextLines(this.#options) : new JsonLines(this.#options, this.#json)
    const run = this.#lines.take(limit.messages, limit.bytes, found)
    if (run === null) return null
    const { values, unreadable } = found
    const again = (): readonly unknown[] => {
      if (format === 'lines') return values
      const repeated = new JsonLines(this.#options, this.#json)
      this.#lines.again(run, repeated)
      return repeated.values
    }
    return { values, unreadable, bytes: run.bytes.length, again }
  }
}

class TextLines {
  readonly values: string[] = []
  readonly unreadable: UnreadableRecord[] = []
  readonly #options: LineRecordsOptions

  constructor(options: LineRecordsOptions) {
    this.#options = options
  }

  line(bytes: Buffer, begin: number, end: number): void {
    this.values.push(bytes.toString('utf8', begin, end))
  }

  tooLong(number: number, bytes: number, head: string): void {
    this.unreadable.push(tooLong(this.#options, number, bytes, head))
  }
}

class JsonLines {
  readonly values: unknown[] = []
  readonly unreadable: UnreadableRecord[] = []
  readonly #options: LineRecordsOptions
  readonly #json: JsonReader

  constructor(options: LineRecordsOptions, json: JsonReader) {
    this.#options = options
    this.#json = json
  }

  line(bytes: Buffer, begin: number, end: number, number: number): void {
    if (begin === end) return
    try {
      this.values.push(this.#json.read(bytes, begin, end))
    } catch {
      const text = bytes.toString('utf8', begin, end)
      if (text.trim() === '') return
      this.#refuse(text, number, isUtf8(bytes.subarray(begin, end)) ? 'is not JSON' : 'is not UTF-8')
    }
  }

  tooLong(number: number, bytes: number, head: string): void {
    this.unreadable.push(tooLong(this.#options, number, bytes, head))
  }

  #refuse(text: string, number: number, why: string): void {
    const { where, node } = this.#options
    const message = `line ${number} of ${where} ${why}: ${JSON.stringify(text.slice(0, shownCharactersMax))}`
    this.unreadable.push({
      failure: { code: 'record.invalid', message, node, retriable: false },
      value: text.slice(0, keptCharactersMax),
    })
  }
}

function parseJson(bytes: Buffer, begin: number, end: number): unknown {
  const text = bytes.toString('utf8', begin, end)
  // Bytes that are not UTF-8 became this sign.
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(begin, end))) throw new SyntaxError('not UTF-8')
  return JSON.parse(text)
}

function tooLong(options: LineRecordsOptions, number: number, bytes: number, head: string): UnreadableRecord {
  const message = `line ${number} of ${options.where} has ${bytes} bytes; the limit is ${options.lineBytesMax}`
  return { failure: { code: 'record.too-long', message, node: options.node, retriable: false }, value: head }
}
