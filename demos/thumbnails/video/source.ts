import type { VideoCodec } from 'mediabunny'
import { type EncodedPacket, EncodedPacketSink, FilePathSource, Input, MATROSKA, MP4, QTFF, WEBM } from 'mediabunny'
import { NodeError } from '../../../core/flow/failure.ts'

/** A video whose keyframes can be listed and read one by one, without decoding and without reading the rest. */
export interface VideoSource {
  readonly container: string
  readonly codec: VideoCodec
  /** As displayed: rotated, with square pixels. */
  readonly width: number
  readonly height: number
  /** Degrees clockwise by which decoded pictures are to be turned. */
  readonly rotation: 0 | 90 | 180 | 270
  readonly durationMs: number | null
  readonly decoderConfig: VideoDecoderConfig
  /** Times of all keyframes, ascending, in seconds. */
  keyframes(signal: AbortSignal): Promise<readonly number[]>
  /** The keyframe at exactly this time, or null where the file ends before it. */
  read(time: number): Promise<EncodedPacket | null>
  close(): void
}

/** 14 hours of nothing but keyframes at 20 per second; beyond that a file is refused rather than listed for ever. */
const keyframesMax = 1_000_000

/**
 * Opens MP4, MOV, Matroska and WebM in this process. Answers null for what it cannot index (another container, or a
 * codec it does not know), which says nothing about whether ffmpeg can read it.
 * Throws a NodeError `video.no-video-stream` when the file is readable and has sound only.
 */
export async function openSource(path: string): Promise<VideoSource | null> {
  const source = new FilePathSource(path, { maxCacheSize: 32 << 20, handleUnhandledError: () => undefined })
  const input = new Input({ formats: [MP4, QTFF, MATROSKA, WEBM], source })
  let opened: VideoSource | null = null
  try {
    if (await input.canRead()) opened = await describe(input)
  } catch (thrown) {
    if (thrown instanceof NodeError) throw thrown
    // Half an index or a damaged header: ffmpeg may still make something of it.
  } finally {
    if (opened === null) input.dispose()
  }
  return opened
}

async function describe(input: Input): Promise<VideoSource | null> {
  const track = await input.getPrimaryVideoTrack()
  if (track === null) {
    if ((await input.getTracks()).length === 0) return null
    throw new NodeError(
      'video.no-video-stream',
      'This file has sound but no pictures. Choose a file with a video track.',
    )
  }
  const codec = await track.getCodec()
  const decoderConfig = await track.getDecoderConfig()
  if (codec === null || decoderConfig === null) return null
  const sink = new EncodedPacketSink(track)
  const durationS = await input.getDurationFromMetadata()
  return {
    container: (await input.getFormat()).name,
    codec,
    width: await track.getDisplayWidth(),
    height: await track.getDisplayHeight(),
    rotation: await track.getRotation(),
    durationMs: durationS === null ? null : Math.round(durationS * 1000),
    decoderConfig,
    keyframes: (signal) => listKeyframes(sink, signal),
    read: (time) => readKeyframe(sink, time),
    close: () => input.dispose(),
  }
}

async function listKeyframes(sink: EncodedPacketSink, signal: AbortSignal): Promise<readonly number[]> {
  const times: number[] = []
  let packet = await sink.getFirstKeyPacket({ metadataOnly: true })
  while (packet !== null && times.length < keyframesMax) {
    if (times.length % 256 === 0) signal.throwIfAborted()
    times.push(packet.timestamp)
    packet = await sink.getNextKeyPacket(packet, { metadataOnly: true })
  }
  return times.sort((a, b) => a - b)
}

async function readKeyframe(sink: EncodedPacketSink, time: number): Promise<EncodedPacket | null> {
  const packet = await sink.getKeyPacket(time)
  if (packet === null || packet.data.length < packet.byteLength || packet.timestamp !== time) return null
  return packet
}
