import { NodeError } from '../../../core/flow/failure.ts'
import type { Decoder, DecoderEnv } from './decoder.ts'
import { resolveDecoder } from './decoder.ts'
import { openDirect } from './direct.ts'
import { decodeFed } from './fed.ts'
import { decodeInProcess } from './inprocess.ts'
import type { PlannedFrame, Size } from './plan.ts'
import { planFrames } from './plan.ts'
import type { Sniffed } from './sniff.ts'
import { sniff } from './sniff.ts'
import type { VideoSource } from './source.ts'
import { openSource } from './source.ts'
import type { DoneValue, ThumbnailsContext, ThumbnailsInput, ThumbnailsOutput, ThumbnailsRequest } from './values.ts'
import { thumbnailsInput } from './values.ts'

/**
 * Makes a thumbnail of each keyframe of a video and yields it as soon as it is there: first one `video` value, then
 * `thumbnail` (or `missing`) values, then one `done` value.
 *
 * Values and their order depend on the input, the file and the decoder only, so a run with `context.resumeAfter: n`
 * yields exactly what a whole run yields after its n-th value (but for `elapsedMs`). Not asking for the next value halts
 * the decoder; `return()` and the signal end it. Throws NodeErrors `video.*` whose messages say what to do.
 */
export async function* thumbnails(
  input: ThumbnailsInput,
  context: ThumbnailsContext,
  env: DecoderEnv = process.env,
): AsyncGenerator<ThumbnailsOutput, void, undefined> {
  const startedMs = performance.now()
  const request = parse(input)
  const [decoder, sniffed] = await Promise.all([resolveDecoder(env), sniff(request.path)])
  const source = await openSource(request.path, { transportStreams: decoder.kind === 'in-process' })
  context.signal.throwIfAborted()
  const job: Job = { request, decoder, sniffed, context, elapsedMs: () => Math.round(performance.now() - startedMs) }
  if (source === null) {
    yield* fromFile(job)
    return
  }
  try {
    yield* fromIndex(source, job)
  } finally {
    source.close()
  }
}

interface Job {
  readonly request: ThumbnailsRequest
  readonly decoder: Decoder
  readonly sniffed: Sniffed
  readonly context: ThumbnailsContext
  readonly elapsedMs: () => number
}

/** The usual way: keyframes are known beforehand and read one by one, whichever decoder turns them into pictures. */
async function* fromIndex(source: VideoSource, job: Job): AsyncGenerator<ThumbnailsOutput, void, undefined> {
  const { request, decoder, context } = job
  const keyframes = await source.keyframes(context.signal)
  const plan = planFrames(keyframes.times, request)
  if (plan.length === 0) throw nothingInside(job)
  const size = sizeOf(source, request.widthPx)
  if (context.resumeAfter === 0) {
    const { container, codec, width, height, durationMs } = source
    const counts = { keyframes: keyframes.times.length, thumbnails: plan.length }
    yield { kind: 'video', container, codec, width, height, durationMs, ...counts, decoder: decoder.label }
  }
  const had = Math.max(0, context.resumeAfter - 1)
  let missing = await countCutOff(source, plan.slice(0, had), job)
  let cutOff = missing > 0 || !keyframes.whole
  let place = Math.min(had, plan.length)
  for await (const picture of decode(source, plan.slice(had), size, job)) {
    place++
    const { index, time } = picture.frame
    const atMs = Math.round((time - source.startS) * 1000)
    context.progress(place / plan.length, `${place} of ${plan.length} thumbnails`)
    if ('jpeg' in picture) {
      yield { kind: 'thumbnail', index, atMs, ...size, mime: 'image/jpeg', data: picture.jpeg }
    } else {
      missing++
      cutOff ||= picture.reason === 'cut-off'
      yield { kind: 'missing', index, atMs, reason: picture.reason }
    }
  }
  if (missing === plan.length) throw nothingInside(job)
  if (context.resumeAfter <= plan.length + 1)
    yield done(job, plan.length - missing, missing, cutOff || job.sniffed.cutOff)
}

function decode(source: VideoSource, plan: readonly PlannedFrame[], size: Size, { decoder, context }: Job) {
  return decoder.kind === 'ffmpeg'
    ? decodeFed(source, plan, size, decoder, context)
    : decodeInProcess(source, plan, size, context.signal)
}

/** Gaps among the values that the reader has already, so that `done` counts the same as in a whole run. */
async function countCutOff(source: VideoSource, had: readonly PlannedFrame[], { sniffed }: Job): Promise<number> {
  if (!sniffed.cutOff) return 0
  let count = 0
  for (const frame of had) if ((await source.read(frame.time)) === null) count++
  return count
}

/** What only ffmpeg can read: it goes through the file from the start. */
async function* fromFile(job: Job): AsyncGenerator<ThumbnailsOutput, void, undefined> {
  const { request, decoder, sniffed, context } = job
  if (sniffed.indexMissing) throw nothingInside(job)
  if (decoder.kind === 'in-process') throw needsFfmpeg(sniffed)
  const video = await openDirect(request, sniffed, decoder, context)
  const size = sizeOf(video, request.widthPx)
  const { codec, width, height, durationMs } = video
  let place = 0
  if (context.resumeAfter <= place++) {
    const counts = { keyframes: null, thumbnails: null }
    yield {
      kind: 'video',
      container: sniffed.container,
      codec,
      width,
      height,
      durationMs,
      ...counts,
      decoder: decoder.label,
    }
  }
  let index = 0
  for await (const { timeMs, data } of video.pictures()) {
    const share = durationMs === null || durationMs === 0 ? null : Math.min(1, timeMs / durationMs)
    context.progress(share, `${index + 1} thumbnails`)
    if (context.resumeAfter <= place++) {
      yield { kind: 'thumbnail', index, atMs: timeMs, ...size, mime: 'image/jpeg', data }
    }
    index++
  }
  if (context.resumeAfter <= place) yield done(job, index, 0, video.cutOff())
}

function done(job: Job, made: number, missing: number, truncated: boolean): DoneValue {
  const gaps = missing === 0 ? '' : ` ${missing} of ${made + missing} thumbnails are missing.`
  const cut = 'The file is cut off; what was there is shown. Upload it again, whole, to see the rest.'
  const note = truncated ? `${cut}${gaps}` : missing > 0 ? `Parts of the video are damaged.${gaps}` : null
  return {
    kind: 'done',
    thumbnails: made,
    missing,
    truncated,
    note,
    elapsedMs: job.elapsedMs(),
    decoder: job.decoder.label,
  }
}

/** Even sides in the video's own proportions, never enlarged. */
function sizeOf(video: Size, widthPx: number): Size {
  const width = Math.max(2, Math.floor(Math.min(widthPx, video.width) / 2) * 2)
  return { width, height: Math.max(2, Math.round((width * video.height) / Math.max(1, video.width) / 2) * 2) }
}

function parse(input: ThumbnailsInput): ThumbnailsRequest {
  const parsed = thumbnailsInput.safeParse(input)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new NodeError(
    'video.bad-input',
    `The input for thumbnails is not right: ${issue?.path.join('.') ?? ''} ${issue?.message ?? ''}. Correct it.`,
  )
}

function nothingInside({ sniffed }: Job): NodeError {
  return sniffed.cutOff || sniffed.indexMissing
    ? new NodeError(
        'video.truncated',
        `This ${sniffed.container} file is cut off before anything in it can be shown. Upload it again, whole.`,
      )
    : new NodeError(
        'video.not-a-video',
        `This ${sniffed.container} file holds no pictures that can be decoded. Choose another video.`,
      )
}

function needsFfmpeg(sniffed: Sniffed): NodeError {
  return new NodeError(
    'video.decoder-missing',
    `This ${sniffed.container} file can only be read with ffmpeg, which is not in use here. Install ffmpeg or set FFMPEG_PATH, or convert the video to H.264 MP4.`,
  )
}
