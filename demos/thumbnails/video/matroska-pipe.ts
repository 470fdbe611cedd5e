import type { VideoCodec } from 'mediabunny'

/** Matroska's names of the codecs whose packets and decoder description are the same there as in MP4 (RFC 9559). */
const codecIds: Partial<Record<VideoCodec, string>> = {
  avc: 'V_MPEG4/ISO/AVC',
  hevc: 'V_MPEGH/ISO/HEVC',
  vp8: 'V_VP8',
  vp9: 'V_VP9',
  av1: 'V_AV1',
}

/** Whether keyframes of this codec can be handed to a decoder as a Matroska stream. */
export function fitsMatroskaPipe(codec: VideoCodec): boolean {
  return codecIds[codec] !== undefined
}

/**
 * The beginning of an endless Matroska stream with one video track, times in milliseconds.
 * Followed by any number of `clusterHeader` + packet. Written here rather than with a general muxer because a packet then
 * goes to the pipe as it was read, at once and without a copy: that is a seventh of the whole time of a run.
 */
export function streamHeader(track: {
  readonly codec: VideoCodec
  readonly description: Uint8Array | null
  readonly width: number
  readonly height: number
}): Uint8Array {
  const video = element(0xe0, number(0xb0, track.width), number(0xba, track.height))
  const codecPrivate = track.description === null ? [] : [element(0x63a2, track.description)]
  const entry = element(
    0xae,
    ...[
      number(0xd7, 1),
      number(0x73c5, 1),
      number(0x83, 1),
      text(0x86, codecIds[track.codec] ?? ''),
      video,
      ...codecPrivate,
    ],
  )
  return Buffer.concat([
    element(
      0x1a45dfa3,
      number(0x4286, 1),
      number(0x42f7, 1),
      text(0x4282, 'matroska'),
      number(0x4287, 4),
      number(0x4285, 2),
    ),
    idBytes(0x18538067),
    unknownSize,
    element(0x1549a966, number(0x2ad7b1, 1_000_000)),
    element(0x1654ae6b, entry),
  ])
}

/** What goes before one key packet of `packetBytes` bytes at `timeMs`. */
export function clusterHeader(timeMs: number, packetBytes: number): Uint8Array {
  const time = number(0xe7, timeMs)
  const block = Buffer.concat([idBytes(0xa3), sizeBytes(packetBytes + 4), Buffer.from([0x81, 0, 0, 0x80])])
  return Buffer.concat([idBytes(0x1f43b675), sizeBytes(time.length + block.length + packetBytes), time, block])
}

const unknownSize = Buffer.from([0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])

function element(id: number, ...content: readonly Uint8Array[]): Buffer {
  const length = content.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([idBytes(id), sizeBytes(length), ...content])
}

function number(id: number, value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(value))
  return element(id, bytes)
}

function text(id: number, value: string): Buffer {
  return element(id, Buffer.from(value, 'latin1'))
}

function idBytes(id: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(id)
  return bytes.subarray(bytes.findIndex((byte) => byte !== 0))
}

/** A size in the eight-byte form, which holds any length and needs no choice. */
function sizeBytes(size: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(size))
  bytes[0] = 0x01
  return bytes
}
