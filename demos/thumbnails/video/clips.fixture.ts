import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { VideoEncoder, VideoFrame } from '@napi-rs/webcodecs'
import type { OutputFormat } from 'mediabunny'
import {
  EncodedPacket,
  EncodedVideoPacketSource,
  FilePathTarget,
  MkvOutputFormat,
  Mp4OutputFormat,
  Output,
  WebMOutputFormat,
} from 'mediabunny'
import sharp from 'sharp'

/** Each second of a clip has one of these colours, in turn, so that a thumbnail shows which keyframe it is. */
export const palette = [
  ...[
    [200, 30, 30],
    [30, 160, 40],
    [40, 60, 200],
    [230, 220, 60],
    [240, 240, 240],
    [20, 20, 20],
    [200, 60, 200],
  ],
] as const

export const clipSeconds = 20

export interface Clips {
  readonly folder: string
  /** Written in this process, so on every machine. */
  readonly paths: Readonly<Record<'end' | 'faststart' | 'fragmented' | 'mkv' | 'webm', string>>
  path(name: string): string
  /** Writes the first share of a clip's bytes, as an upload that broke off does. */
  cut(from: string, share: number): Promise<string>
  write(name: string, bytes: string | Uint8Array): Promise<string>
  remove(): Promise<void>
}

/** Writes clips of 20 s, 320×180, two frames and one keyframe per second. */
export async function makeClips(): Promise<Clips> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-clips-'))
  const path = (name: string) => join(folder, name)
  const avc = await encode('avc1.42001f')
  const vp9 = await encode('vp09.00.10.08')
  const paths = {
    end: path('end.mp4'),
    faststart: path('faststart.mp4'),
    fragmented: path('fragmented.mp4'),
    mkv: path('clip.mkv'),
    webm: path('clip.webm'),
  }
  await mux(paths.end, new Mp4OutputFormat({ fastStart: false }), 'avc', avc)
  await mux(paths.faststart, new Mp4OutputFormat({ fastStart: 'in-memory' }), 'avc', avc)
  await mux(paths.fragmented, new Mp4OutputFormat({ fastStart: 'fragmented' }), 'avc', avc)
  await mux(paths.mkv, new MkvOutputFormat(), 'avc', avc)
  await mux(paths.webm, new WebMOutputFormat(), 'vp9', vp9)
  return {
    folder,
    paths,
    path,
    cut: async (from, share) => {
      const bytes = await readFile(from)
      const to = path(`cut-${share}-${from.split('/').at(-1)}`)
      await writeFile(to, bytes.subarray(0, Math.floor(bytes.length * share)))
      return to
    },
    write: async (name, bytes) => {
      await writeFile(path(name), bytes)
      return path(name)
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Makes a clip from another with ffmpeg, for containers and codecs that only ffmpeg writes. */
export async function convert(ffmpeg: string, from: string, to: string, options: readonly string[]): Promise<string> {
  await promisify(execFile)(ffmpeg, ['-v', 'error', '-nostdin', '-i', from, ...options, '-y', to])
  return to
}

/** Which colour of the palette a picture has. */
export async function colourOf(jpeg: Uint8Array): Promise<number> {
  const { channels } = await sharp(jpeg).stats()
  const [red = 0, green = 0, blue = 0] = channels.map((channel) => channel.mean)
  const far = palette.map(([r, g, b]) => Math.hypot(red - r, green - g, blue - b))
  return far.indexOf(Math.min(...far))
}

interface Encoded {
  readonly packets: readonly EncodedPacket[]
  readonly config: { codec: string; codedWidth: number; codedHeight: number; description: Uint8Array | undefined }
}

const width = 320
const height = 180
const framesPerSecond = 2

async function encode(codec: string): Promise<Encoded> {
  const packets: EncodedPacket[] = []
  let description: Uint8Array | undefined
  const encoder = new VideoEncoder({
    output: (chunk, metadata) => {
      description ??= metadata?.decoderConfig?.description
      const bytes = new Uint8Array(chunk.byteLength)
      chunk.copyTo(bytes)
      packets.push(new EncodedPacket(bytes, chunk.type, chunk.timestamp / 1e6, 1 / framesPerSecond))
    },
    error: (error) => {
      throw error
    },
  })
  encoder.configure({ codec, width, height, bitrate: 400_000, framerate: framesPerSecond, avc: { format: 'avc' } })
  for (let at = 0; at < clipSeconds * framesPerSecond; at++) {
    const [red, green, blue] = palette[Math.floor(at / framesPerSecond) % palette.length] ?? [0, 0, 0]
    const pixels = Buffer.alloc(width * height * 4)
    for (let i = 0; i < pixels.length; i += 4) pixels.set([red, green, blue, 255], i)
    // A little noise, so that a keyframe has some bytes and a cut falls into the middle of the film; the same for a whole
    // second, so that an encoder sees no reason for a keyframe of its own.
    const seed = Math.floor(at / framesPerSecond) + 1
    for (let i = 0; i < pixels.length; i += 52) pixels[i] = (i * 7919 * seed) & 255
    const frame = new VideoFrame(pixels, {
      ...{ format: 'RGBA', codedWidth: width, codedHeight: height, timestamp: (at * 1e6) / framesPerSecond },
    })
    encoder.encode(frame, { keyFrame: at % framesPerSecond === 0 })
    frame.close()
  }
  await encoder.flush()
  encoder.close()
  packets.sort((a, b) => a.timestamp - b.timestamp)
  return { packets, config: { codec, codedWidth: width, codedHeight: height, description } }
}

async function mux(path: string, format: OutputFormat, codec: 'avc' | 'vp9', encoded: Encoded): Promise<void> {
  const output = new Output({ format, target: new FilePathTarget(path) })
  const track = new EncodedVideoPacketSource(codec)
  output.addVideoTrack(track)
  await output.start()
  for (const packet of encoded.packets) await track.add(packet, { decoderConfig: encoded.config })
  await output.finalize()
}
