import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { access, constants, rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { NodeError } from '../../../core/flow/failure.ts'
import type { Decoder, DecoderEnv } from './decoder.ts'
import { resolveDecoder } from './decoder.ts'
import { drawSample } from './sampledrawing.ts'

/** Part of the file's name: raise it when the picture changes, so that an old one in the cache is not shown. */
const sampleVersion = 1

export const sampleSeconds = 20

/**
 * The video behind "try the sample": 20 s of 1280×720, a keyframe each second, made on the spot in 2 to 4 s and kept in
 * the system's folder for temporary files. Answers its path. Two callers at once make it twice and one copy stays.
 * Throws a NodeError `video.sample-failed` when it cannot be written, or neither ffmpeg nor this process can
 * encode H.264.
 */
export async function makeSample(options: {
  readonly env: DecoderEnv
  readonly signal: AbortSignal
  readonly folder?: string
}): Promise<string> {
  const folder = options.folder ?? tmpdir()
  const path = join(folder, `millrace-sample-${sampleVersion}.mp4`)
  if (await isWhole(path)) return path
  await access(folder, constants.W_OK).catch((cause: unknown) => {
    const text = 'The folder for temporary files cannot be written. Start the demo with a TMPDIR that can be.'
    throw new NodeError('video.sample-failed', text, { cause })
  })
  // Written under another name and moved when whole: nobody ever sees half of it.
  const draft = join(folder, `millrace-sample-${randomUUID()}.mp4`)
  try {
    // Drawn here first: it is faster than ffmpeg's own picture generators, and looks the same everywhere.
    const drawn = await drawSample(draft, sampleSeconds, options.signal).then(
      () => true,
      () => false,
    )
    options.signal.throwIfAborted()
    if (!drawn) await withFfmpeg(await resolveDecoder(options.env), draft, options.signal)
    await rename(draft, path)
    return path
  } catch (cause) {
    options.signal.throwIfAborted()
    throw new NodeError(
      'video.sample-failed',
      'The sample video could not be made here. Install ffmpeg, or choose a video of your own.',
      { cause },
    )
  } finally {
    await rm(draft, { force: true })
  }
}

async function isWhole(path: string): Promise<boolean> {
  try {
    return (await stat(path)).size > 0
  } catch {
    return false
  }
}

const encodeMsMax = 60_000

/** For platforms on which the native encoder has no binary. Needs libx264 and ffmpeg 5.0 for its `gradients`. */
async function withFfmpeg(encoder: Decoder, draft: string, signal: AbortSignal): Promise<void> {
  if (encoder.kind !== 'ffmpeg') throw new Error('neither the native encoder nor ffmpeg is there')
  const colours = 'c0=0x0b7285:c1=0x66d9e8:c2=0xffe066:c3=0xe8590c:nb_colors=4:speed=0.03:seed=7'
  const args = [
    ...['-v', 'error', '-nostdin', '-f', 'lavfi', '-i', `gradients=s=1280x720:r=12:d=${sampleSeconds}:${colours}`],
    ...[
      '-vf',
      'hue=h=17*t',
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-crf',
      '26',
      '-g',
      '12',
      '-pix_fmt',
      'yuv420p',
    ],
    ...['-y', draft],
  ]
  await promisify(execFile)(encoder.executable, args, {
    timeout: encodeMsMax,
    killSignal: 'SIGKILL',
    windowsHide: true,
    signal,
  })
}
