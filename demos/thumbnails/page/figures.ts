import { bytes, count, rate, span } from '../../design/quantities.ts'
import type { VideoRun } from './run.ts'

const none = '–'

/** The figures of a card, in the order in which they stand there. */
export function figuresOf(run: VideoRun): ReadonlyMap<string, string> {
  const { record, video } = run
  const since = (from: number | null): string =>
    span(record.firstAt === null || from === null ? null : Math.max(0, record.firstAt - from))
  return new Map([
    ['First, after upload', since(record.sentAt)],
    ['First, from start', since(record.startedAt)],
    ['Thumbnails', count(run.thumbs.length)],
    ['Rate', rate(run.perSecond)],
    ['Length', span(video?.durationMs ?? null)],
    ['Picture', video === null ? none : `${video.width}×${video.height}\u202fpx`],
    ['Format', video === null ? none : `${video.container}, ${codecName(video.codec)}`],
    ['Size', record.bytes === null ? 'drawn here' : bytes(record.bytes)],
    ['Decoder', video?.decoder ?? none],
  ])
}

function codecName(codec: string): string {
  const names: Readonly<Record<string, string>> = {
    avc: 'H.264',
    h264: 'H.264',
    hevc: 'H.265',
    vp8: 'VP8',
    vp9: 'VP9',
    av1: 'AV1',
  }
  return names[codec] ?? codec
}
