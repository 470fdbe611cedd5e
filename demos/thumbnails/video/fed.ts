import type { Writable } from 'node:stream'
import { AppendOnlyStreamTarget, EncodedPacket, EncodedVideoPacketSource, MkvOutputFormat, Output } from 'mediabunny'
import { NodeError } from '../../../core/flow/failure.ts'
import { startFfmpeg } from './ffmpeg.ts'
import type { PlannedFrame } from './plan.ts'
import { splitSmjpeg } from './smjpeg.ts'
import type { VideoSource } from './source.ts'
import type { MissingValue, ThumbnailsContext } from './values.ts'

/** A picture of a planned frame, or why there is none. */
export type Picture = { readonly frame: PlannedFrame; readonly jpeg: Uint8Array } | Gap

export interface Gap {
  readonly frame: PlannedFrame
  readonly reason: MissingValue['reason']
}

/**
 * Decodes planned keyframes with one ffmpeg that never sees the file: this process reads each keyframe's bytes by the
 * container's index and writes them, as Matroska, to ffmpeg's stdin, in the order of the plan.
 *
 * That beats letting ffmpeg read the file itself: any order costs the same, so a first row spread over the whole length
 * is free; nothing but keyframes is read in any container (ffmpeg decodes every frame of VP9 and reads all of a Matroska
 * file); thinning and going on in the middle are a matter of the list; and no format of the user's can make ffmpeg
 * open another file or an address. A frame's time on the pipe is its place in the plan, so pictures find their frame.
 */
export async function* decodeFed(
  source: VideoSource,
  plan: readonly PlannedFrame[],
  size: { readonly width: number; readonly height: number },
  executable: string,
  context: Pick<ThumbnailsContext, 'signal' | 'own'>,
): AsyncGenerator<Picture, void, undefined> {
  const ffmpeg = startFfmpeg(executable, fedArguments(source, size), {
    signal: context.signal,
    own: context.own,
    silenceMsMax: 20_000,
  })
  const cutOff = new Set<number>()
  const feeding = feed(source, plan, ffmpeg.stdin, cutOff).catch((thrown: unknown) => thrown)
  try {
    let at = 0
    for await (const { timeMs, data } of splitSmjpeg(ffmpeg.stdout)) {
      const place = Math.round(timeMs / placeMs)
      for (; at < place; at++) yield* gap(plan, at, cutOff)
      const frame = plan[at]
      if (frame === undefined || place < at) continue
      yield { frame, jpeg: data }
      at++
    }
    const wentWrong = await feeding
    if (wentWrong instanceof NodeError) throw wentWrong
    if (at === 0 && plan.length > 0 && cutOff.size < plan.length) throw undecodable(source, ffmpeg.stderrTail())
    for (; at < plan.length; at++) yield* gap(plan, at, cutOff)
  } finally {
    await ffmpeg.stop()
    await feeding
  }
}

/** Distance between two places on the pipe. A whole second, so that no time base can round two into one. */
const placeMs = 1000

function* gap(plan: readonly PlannedFrame[], at: number, cutOff: ReadonlySet<number>): Generator<Gap> {
  const frame = plan[at]
  if (frame !== undefined) yield { frame, reason: cutOff.has(at) ? 'cut-off' : 'undecodable' }
}

async function feed(
  source: VideoSource,
  plan: readonly PlannedFrame[],
  stdin: Writable,
  cutOff: Set<number>,
): Promise<void> {
  const pipe = new WritableStream<Uint8Array>({
    // Waits until ffmpeg took the bytes: what it has not room for is not read from the file either.
    write: (chunk) =>
      new Promise((resolve, reject) => {
        stdin.write(chunk, (error) => (error ? reject(error) : resolve()))
      }),
  })
  const output = new Output({
    format: new MkvOutputFormat({ appendOnly: true, minimumClusterDuration: 0 }),
    target: new AppendOnlyStreamTarget(pipe),
  })
  const packets = new EncodedVideoPacketSource(source.codec)
  output.addVideoTrack(packets)
  await output.start()
  try {
    for (const [place, frame] of plan.entries()) {
      const packet = await source.read(frame.time).catch(() => null)
      if (packet === null) {
        cutOff.add(place)
        continue
      }
      const placed = new EncodedPacket(packet.data, 'key', (place * placeMs) / 1000, placeMs / 1000)
      await packets.add(placed, { decoderConfig: source.decoderConfig })
    }
    await output.finalize()
  } finally {
    stdin.end()
  }
}

function fedArguments(source: VideoSource, size: { readonly width: number; readonly height: number }): string[] {
  const turn = { 0: '', 90: 'transpose=clock,', 180: 'hflip,vflip,', 270: 'transpose=cclock,' }[source.rotation]
  const turned = source.rotation === 90 || source.rotation === 270
  const [width, height] = turned ? [size.height, size.width] : [size.width, size.height]
  return [
    ...['-v', 'error', '-hide_banner', '-nostdin', '-protocol_whitelist', 'pipe'],
    // The header says all; looking for more would wait for frames that come only after the first was taken.
    ...['-probesize', '32', '-analyzeduration', '0', '-fpsprobesize', '0', '-f', 'matroska', '-i', 'pipe:0'],
    ...['-map', '0:v:0', '-vsync', 'passthrough', '-enc_time_base', '1:1000'],
    ...['-vf', `scale=${width}:${height}:flags=fast_bilinear,${turn}setsar=1`, '-pix_fmt', 'yuvj420p'],
    ...['-c:v', 'mjpeg', '-q:v', '5', '-f', 'smjpeg', '-flush_packets', '1', 'pipe:1'],
  ]
}

function undecodable(source: VideoSource, words: string): NodeError {
  return new NodeError(
    'video.undecodable',
    `ffmpeg could not decode this ${source.codec} video: ${lastLine(words)}. Convert it to H.264 MP4, or update ffmpeg.`,
  )
}

/** The last thing that ffmpeg said, without the address of its object and without a path. */
function lastLine(words: string): string {
  const line = words.trim().split('\n').at(-1) ?? ''
  return (
    line
      .replace(/^\[[^\]]*\]\s*/, '')
      .replace(/(?:\/[^\s/:]+){2,}/g, 'the file')
      .slice(0, 200) || 'it gave no reason'
  )
}
