const newline = 10
const carriageReturn = 13
const markBytes = 3
const longLineHeadBytes = 200

/** What becomes of the lines that a reader finds. */
export interface LineConsumer {
  /** A line without its ending: where it lies in some bytes. `number` counts from 1. */
  line(bytes: Buffer, begin: number, end: number, number: number): void
  /** A line over the limit, of which only the beginning was kept. */
  tooLong(number: number, bytes: number, head: string): void
}

/** Consecutive whole lines in one piece of memory: enough to read them again. */
export interface LineRun {
  readonly bytes: Uint8Array
  readonly firstLine: number
}

/**
 * Cuts bytes into lines, wherever the chunks were cut. It copies only what lies across two chunks, looks for line ends
 * natively, and leaves it to the consumer what to make of the bytes. No I/O: bytes are pushed, lines are pulled.
 *
 * A line ends at `\n` or `\r\n`; the last one may end with the input. A byte order mark at the beginning is skipped.
 * Never more than a chunk and `lineBytesMax` are kept.
 */
export class LineReader {
  readonly #lineBytesMax: number
  /** Whole lines, being taken. */
  #block: Buffer = empty
  #at = 0
  /** Bytes after the last line end, in the pieces in which they came. */
  #rest: Buffer[] = []
  #restBytes = 0
  /** Bytes of a line over the limit that have been thrown away. */
  #skipped = 0
  #dropped: { readonly bytes: number; readonly head: string } | null = null
  #number = 1
  #fresh = true

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  /** Adds bytes, which must not change later. To be called when `take` has answered null. */
  push(chunk: Uint8Array): void {
    const bytes = bufferOf(chunk)
    const last = bytes.lastIndexOf(newline)
    if (last < 0) {
      this.#keep(bytes)
      return
    }
    let begin = 0
    if (this.#skipped > 0) {
      begin = bytes.indexOf(newline) + 1
      this.#drop(begin - 1)
    }
    const lines = bytes.subarray(begin, last + 1)
    this.#open(this.#restBytes === 0 ? lines : this.#joined(lines))
    this.#keep(bytes.subarray(last + 1))
  }

  /** The input has ended: what is left is the last line. */
  end(): void {
    if (this.#skipped > 0) this.#drop(0)
    if (this.#restBytes > 0) this.#open(this.#joined(empty))
  }

  /** After `end`: what is pushed next is another text, whose lines are counted from 1. */
  restart(): void {
    this.#number = 1
    this.#fresh = true
  }

  /** The number of the line that comes next. */
  get nextLine(): number {
    return this.#number
  }

  /** Hands over the next lines: at most so many, and of so many bytes unless it is one. Null when bytes are needed. */
  take(linesMax: number, bytesMax: number, consumer: LineConsumer): LineRun | null {
    const firstLine = this.#number
    if (this.#dropped !== null) {
      const { bytes, head } = this.#dropped
      this.#dropped = null
      consumer.tooLong(this.#number++, bytes, head)
      return { bytes: empty, firstLine }
    }
    const block = this.#block
    const begin = this.#at
    if (begin >= block.length) return null
    const stop = Math.min(block.length, begin + bytesMax)
    let at = begin
    for (let lines = 0; lines < linesMax && at < block.length; lines++) {
      const found = block.indexOf(newline, at)
      const end = found < 0 ? block.length : found
      const next = found < 0 ? end : end + 1
      if (next > stop && lines > 0) break
      this.#line(at, end, consumer)
      at = next
    }
    this.#at = at
    const bytes = block.subarray(begin, at)
    if (at >= block.length) this.#close()
    return { bytes, firstLine }
  }

  /** Hands over the lines of a run once more. */
  again(run: LineRun, consumer: LineConsumer): void {
    const reader = new LineReader(this.#lineBytesMax)
    reader.#fresh = false
    reader.#number = run.firstLine
    reader.#open(bufferOf(run.bytes))
    reader.take(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, consumer)
  }

  #line(begin: number, end: number, consumer: LineConsumer): void {
    const block = this.#block
    const number = this.#number++
    const textEnd = end > begin && block[end - 1] === carriageReturn ? end - 1 : end
    if (end - begin > this.#lineBytesMax)
      consumer.tooLong(number, end - begin, block.toString('utf8', begin, begin + longLineHeadBytes))
    else consumer.line(block, begin, textEnd, number)
  }

  #open(block: Buffer): void {
    this.#block = block
    this.#at = this.#fresh ? beginOf(block) : 0
    this.#fresh = false
  }

  #close(): void {
    this.#block = empty
    this.#at = 0
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return
    if (this.#skipped > 0) {
      this.#skipped += bytes.length
      return
    }
    this.#rest.push(bytes)
    this.#restBytes += bytes.length
    // A byte order mark does not count.
    if (this.#restBytes <= this.#lineBytesMax + markBytes) return
    this.#skipped = this.#restBytes
    const head = Buffer.concat(this.#rest).subarray(0, longLineHeadBytes)
    this.#rest = [Buffer.from(head)]
    this.#restBytes = 0
  }

  #drop(bytes: number): void {
    const head = Buffer.concat(this.#rest)
    const begin = this.#fresh ? beginOf(head) : 0
    this.#dropped = { bytes: this.#skipped + bytes - begin, head: head.toString('utf8', begin) }
    this.#skipped = 0
    this.#rest = []
    this.#fresh = false
  }

  #joined(lines: Buffer): Buffer {
    const all = [...this.#rest, lines]
    this.#rest = []
    this.#restBytes = 0
    return all.length === 1 ? lines : Buffer.concat(all)
  }
}

const empty = Buffer.alloc(0)
/** Where a text begins: behind its byte order mark, if it has one. */
function beginOf(bytes: Buffer): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? markBytes : 0
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
