import type { FSWatcher } from 'node:fs'
import { watch } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { stat } from 'node:fs/promises'
import { NodeError } from '../../core/flow/failure.ts'
import type { ByteChunk } from '../../core/flow/record-source.ts'
import type { Clock } from '../../core/host.ts'
import { fileError } from './place.ts'
import { chunkBytes, openFile } from './read-file.ts'

export interface FollowOptions {
  readonly from: 'start' | 'end'
  /** Between two looks at the file, where the system reports nothing. */
  readonly pollMs: number
  readonly clock: Clock
}

/**
 * Gives a file's bytes and whatever is written to it later, without end. A file that was cut short is read again from its beginning;
 * one that was replaced is read to its end, then its successor from the beginning. Throws a NodeError at once if there is none.
 */
export async function followFile(path: string, options: FollowOptions): Promise<AsyncIterable<ByteChunk>> {
  const handle = await openFile(path)
  const position = options.from === 'end' ? (await handle.stat()).size : 0
  return { [Symbol.asyncIterator]: () => new Follower(path, options, handle, position) }
}

class Follower implements AsyncIterator<ByteChunk> {
  readonly #path: string
  readonly #options: FollowOptions
  #watcher: FSWatcher | null
  #handle: FileHandle
  #position: number
  #closed = false
  /** Whether the system has reported a change that has not been looked at. */
  #changed = false
  #wake: () => void = () => undefined
  #reading: Promise<unknown> = Promise.resolve()

  constructor(path: string, options: FollowOptions, handle: FileHandle, position: number) {
    this.#path = path
    this.#options = options
    this.#handle = handle
    this.#position = position
    this.#watcher = this.#watch()
  }

  next(): Promise<IteratorResult<ByteChunk>> {
    const next = this.#next()
    this.#reading = next.catch(() => undefined)
    return next
  }

  async return(): Promise<IteratorResult<ByteChunk>> {
    this.#closed = true
    this.#watcher?.close()
    this.#wake()
    await this.#reading
    await this.#handle.close()
    return { done: true, value: undefined }
  }

  async #next(): Promise<IteratorResult<ByteChunk>> {
    try {
      for (;;) {
        if (this.#closed) return { done: true, value: undefined }
        this.#changed = false
        const chunk = await this.#read()
        if (chunk !== null) return { done: false, value: chunk }
        if (await this.#restarted()) return { done: false, value: 'restart' }
        await this.#change()
      }
    } catch (thrown) {
      throw fileError(thrown, 'read', this.#path)
    }
  }

  async #read(): Promise<Uint8Array | null> {
    const buffer = Buffer.allocUnsafeSlow(chunkBytes)
    const { bytesRead } = await this.#handle.read(buffer, 0, chunkBytes, this.#position)
    this.#position += bytesRead
    if (bytesRead === 0) return null
    // A few bytes must not hold a large piece of memory for as long as they are in flight.
    return bytesRead * 2 < chunkBytes ? Buffer.from(buffer.subarray(0, bytesRead)) : buffer.subarray(0, bytesRead)
  }

  /** Whether the file has been cut short, or another one has taken its name: then reading is at the beginning of what is there now. */
  async #restarted(): Promise<boolean> {
    // Asked in this order: what is written to the old file just before it is replaced must be seen.
    const named = await stat(this.#path, { bigint: true }).catch(() => null)
    const now = await this.#handle.stat({ bigint: true })
    if (now.size < this.#position) {
      this.#position = 0
      return true
    }
    if (named === null || (named.ino === now.ino && named.dev === now.dev)) return false
    // What was written to the old file after the last look at it comes first.
    if (now.size > BigInt(this.#position)) return false
    const next = await openFile(this.#path).catch((thrown: unknown) => {
      // Gone again, or not placed yet.
      if (thrown instanceof NodeError && thrown.code === 'file.missing') return null
      throw thrown
    })
    if (next === null) return false
    await this.#handle.close()
    this.#handle = next
    this.#position = 0
    this.#watcher?.close()
    this.#watcher = this.#watch()
    return true
  }

  /** Looks out for changes, where the system can; polling finds them all the same. */
  #watch(): FSWatcher | null {
    if (this.#closed) return null
    try {
      const watcher = watch(this.#path, () => {
        this.#changed = true
        this.#wake()
      })
      watcher.on('error', () => watcher.close())
      return watcher
    } catch {
      return null
    }
  }

  #change(): Promise<void> {
    if (this.#changed || this.#closed) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#options.clock.after(this.#options.pollMs, () => this.#wake())
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }
}
