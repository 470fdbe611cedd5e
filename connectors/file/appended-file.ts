import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { codeOf, fileError } from './place.ts'

export interface AppendedFileOptions {
  /** Whether a write is over only when the disk has it. */
  readonly durable: boolean
  /** What a new file begins with, line end included. */
  readonly firstLine: string
  /** 0: never. */
  readonly rotateBytes: number
  readonly rotatedFilesMax: number
}

/** A file that grows at its end by whole lines: one handle, opened at the first write. */
export class AppendedFile {
  readonly #path: string
  readonly #options: AppendedFileOptions
  #handle: FileHandle | null = null
  #bytes = 0
  /** Whether the last line has no end, because a write was cut. */
  #torn = false
  /** A write that went on beyond its time limit must not mix with the one after it. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(path: string, options: AppendedFileOptions) {
    this.#path = path
    this.#options = options
  }

  /** Appends text that ends with a line end. Throws a NodeError; then a part of the text may be in the file, as a line of its own. */
  append(text: string): Promise<void> {
    const done = this.#last.then(() => this.#append(text))
    this.#last = done.catch(() => undefined)
    return done
  }

  async close(): Promise<void> {
    await this.#last
    await this.#handle?.close()
    this.#handle = null
  }

  async #append(text: string): Promise<void> {
    try {
      let handle = this.#handle ?? (await this.#open())
      if (this.#options.rotateBytes > 0 && this.#bytes >= this.#options.rotateBytes) {
        await this.#rotate()
        handle = await this.#open()
      }
      const begin = this.#bytes === 0 ? this.#options.firstLine : this.#torn ? '\n' : ''
      const bytes = Buffer.from(begin + text)
      this.#torn = true
      for (let at = 0; at < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, at)
        at += bytesWritten
        this.#bytes += bytesWritten
      }
      this.#torn = false
      if (this.#options.durable) await handle.datasync()
    } catch (thrown) {
      throw fileError(thrown, 'write', this.#path)
    }
  }

  async #open(): Promise<FileHandle> {
    await mkdir(dirname(this.#path), { recursive: true })
    const handle = await open(this.#path, 'a+')
    this.#handle = handle
    this.#bytes = (await handle.stat()).size
    if (this.#bytes > 0) {
      const last = Buffer.alloc(1)
      await handle.read(last, 0, 1, this.#bytes - 1)
      this.#torn = last[0] !== 0x0a
    }
    return handle
  }

  async #rotate(): Promise<void> {
    await this.#handle?.close()
    this.#handle = null
    this.#bytes = 0
    this.#torn = false
    const nameOf = (number: number): string => (number === 0 ? this.#path : `${this.#path}.${number}`)
    await rm(nameOf(this.#options.rotatedFilesMax), { force: true })
    for (let number = this.#options.rotatedFilesMax - 1; number >= 0; number--)
      await rename(nameOf(number), nameOf(number + 1)).catch((thrown) => {
        if (codeOf(thrown) !== 'ENOENT') throw thrown
      })
  }
}
