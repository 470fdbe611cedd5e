import { createReadStream, createWriteStream } from 'node:fs'
import { realpath, rename, rm, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { constants, createGunzip, createGzip, gzip } from 'node:zlib'
import { NodeError } from '../../core/flow/failure.ts'
import { codeOf } from './place.ts'

const packed = promisify(gzip)

/** Whether a file of this name holds gzip: what is read from it is unpacked, what is written packed. */
export function isPacked(path: string): boolean {
  return path.endsWith('.gz')
}

/** Bytes as one gzip member. Members stand one after another in a file, and are read as if it were one. */
export function pack(content: Uint8Array | string): Promise<Uint8Array> {
  return packed(content)
}

/** Whether bytes begin as gzip does. */
export function looksPacked(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 0x08
}

/**
 * Makes a packed file one to which members can be added, and answers the last byte of what is packed in it; null for none.
 * What a crash left of a member would make all behind it unreadable, so what can be read is packed anew.
 * Throws a NodeError for what is no gzip.
 */
export async function readyToAppend(path: string): Promise<number | null> {
  const { size, mode } = await stat(path).catch((thrown: unknown) => {
    if (codeOf(thrown) === 'ENOENT') return { size: 0, mode: 0 }
    throw thrown
  })
  if (size === 0) return null
  const unzip = createGunzip()
  let last: number | null = null
  try {
    await pipeline(createReadStream(path), unzip, async (pieces: AsyncIterable<Uint8Array>) => {
      for await (const piece of pieces) last = piece.at(-1) ?? last
    })
    // What stands behind the last member is no gzip: a system that lost its power may have filled the end with zeros.
    if (unzip.bytesWritten === size) return last
  } catch (thrown) {
    if (codeOf(thrown) === 'Z_DATA_ERROR')
      throw new NodeError('file.broken-gzip', `cannot write ${path}: what is there is no gzip; move it away`, {
        cause: thrown,
      })
    if (codeOf(thrown) !== 'Z_BUF_ERROR') throw thrown
  }
  const place = await realpath(path)
  const unfinished = `${place}.unfinished`
  await rm(unfinished, { force: true })
  try {
    const upToTheTear = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH })
    await pipeline(
      createReadStream(path),
      upToTheTear,
      createGzip(),
      createWriteStream(unfinished, { flags: 'wx', mode: mode & 0o777, flush: true }),
    )
    await rename(unfinished, place)
  } catch (thrown) {
    await rm(unfinished, { force: true })
    throw thrown
  }
  return readyToAppend(path)
}
