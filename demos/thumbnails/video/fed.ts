import type { Writable } from 'node:stream'
import { NodeError } from '../../../core/flow/failure.ts'
import type { FfmpegDecoder } from './decoder.ts'
import { ownTimes } from './decoder.ts'
import { lastLine, startFfmpeg } from './ffmpeg.ts'
import type { KeyframeDecoder } from './inprocess.ts'
import { openKeyframeDecoder } from './inprocess.ts'
import { detached } from './keyframe.ts'
import { clusterHeader, streamHeader } from './matroska-pipe.ts'
import type { Picture, PlannedFrame, Size } from './plan.ts'
import { emptyRoom } from './room.ts'
import { splitSmjpeg, toSmjpeg } from './smjpeg.ts'
import type { VideoSource } from './source.ts'
import { prepareFfmpeg } from './spare.ts'
import type { ThumbnailsContext } from './values.ts'

/**
 * Decodes planned keyframes with one ffmpeg that never sees the file: this process reads each keyframe's bytes by the
 * container's index and writes them, as Matroska, to ffmpeg's stdin, in the order of the plan.
 *
 * That beats letting ffmpeg read the file itself: any order costs the same, so a first row spread over the whole length
 * is free; nothing but keyframes is read in any container (ffmpeg decodes every frame of VP9 and reads all of a Matroska
 * file); thinning and going on in the middle are a matter of the list; and no format of the user's can make ffmpeg
 * open another file or an address. A frame's time on the pipe is its place in the plan, so pictures find their frame.
 *
 * Yields one picture or gap for each planned frame, in the plan's order. Throws NodeErrors `video.*`.
 */
export async function* decodeFed(
  source: VideoSource,
  plan: readonly PlannedFrame[],
  size: Size,
  decoder: FfmpegDecoder,
  context: Pick<ThumbnailsContext, 'signal' | 'own'>,
): AsyncGenerator<Picture, void, undefined> {
  const options = { signal: context.signal, own: context.own, silenceMsMax: 20_000 }
  const args = fedArguments(source, size, decoder)
  latest = args
  const ffmpeg = startFfmpeg(decoder.executable, args, options)
  const notFed = new Map<number, 'cut-off' | 'leaning'>()
  const feeding = feed(source, plan, ffmpeg.stdin, notFed).catch(() => undefined)
  const leaning = new LeaningFrames(source, size)
  let at = 0
  try {
    const skipTo = async function* (place: number): AsyncGenerator<Picture, void, undefined> {
      for (; at < place; at++) {
        const frame = plan[at]
        if (frame === undefined) continue
        const why = notFed.get(at)
        yield why === 'leaning' ? await leaning.decode(frame) : { frame, reason: why ?? 'undecodable' }
      }
    }
    const pictures = splitSmjpeg(ffmpeg.stdout)
    for (let next = await pictures.next(); next.done !== true; next = await pictures.next()) {
      const { timeMs, data } = next.value
      const place = Math.round(timeMs / placeMs)
      const frame = plan[place]
      if (frame === undefined || place < at) continue
      yield* skipTo(place)
      yield { frame, jpeg: data }
      at = place + 1
      if (at === plan.length) return
    }
    await feeding
    context.signal.throwIfAborted()
    if (at === 0 && notFed.size === 0 && plan.length > 0) throw undecodable(source, ffmpeg.stderrTail())
    yield* skipTo(plan.length)
  } finally {
    leaning.close()
    const gone = Promise.all([ffmpeg.stop(), feeding])
    // With all pictures there, nobody waits for the killed process to vanish, which takes as long as three pictures.
    if (at < plan.length) await gone
  }
}

/** Starts the ffmpeg that the next video will most likely need: that of the last one, at first that of a wide film. */
export function prepareFed(decoder: FfmpegDecoder): void {
  const usual = (): readonly string[] =>
    fedArguments({ width: 1920, rotation: 0 }, { width: 320, height: 180 }, decoder)
  prepareFfmpeg(decoder.executable, latest ?? usual())
}

let latest: readonly string[] | null = null

/** Distance between two places on the pipe. A whole second, so that no time base can round two into one. */
const placeMs = 1000

async function feed(
  source: VideoSource,
  plan: readonly PlannedFrame[],
  stdin: Writable,
  notFed: Map<number, 'cut-off' | 'leaning'>,
): Promise<void> {
  // One is read into while ffmpeg takes the other.
  const rooms = [emptyRoom(), emptyRoom()]
  const readAt = async (place: number): Promise<Awaited<ReturnType<VideoSource['read']>>> => {
    const frame = plan[place]
    return frame === undefined ? null : source.read(frame.time, rooms[place % 2])
  }
  try {
    await write(stdin, streamHeader(source))
    let ahead = readAt(0)
    for (const place of plan.keys()) {
      const read = await ahead
      // The next keyframe is read while ffmpeg takes this one.
      ahead = readAt(place + 1)
      ahead.catch(() => undefined)
      const packet = read === null ? null : detached(read, source)
      if (packet === null) {
        notFed.set(place, read === null ? 'cut-off' : 'leaning')
        continue
      }
      stdin.cork()
      stdin.write(clusterHeader(place * placeMs, packet.length))
      const taken = write(stdin, packet)
      stdin.uncork()
      await taken
    }
  } finally {
    stdin.end()
  }
}

/** Resolves when ffmpeg has taken the bytes: what it has no room for is not read from the file either. */
function write(stdin: Writable, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stdin.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
}

/**
 * Keyframes that may lean on earlier ones (H.264 "open GOP"). Fed in a row, ffmpeg gives some of them twice and others
 * never, and so it does when it reads the file itself; each decoded for itself, in this process, comes out right.
 */
class LeaningFrames {
  readonly #source: VideoSource
  readonly #size: Size
  #decoder: KeyframeDecoder | null = null

  constructor(source: VideoSource, size: Size) {
    this.#source = source
    this.#size = size
  }

  async decode(frame: PlannedFrame): Promise<Picture> {
    this.#decoder ??= await openKeyframeDecoder(this.#source, this.#size)
    const packet = await this.#source.read(frame.time)
    const decoded = packet === null ? null : await this.#decoder.decode(packet)
    return decoded === null ? { frame, reason: 'undecodable' } : { frame, jpeg: await decoded.jpeg }
  }

  close(): void {
    this.#decoder?.close()
  }
}

function fedArguments(
  source: Pick<VideoSource, 'width' | 'rotation'>,
  size: Size,
  decoder: FfmpegDecoder,
): readonly string[] {
  const turn = { 0: '', 90: 'transpose=clock,', 180: 'hflip,vflip,', 270: 'transpose=cclock,' }[source.rotation]
  const turned = source.rotation === 90 || source.rotation === 270
  const [width, height] = turned ? [size.height, size.width] : [size.width, size.height]
  return [
    ...['-v', 'error', '-hide_banner', '-nostdin', '-protocol_whitelist', 'pipe'],
    // The deblocking filter costs a tenth of the time and cannot be seen in a picture of half the size.
    ...(source.width >= 2 * size.width ? ['-skip_loop_filter', 'all'] : []),
    // The header says all; looking for more would wait for frames that come only after the first was taken.
    ...['-probesize', '32', '-analyzeduration', '0', '-fpsprobesize', '0', '-f', 'matroska', '-i', 'pipe:0'],
    ...['-map', '0:v:0', ...ownTimes(decoder)],
    ...['-vf', `scale=${width}:${height}:flags=fast_bilinear,${turn}setsar=1`],
    ...toSmjpeg,
  ]
}

function undecodable(source: VideoSource, words: string): NodeError {
  return new NodeError(
    'video.undecodable',
    `ffmpeg could not decode this ${source.codec} video (${lastLine(words)}). Convert it to H.264 MP4, or update ffmpeg.`,
  )
}
