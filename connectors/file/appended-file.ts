import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isPacked, pack, readyToAppend } from './packed-file.ts'
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

const lineEnd = 0x0a

/** A file that grows at its end by whole lines: one handle, opened at the first write. In one of gzip each write is a member of its own. */
export class AppendedFile {
  readonly #path: string
  readonly #packed: boolean
  readonly #options: AppendedFileOptions
  #handle: FileHandle | null = null
  #bytes = 0
  /** What the next write begins with: the first line of a new file, or the end of a line that has none, because a write was cut. */
  #begin = ''
  /** A write that went on beyond its time limit must not mix with the one after it. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(path: string, options: AppendedFileOptions) {
    this.#path = path
    this.#packed = isPacked(path)
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
    await this.#close()
  }

  async #append(text: string): Promise<void> {
    try {
      let handle = this.#handle ?? (await this.#open())
      if (this.#options.rotateBytes > 0 && this.#bytes >= this.#options.rotateBytes) {
        await this.#rotate()
        handle = await this.#open()
      }
      await this.#write(handle, text)
      if (this.#options.durable) await handle.datasync()
    } catch (thrown) {
      throw fileError(thrown, 'write', this.#path)
    }
  }

  async #write(handle: FileHandle, text: string): Promise<void> {
    const whole = this.#bytes
    const content = this.#begin + text
    const bytes = this.#packed ? await pack(content) : Buffer.from(content)
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, at)
        at += bytesWritten
        this.#bytes += bytesWritten
      }
      this.#begin = ''
    } catch (thrown) {
      if (this.#packed) await this.#takeBack(handle, whole)
      else if (this.#bytes > whole) this.#begin = '\n'
      throw thrown
    }
  }

  /** A part of a member would spoil all that comes behind it. Where it cannot be taken away, opening the file again mends it. */
  async #takeBack(handle: FileHandle, whole: number): Promise<void> {
    this.#bytes = whole
    await handle.truncate(whole).catch(() => this.#close())
  }

  async #open(): Promise<FileHandle> {
    await mkdir(dirname(this.#path), { recursive: true })
    const lastPacked = this.#packed ? await readyToAppend(this.#path) : null
    const handle = await open(this.#path, 'a+')
    this.#handle = handle
    this.#bytes = (await handle.stat()).size
    const last = this.#packed ? lastPacked : await lastByteOf(handle, this.#bytes)
    this.#begin = last === null ? this.#options.firstLine : last === lineEnd ? '' : '\n'
    return handle
  }

  async #close(): Promise<void> {
    await this.#handle?.close()
    this.#handle = null
  }

  async #rotate(): Promise<void> {
    await this.#close()
    const nameOf = (number: number): string => rotatedName(this.#path, number)
    await rm(nameOf(this.#options.rotatedFilesMax), { force: true })
    for (let number = this.#options.rotatedFilesMax - 1; number >= 0; number--)
      await rename(nameOf(number), nameOf(number + 1)).catch((thrown) => {
        if (codeOf(thrown) !== 'ENOENT') throw thrown
      })
  }
}

async function lastByteOf(handle: FileHandle, bytes: number): Promise<number | null> {
  if (bytes === 0) return null
  const found = Buffer.alloc(1)
  await handle.read(found, 0, 1, bytes - 1)
  return found[0] ?? null
}

/** A packed file keeps its ending, by which it is unpacked when it is read. */
function rotatedName(path: string, number: number): string {
  if (number === 0) return path
  return isPacked(path) ? `${path.slice(0, -'.gz'.length)}.${number}.gz` : `${path}.${number}`
}
