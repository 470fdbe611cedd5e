import type { FileHandle } from 'node:fs/promises'

/**
 * Memory that packets are read into, one after the other. A new buffer for each costs more than reading it: the collector
 * counts those megabytes and walks the whole heap for them, several times in a video.
 */
export interface Room {
  bytes: Buffer
}

export function emptyRoom(): Room {
  return { bytes: Buffer.alloc(0) }
}

/**
 * Reads `length` bytes from `at`; fewer where the file ends. In a room they stand until it is read into again, without one
 * they are the caller's.
 */
export async function bytesAt(file: FileHandle, at: number, length: number, room?: Room): Promise<Buffer> {
  const bytes = room === undefined ? Buffer.allocUnsafeSlow(length) : place(room, length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, at + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

function place(room: Room, length: number): Buffer {
  // With a quarter to spare: keyframes of one film differ a little, and it should grow only a few times.
  if (room.bytes.length < length) room.bytes = Buffer.allocUnsafeSlow(length + (length >> 2))
  return room.bytes.subarray(0, length)
}
