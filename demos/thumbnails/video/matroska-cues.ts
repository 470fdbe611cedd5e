import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import type { Room } from './room.ts'
import { bytesAt } from './room.ts'

/** The keyframes of a Matroska or WebM file that its own index (Cues) lists. */
export interface MatroskaCues {
  /** Ascending, in seconds. */
  readonly times: readonly number[]
  /** The keyframe at exactly one of `times`, in the room; null where the file ends before it or the index is wrong. */
  read(time: number, room?: Room): Promise<Uint8Array | null>
  close(): Promise<void>
}

/**
 * Reads the index of a Matroska file, so that keyframes are found without walking through the film: a general demuxer
 * reads every cluster in order to list them, 8 GB of a long film. Elements by RFC 9559, their coding by RFC 8794.
 * Answers null where there is no usable index (a live recording, a cut file, compressed tracks): then somebody must walk.
 */
export async function openCues(path: string, track: number): Promise<MatroskaCues | null> {
  const file = await open(path)
  const cues = await readCues(file, track).catch(() => null)
  if (cues === null || cues.size === 0) {
    await file.close()
    return null
  }
  return {
    times: [...cues.keys()].sort((a, b) => a - b),
    read: async (time, room) => {
      const cue = cues.get(time)
      return cue === undefined ? null : await readBlock(file, cue, track, room).catch(() => null)
    },
    close: () => file.close(),
  }
}

const id = {
  ebml: 0x1a45dfa3,
  segment: 0x18538067,
  seekHead: 0x114d9b74,
  seek: 0x4dbb,
  seekId: 0x53ab,
  seekPosition: 0x53ac,
  info: 0x1549a966,
  timestampScale: 0x2ad7b1,
  tracks: 0x1654ae6b,
  contentEncodings: 0x6d80,
  cues: 0x1c53bb6b,
  cuePoint: 0xbb,
  cueTime: 0xb3,
  cuePositions: 0xb7,
  cueTrack: 0xf7,
  cueCluster: 0xf1,
  cueRelative: 0xf0,
  cluster: 0x1f43b675,
  simpleBlock: 0xa3,
  blockGroup: 0xa0,
  block: 0xa1,
} as const

/** Of the file's beginning, in which the way to the index is written. */
const headBytes = 65_536
const cuesBytesMax = 4 << 20
const packetBytesMax = 64 << 20
/** Blocks of sound that may stand before the keyframe in its cluster. */
const blocksMax = 500

interface Cue {
  /** Where the cluster begins in the file. */
  readonly clusterAt: number
  /** Where the block begins in the cluster's content; null where the index does not say. */
  readonly blockAt: number | null
}

async function readCues(file: FileHandle, track: number): Promise<Map<number, Cue> | null> {
  const head = await bytesAt(file, 0, headBytes)
  const header = element(head, 0)
  const segment = header === null ? null : element(head, header.end)
  if (header?.id !== id.ebml || segment?.id !== id.segment) return null
  let cuesAt: number | null = null
  let scaleNs = 1_000_000
  for (const each of children(head, segment.start, head.length)) {
    if (each.id === id.seekHead) cuesAt ??= cuesPosition(head, each)
    if (each.id === id.info) scaleNs = child(head, each, id.timestampScale) ?? scaleNs
    if (each.id === id.tracks && (each.end > head.length || hasEncodings(head, each))) return null
    if (each.id === id.cluster) break
  }
  if (cuesAt === null) return null
  const start = await bytesAt(file, segment.start + cuesAt, 12)
  const cues = element(start, 0)
  if (cues?.id !== id.cues || cues.end - cues.start > cuesBytesMax) return null
  const bytes = await bytesAt(file, segment.start + cuesAt + cues.start, cues.end - cues.start)
  if (bytes.length < cues.end - cues.start) return null
  const found = new Map<number, Cue>()
  for (const point of children(bytes, 0, bytes.length)) {
    if (point.id !== id.cuePoint) continue
    const time = child(bytes, point, id.cueTime)
    for (const positions of children(bytes, point.start, point.end)) {
      if (positions.id !== id.cuePositions || child(bytes, positions, id.cueTrack) !== track) continue
      const cluster = child(bytes, positions, id.cueCluster)
      if (time === null || cluster === null) continue
      const cue = { clusterAt: segment.start + cluster, blockAt: child(bytes, positions, id.cueRelative) }
      found.set((time * scaleNs) / 1e9, cue)
    }
  }
  return found
}

function cuesPosition(head: Buffer, seekHead: Element): number | null {
  for (const seek of children(head, seekHead.start, Math.min(seekHead.end, head.length))) {
    if (seek.id === id.seek && child(head, seek, id.seekId) === id.cues) return child(head, seek, id.seekPosition)
  }
  return null
}

/** Compressed or encrypted packets: rare, and read by the general demuxer. */
function hasEncodings(head: Buffer, tracks: Element): boolean {
  for (const track of children(head, tracks.start, tracks.end)) {
    for (const each of children(head, track.start, track.end)) if (each.id === id.contentEncodings) return true
  }
  return false
}

/** The first block of the track from the place that the cue names. Null for anything unexpected. */
async function readBlock(file: FileHandle, cue: Cue, track: number, room?: Room): Promise<Uint8Array | null> {
  const cluster = element(await bytesAt(file, cue.clusterAt, 12), 0)
  if (cluster?.id !== id.cluster) return null
  let at = cue.clusterAt + cluster.start + (cue.blockAt ?? 0)
  for (let count = 0; count < blocksMax; count++) {
    const bytes = await bytesAt(file, at, 32)
    const found = element(bytes, 0)
    if (found === null || found.id === id.cluster) return null
    if (found.id === id.blockGroup) {
      at += found.start
      continue
    }
    const number = vint(bytes, found.start)
    if ((found.id === id.simpleBlock || found.id === id.block) && number?.value === track) {
      // After the track's number: a relative time of two bytes, and flags, of which two bits mean several frames in one.
      if (((bytes[number.next + 2] ?? 0) & 0x06) !== 0) return null
      const length = found.end - number.next - 3
      if (length > packetBytesMax) return null
      const packet = await bytesAt(file, at + number.next + 3, length, room)
      return packet.length < length ? null : packet
    }
    at += found.end
  }
  return null
}

interface Element {
  readonly id: number
  /** Where its content begins and ends, in the bytes that it was found in; the end may lie outside of them. */
  readonly start: number
  readonly end: number
}

function* children(bytes: Buffer, from: number, to: number): Generator<Element> {
  for (let at = from; at < to; ) {
    const found = element(bytes, at)
    if (found === null) return
    yield found
    at = found.end
  }
}

/** The number that a child element holds. */
function child(bytes: Buffer, parent: Element, wanted: number): number | null {
  for (const each of children(bytes, parent.start, parent.end)) {
    if (each.id !== wanted || each.end > bytes.length || each.end - each.start > 8) continue
    let value = 0
    for (let at = each.start; at < each.end; at++) value = value * 256 + (bytes[at] ?? 0)
    return value
  }
  return null
}

function element(bytes: Buffer, at: number): Element | null {
  const first = bytes[at]
  if (first === undefined) return null
  const width = Math.clz32(first) - 23
  if (width > 4 || at + width > bytes.length) return null
  const size = vint(bytes, at + width)
  if (size === null) return null
  return { id: bytes.readUIntBE(at, width), start: size.next, end: size.next + size.value }
}

/** A number that states its own width in its leading zeros; one that is all ones means "unknown" and counts as endless. */
function vint(bytes: Buffer, at: number): { readonly value: number; readonly next: number } | null {
  const first = bytes[at]
  if (first === undefined) return null
  const width = Math.clz32(first) - 23
  if (width > 8 || at + width > bytes.length) return null
  let value = first & (0xff >> width)
  let ones = value === 0xff >> width
  for (let i = 1; i < width; i++) {
    const byte = bytes[at + i] ?? 0
    ones &&= byte === 0xff
    value = value * 256 + byte
  }
  return { value: ones ? Number.POSITIVE_INFINITY : value, next: at + width }
}
