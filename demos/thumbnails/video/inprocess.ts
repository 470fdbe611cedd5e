import type { VideoFrame } from '@napi-rs/webcodecs'
import { NodeError } from '../../../core/flow/failure.ts'
import type { Picture, PlannedFrame, Size } from './plan.ts'
import type { VideoSource } from './source.ts'
import { withinMs } from './within.ts'

/** Makes pictures of keyframes, each on its own, in this process. One call at a time. */
export interface KeyframeDecoder {
  /** A JPEG in the size asked for, or null when the bytes cannot be decoded. The promise inside may be awaited later. */
  decode(packet: Uint8Array): Promise<{ readonly jpeg: Promise<Uint8Array> } | null>
  close(): void
}

/** Pictures that are scaled and compressed (in sharp's threads) while the next one is decoded. */
const aheadMax = 3

/**
 * Decodes planned keyframes with the native decoder of @napi-rs/webcodecs and scales them with sharp. Slower than ffmpeg,
 * but it comes with `npm install` alone. Throws NodeErrors: `video.decoder-missing` where these packages have no binary
 * for the platform, `video.undecodable` for a codec that they do not know, `video.timeout`.
 */
export async function* decodeInProcess(
  source: VideoSource,
  plan: readonly PlannedFrame[],
  size: Size,
  signal: AbortSignal,
): AsyncGenerator<Picture, void, undefined> {
  const decoder = await openKeyframeDecoder(source, size)
  const pending: Promise<Picture>[] = []
  try {
    for (const frame of plan) {
      signal.throwIfAborted()
      const packet = await source.read(frame.time)
      const decoded = packet === null ? null : await decoder.decode(packet)
      if (decoded === null)
        pending.push(Promise.resolve({ frame, reason: packet === null ? 'cut-off' : 'undecodable' }))
      else pending.push(decoded.jpeg.then((jpeg) => ({ frame, jpeg })))
      const next = pending.length >= aheadMax ? pending.shift() : undefined
      if (next !== undefined) yield await next
    }
    for (let next = pending.shift(); next !== undefined; next = pending.shift()) yield await next
  } finally {
    decoder.close()
    await Promise.allSettled(pending)
  }
}

/** Far above what a keyframe of any size takes; a native decoder that hangs must not hang the task. */
const decodeMsMax = 20_000

/** Opens the decoder that packets of this source need. Throws as `decodeInProcess` does. */
export async function openKeyframeDecoder(source: VideoSource, size: Size): Promise<KeyframeDecoder> {
  const { webcodecs, sharp } = await loadNative()
  const { codec, codedWidth, codedHeight } = source.decoderConfig
  const config = {
    ...{ codec, codedWidth, codedHeight, optimizeForLatency: true },
    ...(source.description === null ? {} : { description: source.description }),
    // A graphics card that may or may not be there would make results differ from machine to machine.
    hardwareAcceleration: 'prefer-software' as const,
  }
  const { supported } = await webcodecs.VideoDecoder.isConfigSupported(config)
  if (supported !== true) throw unknownCodec(source)

  const frames: VideoFrame[] = []
  const open = () => {
    const decoder = new webcodecs.VideoDecoder({ output: (frame) => void frames.push(frame), error: () => undefined })
    decoder.configure(config)
    return decoder
  }
  let decoder = open()

  const jpegOf = async (frame: VideoFrame): Promise<Uint8Array> => {
    try {
      const pixels = Buffer.allocUnsafeSlow(frame.allocationSize({ format: 'RGBA' }))
      await frame.copyTo(pixels, { format: 'RGBA' })
      const raw = { width: frame.codedWidth, height: frame.codedHeight, channels: 4 as const }
      const turned = sharp(pixels, { raw, limitInputPixels: 1 << 28 })
        .removeAlpha()
        .rotate(source.rotation)
      return await turned
        .resize(size.width, size.height, { fit: 'fill', kernel: 'linear' })
        .jpeg({ quality: 75 })
        .toBuffer()
    } finally {
      frame.close()
    }
  }

  return {
    decode: async (packet) => {
      if (decoder.state === 'closed') decoder = open()
      try {
        decoder.decode(new webcodecs.EncodedVideoChunk({ type: 'key', timestamp: 0, data: packet }))
        // Flushing after each keeps neighbours apart: where keyframes lean on frames that are not there ("open GOP"),
        // a decoder that is not flushed gives pictures in another order.
        if (
          (await withinMs(
            decoder.flush().then(() => true),
            decodeMsMax,
          )) === null
        )
          throw hangs()
      } catch (thrown) {
        if (thrown instanceof NodeError) throw thrown
        // A damaged keyframe: the decoder is unusable after an error, the next call opens another.
        if (decoder.state !== 'closed') decoder.close()
      }
      const [frame, ...others] = frames.splice(0)
      for (const other of others) other.close()
      return frame === undefined ? null : { jpeg: jpegOf(frame) }
    },
    close: () => {
      if (decoder.state !== 'closed') decoder.close()
      for (const frame of frames.splice(0)) frame.close()
    },
  }
}

/** Loaded on first use: half of a worker's memory and 100 ms that a run with ffmpeg does not need. */
async function loadNative() {
  try {
    const [webcodecs, { default: sharp }] = await Promise.all([import('@napi-rs/webcodecs'), import('sharp')])
    return { webcodecs, sharp }
  } catch (cause) {
    throw new NodeError(
      'video.decoder-missing',
      'There is no ffmpeg, and the packages that decode without it (@napi-rs/webcodecs, sharp) have no binary for this platform. Install ffmpeg or set FFMPEG_PATH.',
      { cause },
    )
  }
}

function unknownCodec(source: VideoSource): NodeError {
  return new NodeError(
    'video.undecodable',
    `This ${source.codec} video (${source.decoderConfig.codec}) cannot be decoded without ffmpeg. Install ffmpeg, set FFMPEG_PATH, or convert the video to H.264 MP4.`,
  )
}

function hangs(): NodeError {
  return new NodeError(
    'video.timeout',
    `The decoder gave no picture for ${decodeMsMax / 1000} s and was stopped. Convert the video to H.264 MP4.`,
  )
}
