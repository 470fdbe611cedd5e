import { createReadStream } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'
import { NodeError } from '../../core/flow/failure.ts'
import type { ByteChunk } from '../../core/flow/record-source.ts'
import { isPacked } from './packed-file.ts'
import { codeOf, fileError } from './place.ts'

export const chunkBytes = 65_536

/** Opens a file and gives its bytes in chunks, unpacked if its name ends in `.gz`. Throws a NodeError at once if it cannot be opened. */
export async function openBytes(path: string): Promise<AsyncIterable<ByteChunk>> {
  const handle = await openFile(path)
  return isPacked(path) ? unpacked(handle, path) : plain(handle, path)
}

/** A handle for reading; a folder is refused, which the system would only do at the first read. */
export async function openFile(path: string): Promise<FileHandle> {
  let handle: FileHandle | null = null
  try {
    handle = await open(path, 'r')
    if ((await handle.stat()).isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' })
    return handle
  } catch (thrown) {
    await handle?.close()
    throw fileError(thrown, 'read', path)
  }
}

async function* plain(handle: FileHandle, path: string): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      // A buffer of its own for every chunk: batches in flight still read from the ones before.
      const buffer = Buffer.allocUnsafeSlow(chunkBytes)
      const { bytesRead } = await handle.read(buffer, 0, chunkBytes, null)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } catch (thrown) {
    throw fileError(thrown, 'read', path)
  } finally {
    await handle.close()
  }
}

async function* unpacked(handle: FileHandle, path: string): AsyncGenerator<Uint8Array> {
  const packed = createReadStream('', { fd: handle, highWaterMark: chunkBytes })
  const unzip = createGunzip({ chunkSize: chunkBytes })
  packed.on('error', (error) => unzip.destroy(error))
  try {
    for await (const chunk of packed.pipe(unzip)) yield chunk
  } catch (thrown) {
    const broken = codeOf(thrown).startsWith('Z_')
    throw broken
      ? new NodeError('file.broken-gzip', `cannot read ${path}: it is not a whole gzip file (${codeOf(thrown)})`, {
          cause: thrown,
        })
      : fileError(thrown, 'read', path)
  } finally {
    unzip.destroy()
    packed.destroy()
  }
}
