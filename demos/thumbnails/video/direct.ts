import { NodeError } from '../../../core/flow/failure.ts'
import type { FfmpegDecoder } from './decoder.ts'
import { ownTimes } from './decoder.ts'
import type { FfmpegRun } from './ffmpeg.ts'
import { lastLine, startFfmpeg } from './ffmpeg.ts'
import type { TimedJpeg } from './smjpeg.ts'
import { splitSmjpeg, toSmjpeg } from './smjpeg.ts'
import type { Sniffed } from './sniff.ts'
import type { ThumbnailsContext, ThumbnailsRequest } from './values.ts'

/** What ffmpeg says about a file before it decodes anything. */
export interface Probed {
  readonly codec: string
  readonly width: number
  readonly height: number
  readonly durationMs: number | null
}

/** A file that only ffmpeg can read. */
export interface DirectVideo extends Probed {
  /** Pictures in time order. */
  pictures(): AsyncGenerator<TimedJpeg, void, undefined>
  /** Known when `pictures` is over: ffmpeg found that the file ends too early. */
  cutOff(): boolean
}

/** Where every frame is a keyframe, or none but the first is, thumbnails are not closer to each other than this. */
const distanceMsMin = 500

/**
 * For containers without an index that this process can read (AVI, FLV, MPEG-TS, GIF and others): ffmpeg reads the file
 * itself, told which demuxer to use and barred from everything but this one file. It is asked first what is in there,
 * because thinning a long video to `countMax` needs its length. Throws NodeErrors `video.*`.
 */
export async function openDirect(
  request: ThumbnailsRequest,
  sniffed: Sniffed,
  decoder: FfmpegDecoder,
  context: Pick<ThumbnailsContext, 'signal' | 'own'>,
): Promise<DirectVideo> {
  const options = { signal: context.signal, own: context.own, silenceMsMax: 30_000 }
  const opened = ['-hide_banner', '-nostdin', '-protocol_whitelist', 'file', '-f', sniffed.demuxer]
  const input = ['-i', `file:${request.path}`]

  const asked = startFfmpeg(decoder.executable, [...opened, ...input], options)
  for await (const _ of asked.stdout);
  const probed = readProbe(asked.stderrTail(), sniffed)

  let cutOff = sniffed.cutOff
  async function* pictures(): AsyncGenerator<TimedJpeg, void, undefined> {
    const args = [
      ...['-v', 'warning', ...opened],
      ...(decodesAll(probed.codec) ? [] : ['-discard:v', 'nokey', '-skip_frame', 'nokey']),
      ...[...input, '-map', '0:V:0', ...ownTimes(decoder)],
      ...['-vf', `${selected(probed, request.countMax)},${scaled(request.widthPx)}`],
      ...['-frames:v', String(request.countMax)],
      ...toSmjpeg,
    ]
    const ffmpeg = startFfmpeg(decoder.executable, args, options)
    let count = 0
    try {
      for await (const picture of splitSmjpeg(ffmpeg.stdout)) {
        count++
        yield picture
      }
      cutOff ||= (await ffmpeg.exited) !== 0 || /partial file|ended prematurely|truncat/i.test(ffmpeg.stderrTail())
      if (count === 0) throw nothingDecoded(probed, sniffed, ffmpeg)
    } finally {
      await ffmpeg.stop()
    }
  }
  return { ...probed, pictures, cutOff: () => cutOff }
}

/** Codecs of which each frame stands alone; GIF, of which only the first counts as one; Theora, which loses them in Ogg. */
function decodesAll(codec: string): boolean {
  return /^(gif|theora|mjpeg|prores|rawvideo|dnxhd|ffv1|huffyuv|utvideo|png|dvvideo|jpeg2000|cinepak|msvideo1|qtrle)/.test(
    codec,
  )
}

function selected(probed: Probed, countMax: number): string {
  const spreadMs = (probed.durationMs ?? 0) / countMax
  const distanceS = Math.max(spreadMs, decodesAll(probed.codec) ? distanceMsMin : 0) / 1000
  const apart = `(isnan(prev_selected_t)+gte(t-prev_selected_t\\,${distanceS.toFixed(3)}))`
  return decodesAll(probed.codec) ? `select=${apart}` : `select=key*${apart}`
}

/** Square pixels, even sides, never enlarged. */
function scaled(widthPx: number): string {
  const width = `trunc(min(${widthPx}\\,iw*if(sar\\,sar\\,1))/2)*2`
  const height = `max(2\\,trunc(${width}*ih/(iw*if(sar\\,sar\\,1))/2+0.5)*2)`
  return `scale=w=${width}:h=${height}:flags=fast_bilinear,setsar=1`
}

/** Reads ffmpeg's description of the file: `Duration: 00:00:06.00, …` and the first `Stream … Video: h264 …, 640x360`. */
function readProbe(words: string, sniffed: Sniffed): Probed {
  const streams = [...words.matchAll(/^ *Stream #0:\d+.*?: (Video|Audio|Subtitle|Data): (\w+)(.*)$/gm)]
  const video = streams.find((stream) => stream[1] === 'Video' && !(stream[3] ?? '').includes('(attached pic)'))
  if (video === undefined) throw streams.length > 0 ? noPictures() : unreadable(words, sniffed)
  const text = video[3] ?? ''
  const [, width = '0', height = '0'] = /, (\d{1,5})x(\d{1,5})[ ,]/.exec(`${text},`) ?? []
  const [, sarX = '1', sarY = '1'] = /\[?SAR (\d+):(\d+)/.exec(text) ?? []
  const [, hours, minutes, seconds] = /Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?)/.exec(words) ?? []
  const durationMs =
    hours === undefined ? null : Math.round(((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000)
  const wide = Math.round((Number(width) * Number(sarX)) / Math.max(1, Number(sarY)))
  const turned = /rotation of -?90\.|rotate *: *(?:90|270)\b/.test(words)
  const sides = turned ? { width: Number(height), height: wide } : { width: wide, height: Number(height) }
  return { codec: video[2] ?? 'unknown', ...sides, durationMs }
}

function noPictures(): NodeError {
  return new NodeError(
    'video.no-video-stream',
    'This file has sound but no pictures. Choose a file with a video track.',
  )
}

function unreadable(words: string, sniffed: Sniffed): NodeError {
  if (sniffed.cutOff) {
    return new NodeError(
      'video.truncated',
      `This ${sniffed.container} file is cut off before its first picture. Upload it again, whole.`,
    )
  }
  const reason = lastLine(words)
  return new NodeError(
    'video.not-a-video',
    `This file begins like ${sniffed.container}, but holds no readable video (${reason}). Choose another file.`,
  )
}

function nothingDecoded(probed: Probed, sniffed: Sniffed, ffmpeg: FfmpegRun): NodeError {
  if (sniffed.cutOff) return unreadable('', sniffed)
  const reason = lastLine(ffmpeg.stderrTail())
  return new NodeError(
    'video.undecodable',
    `ffmpeg could not decode this ${probed.codec} video (${reason}). Convert it to H.264 MP4, or update ffmpeg.`,
  )
}
