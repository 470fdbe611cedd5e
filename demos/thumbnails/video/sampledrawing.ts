import type { EncodedVideoChunk, VideoEncoder as Encoder } from '@napi-rs/webcodecs'
import { EncodedPacket, EncodedVideoPacketSource, FilePathTarget, Mp4OutputFormat, Output } from 'mediabunny'

const width = 1280
const height = 720
const framesPerSecond = 8
/** The drawing is made small and enlarged by sharp: soft colours do not need more, and it takes a quarter of the time. */
const drawnWidth = 640
const drawnHeight = 360

/**
 * Draws and encodes the sample in this process, for machines without ffmpeg: soft hills under a turning sky.
 * Writes an MP4 (H.264) to `path`. Throws whatever the encoder throws.
 */
export async function drawSample(path: string, seconds: number, signal: AbortSignal): Promise<void> {
  const [{ VideoEncoder, VideoFrame }, { default: sharp }] = await Promise.all([
    import('@napi-rs/webcodecs'),
    import('sharp'),
  ])
  const track = new EncodedVideoPacketSource('avc')
  const output = new Output({ format: new Mp4OutputFormat(), target: new FilePathTarget(path) })
  output.addVideoTrack(track, { frameRate: framesPerSecond })
  await output.start()

  let failed: Error | null = null
  let writing: Promise<void> = Promise.resolve()
  const encoder: Encoder = new VideoEncoder({
    output: (chunk, metadata) => {
      const config = metadata?.decoderConfig
      const { codec = 'avc1', description } = config ?? {}
      const about = config && { decoderConfig: { codec, description, codedWidth: width, codedHeight: height } }
      writing = writing.then(() => track.add(packetOf(chunk), about))
      writing.catch((error: Error) => (failed ??= error))
    },
    error: (error) => (failed ??= error),
  })
  try {
    encoder.configure({
      codec: 'avc1.42001f',
      width,
      height,
      bitrate: 1_500_000,
      framerate: framesPerSecond,
      avc: { format: 'avc' },
    })
    for (let at = 0; at < seconds * framesPerSecond; at++) {
      signal.throwIfAborted()
      if (failed !== null) throw failed
      const picture = sharp(Buffer.from(scene(at / framesPerSecond, seconds)))
        .resize(width, height)
        .ensureAlpha()
      const frame = new VideoFrame(await picture.raw().toBuffer(), {
        ...{
          format: 'RGBA',
          codedWidth: width,
          codedHeight: height,
          timestamp: Math.round((at * 1e6) / framesPerSecond),
        },
        duration: Math.round(1e6 / framesPerSecond),
      })
      encoder.encode(frame, { keyFrame: at % framesPerSecond === 0 })
      frame.close()
    }
    await encoder.flush()
    await writing
    if (failed !== null) throw failed
    await output.finalize()
  } catch (thrown) {
    await output.cancel()
    throw thrown
  } finally {
    if (encoder.state !== 'closed') encoder.close()
  }
}

function packetOf(chunk: EncodedVideoChunk): EncodedPacket {
  const bytes = new Uint8Array(chunk.byteLength)
  chunk.copyTo(bytes)
  const duration = (chunk.duration ?? 1e6 / framesPerSecond) / 1e6
  return new EncodedPacket(bytes, chunk.type, chunk.timestamp / 1e6, duration)
}

/** One picture as SVG: the hour of the day turns with the time, so that no two seconds look the same. */
function scene(timeS: number, seconds: number): string {
  const turn = timeS / seconds
  const hue = Math.round(190 + 300 * turn) % 360
  const sunX = drawnWidth * (0.1 + 0.8 * turn)
  const sunY = drawnHeight * (0.55 - 0.4 * Math.sin(Math.PI * turn))
  const hills = [0, 1, 2].map((row) => hill(row, timeS, hue)).join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${drawnWidth}" height="${drawnHeight}">
<defs><linearGradient id="sky" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="hsl(${hue},60%,42%)"/>
<stop offset="1" stop-color="hsl(${(hue + 50) % 360},80%,78%)"/></linearGradient></defs>
<rect width="100%" height="100%" fill="url(#sky)"/>
<circle cx="${sunX.toFixed(1)}" cy="${sunY.toFixed(1)}" r="34" fill="hsl(${(hue + 170) % 360},90%,85%)"/>${hills}</svg>`
}

function hill(row: number, timeS: number, hue: number): string {
  const base = drawnHeight * (0.62 + row * 0.13)
  const points: string[] = []
  for (let x = 0; x <= drawnWidth; x += 16) {
    const y = base + 26 * Math.sin(x / (90 - row * 18) + timeS * (0.4 + row * 0.3) + row * 2)
    points.push(`${x},${y.toFixed(1)}`)
  }
  const colour = `hsl(${(hue + 20 * row) % 360},45%,${38 - row * 9}%)`
  return `<polygon points="0,${drawnHeight} ${points.join(' ')} ${drawnWidth},${drawnHeight}" fill="${colour}"/>`
}
