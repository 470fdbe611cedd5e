import { open } from 'node:fs/promises'
import type { VideoCodec } from 'mediabunny'
import {
  CustomSource,
  EncodedPacketSink,
  Input,
  Logging,
  LogLevel,
  MATROSKA,
  MP4,
  MPEG_TS,
  QTFF,
  WEBM,
} from 'mediabunny'
import { NodeError } from '../../../core/flow/failure.ts'
import { openCues } from './matroska-cues.ts'
import { fitsMatroskaPipe } from './matroska-pipe.ts'
import type { Mp4Samples } from './mp4-samples.ts'
import { openSamples } from './mp4-samples.ts'
import type { Room } from './room.ts'

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
  /** What the file's clock shows where the film starts, in seconds. */
  readonly startS: number
  /** What a decoder must know beforehand (avcC, hvcC, av1C), if the codec has such a thing. */
  readonly description: Uint8Array | null
  readonly decoderConfig: VideoDecoderConfig
  keyframes(signal: AbortSignal): Promise<Keyframes>
  /** The keyframe at exactly this time, or null where the file ends before it. If a room is given, it may lie in there. */
  read(time: number, room?: Room): Promise<Uint8Array | null>
  close(): void
}

export interface Keyframes {
  /** Ascending, in seconds. */
  readonly times: readonly number[]
  /** False when the list breaks off at a damaged place. */
  readonly whole: boolean
}

/** 14 hours of nothing but keyframes at 20 per second; beyond that a file is refused rather than listed for ever. */
const keyframesMax = 1_000_000

// What it cannot read is said by our own errors and values, not on a console.
Logging.level = LogLevel.Silent

const indexed = [MP4, QTFF, MATROSKA, WEBM]

/**
 * Opens MP4, MOV, Matroska and WebM in this process. Answers null for what it cannot index (another container, or a
 * codec it does not know), which says nothing about whether ffmpeg can read it.
 * Transport streams have no index and are searched for keyframes from end to end; ffmpeg does that faster.
 * Throws a NodeError `video.no-video-stream` when the file is readable and has sound only.
 */
export async function openSource(
  path: string,
  options: { readonly transportStreams: boolean },
): Promise<VideoSource | null> {
  const input = new Input({
    formats: options.transportStreams ? [...indexed, MPEG_TS] : indexed,
    source: await exactReads(path),
  })
  let opened: VideoSource | null = null
  try {
    if (await input.canRead()) opened = await describe(input, path)
  } catch (thrown) {
    if (thrown instanceof NodeError) throw thrown
    // Half an index or a damaged header: ffmpeg may still make something of it.
  } finally {
    if (opened === null) input.dispose()
  }
  return opened
}

/** The same bytes asked for so often in a row mean that the demuxer turns in a circle. */
const sameReadsMax = 200

/**
 * Reads just what is asked for: reading ahead, as mediabunny's own file source does, doubles the work on keyframes.
 * Without its cache, because some damaged Matroska files make it ask for the same bytes for ever; from the cache that
 * would block this thread for good, here it is seen and ended.
 */
async function exactReads(path: string): Promise<CustomSource> {
  const file = await open(path)
  let last = ''
  let same = 0
  return new CustomSource({
    getSize: async () => (await file.stat()).size,
    read: async (start, end) => {
      const range = `${start}-${end}`
      same = range === last ? same + 1 : 0
      last = range
      if (same > sameReadsMax) throw new Error('the demuxer turns in a circle')
      // Not from the shared pool and not zeroed: every byte is written, and half the bytes of a run pass here.
      const bytes = Buffer.allocUnsafeSlow(end - start)
      let at = 0
      while (at < bytes.length) {
        const { bytesRead } = await file.read(bytes, at, bytes.length - at, start + at)
        if (bytesRead === 0) throw new Error('the file ends before the bytes that its index names')
        at += bytesRead
      }
      return bytes
    },
    maxCacheSize: 0,
    // The file is only read: an error in closing it loses nothing.
    dispose: () => void file.close().catch(() => undefined),
    handleUnhandledError: () => undefined,
  })
}

async function describe(input: Input, path: string): Promise<VideoSource | null> {
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
  if (codec === null || decoderConfig === null || !fitsMatroskaPipe(codec)) return null
  const sink = new EncodedPacketSink(track)
  const format = (await input.getFormat()).name
  // A transport stream's clock starts anywhere; other containers count from the start of the film.
  const startS = format === MPEG_TS.name ? await input.getFirstTimestamp() : 0
  // A recording that was written as it happened does not state its length.
  const durationS = (await input.getDurationFromMetadata()) ?? (await track.computeDuration())
  const described = {
    container: format === MPEG_TS.name ? 'MPEG-TS' : format,
    startS,
    codec,
    width: await track.getDisplayWidth(),
    height: await track.getDisplayHeight(),
    rotation: await track.getRotation(),
    durationMs: Math.round((durationS - startS) * 1000),
    description: decoderConfig.description === undefined ? null : bytesOf(decoderConfig.description),
    decoderConfig,
  }
  const matroska = format === MATROSKA.name || format === WEBM.name
  const cues = matroska ? await openCues(path, track.id) : null
  const samples = format === MP4.name || format === QTFF.name ? await openSamples(path, track.id) : null
  return {
    ...described,
    keyframes: async (signal) =>
      cues === null ? await listKeyframes(sink, signal) : { times: cues.times, whole: true },
    read: (time, room) => {
      if (samples !== null) return readSample(sink, samples, time, room)
      return cues?.read(time, room) ?? readKeyframe(sink, time)
    },
    close: () => {
      input.dispose()
      // All are only read: an error in closing loses nothing.
      void cues?.close().catch(() => undefined)
      void samples?.close().catch(() => undefined)
    },
  }
}

function bytesOf(buffer: AllowSharedBufferSource): Uint8Array {
  return ArrayBuffer.isView(buffer)
    ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    : new Uint8Array(buffer)
}

/** Walks along the keyframes; what was found before a damaged place counts. */
async function listKeyframes(sink: EncodedPacketSink, signal: AbortSignal): Promise<Keyframes> {
  const times: number[] = []
  let whole = true
  try {
    let packet = await sink.getFirstKeyPacket({ metadataOnly: true })
    while (packet !== null && times.length < keyframesMax) {
      if (times.length % 256 === 0) signal.throwIfAborted()
      times.push(packet.timestamp)
      packet = await sink.getNextKeyPacket(packet, { metadataOnly: true })
    }
  } catch {
    signal.throwIfAborted()
    whole = false
  }
  return { times: times.sort((a, b) => a - b), whole }
}

async function readKeyframe(sink: EncodedPacketSink, time: number): Promise<Uint8Array | null> {
  const packet = await sink.getKeyPacket(time).catch(() => null)
  if (packet === null || packet.timestamp !== time || packet.data.length === 0) return null
  return packet.data.length < packet.byteLength ? null : packet.data
}

/** Of MP4, the demuxer says which sample it is (that is what its numbers count) and how long; our own tables, where. */
async function readSample(
  sink: EncodedPacketSink,
  samples: Mp4Samples,
  time: number,
  room: Room | undefined,
): Promise<Uint8Array | null> {
  const packet = await sink.getKeyPacket(time, { metadataOnly: true }).catch(() => null)
  if (packet === null || packet.timestamp !== time || packet.byteLength === 0) return null
  return (await samples.read(packet.sequenceNumber, packet.byteLength, room)) ?? readKeyframe(sink, time)
}
