import { NodeError } from '../../../core/flow/failure.ts'

/** One JPEG picture and the presentation time that ffmpeg gave it. */
export interface TimedJpeg {
  readonly timeMs: number
  readonly data: Uint8Array
}

/** What ffmpeg is told for such a stream on its standard output: small pictures, each sent as soon as it is there. */
export const toSmjpeg: readonly string[] = [
  // Scaling and compressing small pictures on one thread: more of them only take turns with the decoder's.
  ...['-pix_fmt', 'yuvj420p', '-filter_threads', '1', '-threads:v', '1'],
  ...['-c:v', 'mjpeg', '-q:v', '5', '-f', 'smjpeg', '-flush_packets', '1', 'pipe:1'],
]

/** Far above any picture 1920 wide; a length beyond it means that this is not the stream we asked for. */
const pictureBytesMax = 32 << 20

/**
 * Cuts an SMJPEG stream into pictures. SMJPEG is ffmpeg's plainest motion JPEG container: each picture comes with its
 * time in milliseconds and its length, so nothing has to be searched for and no time has to be guessed from a count.
 * Format: `\0\nSMJPEG`, version, duration; `_VID` and other headers with lengths; `HEND`; then `vidD` time length data,
 * and `DONE`. Numbers are big-endian and 32 bits wide (Loki SDL Motion JPEG, libavformat/smjpegenc.c).
 * Throws a NodeError `video.bad-output` when the bytes are something else.
 */
export async function* splitSmjpeg(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<TimedJpeg, void, undefined> {
  let part: Part = 'magic'
  let needed = 16
  const waiting: Uint8Array[] = []
  let waitingBytes = 0
  for await (const chunk of chunks) {
    // Read on to the end, so that ffmpeg can leave in its own way and its exit code means something.
    if (part === 'over') continue
    waiting.push(chunk)
    waitingBytes += chunk.length
    // Chunks are joined only when they complete something, so that a large picture is copied once and not per chunk.
    if (waitingBytes < needed) continue
    const bytes = Buffer.concat(waiting)
    let at = 0
    while (part !== 'over') {
      const step = steps[part](bytes, at)
      if (typeof step === 'number') {
        needed = step
        break
      }
      part = step.part
      at = step.next
      if (step.picture !== undefined) yield step.picture
    }
    waiting.length = 0
    waiting.push(bytes.subarray(at))
    waitingBytes = bytes.length - at
  }
}

type Part = 'magic' | 'headers' | 'pictures' | 'over'

interface Step {
  readonly next: number
  readonly part: Part
  readonly picture?: TimedJpeg
}

/** Each reads one thing at `at`, or answers how many bytes it needs from there on. */
const steps = { magic: magicStep, headers: headerStep, pictures: pictureStep }

function magicStep(bytes: Buffer, at: number): Step | number {
  if (bytes.length - at < 16) return 16
  if (bytes.toString('latin1', at, at + 8) !== '\0\nSMJPEG') throw notSmjpeg()
  return { next: at + 16, part: 'headers' }
}

function headerStep(bytes: Buffer, at: number): Step | number {
  if (bytes.length - at < 4) return 4
  if (bytes.toString('latin1', at, at + 4) === 'HEND') return { next: at + 4, part: 'pictures' }
  if (bytes.length - at < 8) return 8
  const length = bytes.readUInt32BE(at + 4)
  if (length > 65_536) throw notSmjpeg()
  if (bytes.length - at < 8 + length) return 8 + length
  return { next: at + 8 + length, part: 'headers' }
}

function pictureStep(bytes: Buffer, at: number): Step | number {
  if (bytes.length - at < 4) return 4
  const tag = bytes.toString('latin1', at, at + 4)
  if (tag === 'DONE') return { next: at + 4, part: 'over' }
  if (tag !== 'vidD') throw notSmjpeg()
  if (bytes.length - at < 12) return 12
  const length = bytes.readUInt32BE(at + 8)
  if (length > pictureBytesMax) throw notSmjpeg()
  if (bytes.length - at < 12 + length) return 12 + length
  const data = bytes.subarray(at + 12, at + 12 + length)
  const whole = length > 4 && data.readUInt16BE(0) === 0xffd8 && data.readUInt16BE(length - 2) === 0xffd9
  if (!whole) throw notSmjpeg()
  // A copy of its own: a caller may keep one thumbnail without keeping the whole read buffer alive.
  const picture = { timeMs: bytes.readUInt32BE(at + 4), data: new Uint8Array(data) }
  return { next: at + 12 + length, part: 'pictures', picture }
}

function notSmjpeg(): NodeError {
  return new NodeError(
    'video.bad-output',
    'ffmpeg answered with something other than timed JPEG pictures. Use an ffmpeg that has the smjpeg muxer, or set MILLRACE_DECODER=in-process.',
  )
}
