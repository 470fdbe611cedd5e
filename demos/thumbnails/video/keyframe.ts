import type { VideoSource } from './source.ts'

type Described = Pick<VideoSource, 'codec' | 'description'>

/**
 * Makes a keyframe ready to follow any other keyframe in a decoder, changing the bytes in place where need be; null when
 * that cannot be had, and the keyframe must be decoded for itself.
 *
 * H.264: IDR pictures reset the decoder; other keyframes ("open GOP") count on from earlier ones (ITU-T H.264, 7.4.1).
 * HEVC: a CRA picture counts on too, but naming it a BLA picture, which is written alike, makes it a new beginning; that
 * is what the standard provides for splicing (ITU-T H.265, 7.4.2.2). The keyframes of other codecs always reset.
 */
export function detached(packet: Uint8Array, { codec, description }: Described): Uint8Array | null {
  if (description === null) return packet
  if (codec === 'avc') {
    for (const at of unitStarts(packet, lengthBytes(description, 4))) {
      const type = (packet[at] ?? 0) & 31
      if (type === 5) return packet
      if (type >= 1 && type <= 4) return null
    }
  }
  if (codec === 'hevc') {
    for (const at of unitStarts(packet, lengthBytes(description, 21))) {
      const first = packet[at] ?? 0
      if (((first >> 1) & 63) === craType) packet[at] = (first & 0x81) | (blaWithoutLeadingType << 1)
    }
  }
  return packet
}

const craType = 21
const blaWithoutLeadingType = 18

/** How many bytes the length before each unit has: the low two bits at this place of avcC and hvcC, plus one. */
function lengthBytes(description: Uint8Array, at: number): number {
  return ((description[at] ?? 3) & 3) + 1
}

/** Where in a packet each unit's header lies. */
function* unitStarts(packet: Uint8Array, lengthWidth: number): Generator<number> {
  for (let at = 0; at + lengthWidth < packet.length; ) {
    let length = 0
    for (let i = 0; i < lengthWidth; i++) length = length * 256 + (packet[at + i] ?? 0)
    yield at + lengthWidth
    at += lengthWidth + length
  }
}
