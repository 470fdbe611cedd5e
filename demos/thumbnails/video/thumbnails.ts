import { NodeError } from '../../../core/flow/failure.ts'
import { resolveDecoder } from './decoder.ts'
import { decodeFed } from './fed.ts'
import { planFrames } from './plan.ts'
import { openSource } from './source.ts'
import type { ThumbnailsContext, ThumbnailsInput, ThumbnailsOutput } from './values.ts'
import { thumbnailsInput } from './values.ts'

/**
 * Makes a thumbnail of each keyframe of a video and yields it as soon as it is there: first one `video` value, then
 * `thumbnail` (or `missing`) values, then one `done` value.
 *
 * Values and their order depend on the input and the file only, so a run with `context.resumeAfter: n` yields exactly
 * what a whole run yields after its n-th value. Not asking for the next value halts the decoder; `return()` and the
 * signal end it. Throws NodeErrors `video.*` whose messages say what to do.
 */
export async function* thumbnails(
  input: ThumbnailsInput,
  context: ThumbnailsContext,
): AsyncGenerator<ThumbnailsOutput, void, undefined> {
  const startedMs = performance.now()
  const request = thumbnailsInput.parse(input)
  const decoder = await resolveDecoder(process.env)
  const source = await openSource(request.path)
  if (source === null)
    throw new NodeError('video.not-a-video', 'This is not a video that can be read. Choose a video file.')
  try {
    const keyframes = await source.keyframes(context.signal)
    const plan = planFrames(keyframes, request)
    let place = 0
    if (place++ >= context.resumeAfter) {
      yield {
        kind: 'video',
        container: source.container,
        codec: source.codec,
        width: source.width,
        height: source.height,
        durationMs: source.durationMs,
        keyframes: keyframes.length,
        thumbnails: plan.length,
        decoder: decoder.label,
      }
    }
    const width = Math.max(2, Math.round(Math.min(request.widthPx, source.width) / 2) * 2)
    const height = Math.max(2, Math.round((width * source.height) / source.width / 2) * 2)
    const rest = plan.slice(Math.max(0, context.resumeAfter - 1))
    let missing = 0
    let made = 0
    if (decoder.kind !== 'ffmpeg')
      throw new NodeError('video.decoder-missing', 'There is no ffmpeg. Install it or set FFMPEG_PATH.')
    for await (const picture of decodeFed(source, rest, { width, height }, decoder.executable, context)) {
      const atMs = Math.round(picture.frame.time * 1000)
      const index = picture.frame.index
      if ('jpeg' in picture) {
        made++
        yield { kind: 'thumbnail', index, atMs, width, height, mime: 'image/jpeg', data: picture.jpeg }
      } else {
        missing++
        yield { kind: 'missing', index, atMs, reason: picture.reason }
      }
    }
    yield {
      kind: 'done',
      thumbnails: made,
      missing,
      truncated: false,
      note: null,
      elapsedMs: Math.round(performance.now() - startedMs),
      decoder: decoder.label,
    }
  } finally {
    source.close()
  }
}
