import type { FileHandle } from 'node:fs/promises'
import { giveBack } from '../core/flow/give-back.ts'

/** Chunks that may be on their way to the disk while the next ones are read: an upload then waits for neither. */
const writesMax = 8

/** Writes chunks at their places, several at a time. A failure is told by the next `add` or by `done`. */
export class WriteBehind {
  readonly #file: FileHandle
  readonly #open = new Set<Promise<void>>()
  #position = 0
  #failure: { readonly cause: unknown } | null = null

  constructor(file: FileHandle) {
    this.#file = file
  }

  /** Takes a chunk, for good: its memory is freed when it is written. Resolves when there is room for another one. */
  async add(chunk: Uint8Array): Promise<void> {
    this.#check()
    const write: Promise<void> = this.#writeAll(chunk, this.#position)
      .catch((thrown: unknown) => {
        this.#failure ??= { cause: thrown }
      })
      .finally(() => this.#open.delete(write))
    this.#open.add(write)
    this.#position += chunk.byteLength
    if (this.#open.size >= writesMax) await Promise.race(this.#open)
  }

  /** Resolves when all is written. */
  async done(): Promise<void> {
    await Promise.all(this.#open)
    this.#check()
  }

  /** A write may take less than it was given, when a disk is nearly full. */
  async #writeAll(chunk: Uint8Array, position: number): Promise<void> {
    for (let written = 0; written < chunk.byteLength; )
      written += (await this.#file.write(chunk, written, chunk.byteLength - written, position + written)).bytesWritten
    giveBack(chunk)
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure.cause
  }
}
