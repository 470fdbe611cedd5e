import { execFile, spawn } from 'node:child_process'
import { rename, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { FfmpegDecoder } from '../demos/thumbnails/video/decoder.ts'
import { resolveDecoder } from '../demos/thumbnails/video/decoder.ts'
import { thumbnails } from '../demos/thumbnails/video/thumbnails.ts'
import { against, compared } from './compare.ts'
import type { BenchRow } from './row.ts'
import type { ThumbnailRun } from './thumbnail-run.ts'
import { startMeasuredDemo } from './thumbnails-server.ts'

const rounds = 9
const settleMs = 100
const videoSeconds = 120
const keyframes = videoSeconds / 2

/**
 * All keyframes of 2 minutes of 1080p H.264 as thumbnails, beside ffmpeg's best command line, in turn: first by the task's
 * generator alone, then through the whole demo, where the time counts from the upload's last byte.
 * Takes about 20 s, and 30 s more the first time on a machine, when it makes the video. Throws when there is no ffmpeg.
 */
export async function benchThumbnails(): Promise<readonly BenchRow[]> {
  const demo = await startMeasuredDemo()
  try {
    return [...(await measure('the task alone', runDirectly)), ...(await measure('through the server', demo.run))]
  } finally {
    await demo.close()
  }
}

async function measure(way: string, runOurs: (path: string) => Promise<ThumbnailRun>): Promise<readonly BenchRow[]> {
  const ffmpeg = await resolveDecoder({ ...process.env, MILLRACE_DECODER: 'ffmpeg' })
  if (ffmpeg.kind !== 'ffmpeg') throw new Error('the thumbnails benchmark needs ffmpeg')
  const path = await testVideo(ffmpeg)
  const ours: ThumbnailRun[] = []
  const peer: ThumbnailRun[] = []
  for (let round = -2; round < rounds; round++) {
    // What a run leaves behind (a process that vanishes, an upload that is removed) is no part of the next one's time.
    await setTimeout(settleMs)
    const theirs = await runPeer(ffmpeg, path)
    await setTimeout(settleMs)
    const mine = await runOurs(path)
    if (mine.count !== keyframes) throw new Error(`expected ${keyframes} thumbnails, got ${mine.count}`)
    if (round < 0) continue
    ours.push(mine)
    peer.push(theirs)
  }
  return [
    compared({
      figure: `all keyframes of 2 min of 1080p H.264, ${way}`,
      ours: ours.map((each) => each.totalMs),
      peer: peer.map((each) => each.totalMs),
      peerName: `${ffmpeg.label}, -discard nokey -skip_frame nokey, fast_bilinear`,
      goal: 1.15,
      unit: 'ms',
    }),
    against(
      `first thumbnail of it, ${way}`,
      ours.map((each) => each.firstMs),
      150,
      'ms',
    ),
  ]
}

async function runDirectly(path: string): Promise<ThumbnailRun> {
  const context = {
    ...{ signal: new AbortController().signal, resumeAfter: 0 },
    ...{ progress: () => undefined, log: () => undefined, own: () => undefined },
  }
  const begin = performance.now()
  let firstMs = 0
  let count = 0
  for await (const value of thumbnails({ path }, context)) {
    if (value.kind !== 'thumbnail') continue
    if (count++ === 0) firstMs = performance.now() - begin
  }
  return { firstMs, totalMs: performance.now() - begin, count }
}

function runPeer(ffmpeg: FfmpegDecoder, path: string): Promise<ThumbnailRun> {
  const args = [
    ...['-v', 'error', '-discard', 'nokey', '-skip_frame', 'nokey', '-i', path, '-an', '-vsync', 'passthrough'],
    ...['-vf', 'scale=320:-2:flags=fast_bilinear', '-q:v', '5', '-f', 'image2pipe', '-c:v', 'mjpeg', '-'],
  ]
  return new Promise((resolve, reject) => {
    const begin = performance.now()
    let firstMs = 0
    const child = spawn(ffmpeg.executable, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    child.stdout.on('data', () => {
      if (firstMs === 0) firstMs = performance.now() - begin
    })
    child.once('error', reject)
    child.once('close', () => resolve({ firstMs, totalMs: performance.now() - begin, count: keyframes }))
  })
}

/** Made once per machine and kept in the folder for temporary files: 200 MB, a keyframe every 2 s, index at the end. */
async function testVideo(ffmpeg: FfmpegDecoder): Promise<string> {
  const path = join(tmpdir(), `millrace-bench-1080p-${videoSeconds}s.mp4`)
  const there = await stat(path).then(
    (file) => file.size > 0,
    () => false,
  )
  if (there) return path
  const draft = `${path}.${process.pid}.mp4`
  const encoder = ['-c:v', 'libx264', '-preset', 'ultrafast', '-g', '50', '-keyint_min', '50', '-sc_threshold', '0']
  const sources = [
    '-f',
    'lavfi',
    '-i',
    `testsrc2=s=1920x1080:r=25:d=${videoSeconds}`,
    '-f',
    'lavfi',
    '-i',
    `sine=d=${videoSeconds}`,
  ]
  try {
    await promisify(execFile)(
      ffmpeg.executable,
      ['-v', 'error', '-nostdin', ...sources, ...encoder, '-pix_fmt', 'yuv420p', '-c:a', 'aac', '-y', draft],
      { timeout: 300_000, killSignal: 'SIGKILL' },
    )
    await rename(draft, path)
  } finally {
    await rm(draft, { force: true })
  }
  return path
}
