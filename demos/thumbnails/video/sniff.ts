import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { NodeError } from '../../../core/flow/failure.ts'

export interface Sniffed {
  /** ffmpeg's name of the demuxer for this container. ffmpeg is never left to guess: some formats name other files. */
  readonly demuxer: string
  readonly container: string
  /** True when the container states more bytes than the file has. */
  readonly cutOff: boolean
  /** True for an MP4 or MOV that is cut off before its index, so that nothing in it can be found. */
  readonly indexMissing: boolean
}

/**
 * Tells by its bytes, never by its name, whether a file is a video container that we hand to a decoder.
 * Throws NodeErrors: `video.empty`, `video.no-video-stream` (a sound file), `video.not-a-video` (anything else, and
 * playlists and scripts, which could make a decoder open other files or addresses), `video.unreadable`.
 */
export async function sniff(path: string): Promise<Sniffed> {
  const file = await open(path).catch((cause: unknown) => {
    throw unreadable(cause)
  })
  try {
    const stats = await file.stat()
    if (!stats.isFile()) throw unreadable(null)
    const { size } = stats
    if (size === 0)
      throw new NodeError(
        'video.empty',
        'The file is empty. Choose a video file, and upload it again if it should not be empty.',
      )
    const head = await bytesAt(file, 0, 4096)
    const known = signatures.find((each) => each.matches(head))
    if (known === undefined) throw notAVideo(head)
    if (known.demuxer === null) {
      throw new NodeError(
        'video.no-video-stream',
        `This is a sound file (${known.container}) without pictures. Choose a video file.`,
      )
    }
    const extent = await extentOf(known.demuxer, file, head, size)
    return { demuxer: known.demuxer, container: known.container, ...extent }
  } finally {
    await file.close()
  }
}

interface Signature {
  /** Null for what holds sound only. */
  readonly demuxer: string | null
  readonly container: string
  readonly matches: (head: Buffer) => boolean
}

const signatures: readonly Signature[] = [
  { demuxer: 'mov', container: 'MOV', matches: (head) => ascii(head, 4, 12) === 'ftypqt  ' },
  { demuxer: 'mov', container: 'MP4', matches: (head) => mp4Boxes.has(ascii(head, 4, 8)) },
  { demuxer: 'matroska', container: 'Matroska', matches: (head) => hex(head, 4) === '1a45dfa3' },
  {
    demuxer: 'avi',
    container: 'AVI',
    matches: (head) => ascii(head, 0, 4) === 'RIFF' && ascii(head, 8, 12) === 'AVI ',
  },
  { demuxer: 'flv', container: 'FLV', matches: (head) => ascii(head, 0, 3) === 'FLV' },
  { demuxer: 'gif', container: 'GIF', matches: (head) => ascii(head, 0, 4) === 'GIF8' },
  { demuxer: 'ogg', container: 'Ogg', matches: (head) => ascii(head, 0, 4) === 'OggS' },
  { demuxer: 'asf', container: 'ASF', matches: (head) => hex(head, 4) === '3026b275' },
  { demuxer: 'mxf', container: 'MXF', matches: (head) => hex(head, 4) === '060e2b34' },
  { demuxer: 'mpeg', container: 'MPEG-PS', matches: (head) => hex(head, 4) === '000001ba' },
  { demuxer: 'ivf', container: 'IVF', matches: (head) => ascii(head, 0, 4) === 'DKIF' },
  { demuxer: 'yuv4mpegpipe', container: 'YUV4MPEG', matches: (head) => ascii(head, 0, 9) === 'YUV4MPEG2' },
  { demuxer: 'mpegts', container: 'MPEG-TS', matches: (head) => [0, 188, 376].every((at) => head[at] === 0x47) },
  { demuxer: 'mpegts', container: 'MPEG-TS', matches: (head) => [4, 196, 388].every((at) => head[at] === 0x47) },
  { demuxer: null, container: 'WAV', matches: (head) => ascii(head, 0, 4) === 'RIFF' && ascii(head, 8, 12) === 'WAVE' },
  { demuxer: null, container: 'FLAC', matches: (head) => ascii(head, 0, 4) === 'fLaC' },
  {
    demuxer: null,
    container: 'MP3',
    // The first eleven bits of a frame are set, and the layer is the third one.
    matches: (head) => ascii(head, 0, 3) === 'ID3' || (head[0] === 0xff && ((head[1] ?? 0) & 0xe6) === 0xe2),
  },
]

/** Boxes with which MP4 and MOV files begin in practice. */
const mp4Boxes = new Set(['ftyp', 'moov', 'mdat', 'free', 'skip', 'wide', 'pnot', 'styp', 'sidx', 'moof'])

function unreadable(cause: unknown): NodeError {
  return new NodeError(
    'video.unreadable',
    'The video file cannot be opened on the machine that runs this task. Check that it is still there, is a file and may be read.',
    { cause },
  )
}

function notAVideo(head: Buffer): NodeError {
  const text = head.toString('latin1').trimStart().toLowerCase()
  const playlist = ['#extm3u', 'ffconcat', '<?xml', '<mpd', '[playlist]', 'file '].some((start) =>
    text.startsWith(start),
  )
  return new NodeError(
    'video.not-a-video',
    playlist
      ? 'This is a playlist or a list of files, not a video; such lists are not followed. Choose the video file itself.'
      : 'This is not a video: it begins like none of MP4, MOV, Matroska, WebM, AVI, MPEG-TS, MPEG-PS, FLV, Ogg, ASF, MXF and GIF. Choose a video file.',
  )
}

type Extent = Pick<Sniffed, 'cutOff' | 'indexMissing'>

async function extentOf(demuxer: string, file: FileHandle, head: Buffer, fileBytes: number): Promise<Extent> {
  if (demuxer === 'mov') return await boxExtent(file, fileBytes)
  if (demuxer === 'matroska') return { cutOff: segmentEnd(head) > fileBytes, indexMissing: false }
  if (demuxer === 'avi') return { cutOff: head.readUInt32LE(4) + 8 > fileBytes, indexMissing: false }
  return { cutOff: false, indexMissing: false }
}

/** Top-level boxes looked at. A fragmented file has thousands and is found out by its keyframes instead. */
const boxesMax = 32

/** Walks MP4's top-level boxes, each with its length in front (ISO/IEC 14496-12, 4.2). */
async function boxExtent(file: FileHandle, fileBytes: number): Promise<Extent> {
  let at = 0
  let index = false
  for (let count = 0; count < boxesMax && at < fileBytes; count++) {
    const box = await bytesAt(file, at, 16)
    if (box.length < 8) return { cutOff: true, indexMissing: !index }
    const short = box.readUInt32BE(0)
    const length = short === 1 && box.length === 16 ? Number(box.readBigUInt64BE(8)) : short
    const end = length === 0 ? fileBytes : at + length
    if (length === 1 || (length > 1 && length < 8) || end > fileBytes) return { cutOff: true, indexMissing: !index }
    index ||= ascii(box, 4, 8) === 'moov'
    at = end
  }
  return { cutOff: false, indexMissing: at >= fileBytes && !index }
}

/** Where Matroska's Segment says that it ends; 0 where it does not say (RFC 8794, 6; RFC 9559, 5). */
function segmentEnd(head: Buffer): number {
  const header = vint(head, 4)
  if (header === null || header.value === null) return 0
  const segment = header.next + header.value
  if (segment + 12 > head.length || head.readUInt32BE(segment) !== 0x18538067) return 0
  const size = vint(head, segment + 4)
  return size === null || size.value === null ? 0 : size.next + size.value
}

/** An EBML length at `at`; its value is null when it means "unknown". */
function vint(bytes: Buffer, at: number): { readonly value: number | null; readonly next: number } | null {
  const width = Math.clz32(bytes[at] ?? 0) - 23
  if (width > 8 || at + width > bytes.length) return null
  let value = BigInt((bytes[at] ?? 0) & (0xff >> width))
  for (let i = 1; i < width; i++) value = (value << 8n) | BigInt(bytes[at + i] ?? 0)
  const unknown = value === (1n << BigInt(7 * width)) - 1n
  return { value: unknown ? null : Number(value), next: at + width }
}

async function bytesAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
  return buffer.subarray(0, bytesRead)
}

function ascii(bytes: Buffer, from: number, to: number): string {
  return bytes.toString('latin1', from, to)
}

function hex(bytes: Buffer, count: number): string {
  return bytes.toString('hex', 0, count)
}
