import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { failureOf } from '../../../core/flow/failure.ts'
import type { Clips } from './clips.fixture.ts'
import { clipSeconds, colourOf, convert, makeClips, palette } from './clips.fixture.ts'
import { inProcess, resolveDecoder } from './decoder.ts'
import { thumbnails } from './thumbnails.ts'
import type { ThumbnailsInput, ThumbnailsOutput, ThumbnailValue } from './values.ts'

const ffmpeg = await resolveDecoder({ ...process.env, MILLRACE_DECODER: 'ffmpeg' }).catch(() => inProcess)
const noFfmpeg =
  'skipped: no ffmpeg; get it by `apt-get install ffmpeg`, `npm install ffmpeg-static`, or set FFMPEG_PATH'
const realClip = join(import.meta.dirname, '../../../../shared/media/bbb-480p-30s.mp4')

let clips: Clips
beforeAll(async () => {
  clips = await makeClips()
})
afterAll(() => clips.remove())

describe.each(['ffmpeg', 'in-process'] as const)('thumbnails with %s', (kind) => {
  const env = { ...process.env, MILLRACE_DECODER: kind }
  const test = (name: string, body: () => Promise<void>) =>
    it(name, async (context) => {
      if (kind === 'ffmpeg' && ffmpeg.kind !== 'ffmpeg') context.skip(noFfmpeg)
      await body()
    })
  const run = (input: ThumbnailsInput, options: RunOptions = {}) => start(input, { env, ...options })

  for (const name of ['end', 'faststart', 'fragmented', 'mkv', 'webm'] as const) {
    test(`shows each keyframe of ${name} at its own time`, async () => {
      const values = await all(run({ path: clips.paths[name], widthPx: 160, order: 'time' }))
      expect(values[0]).toMatchObject({
        kind: 'video',
        width: 320,
        height: 180,
        keyframes: clipSeconds,
        thumbnails: clipSeconds,
      })
      expect(values[0]).toHaveProperty('durationMs', expect.closeTo(clipSeconds * 1000, -3))
      const pictures = thumbnailsOf(values)
      expect(pictures.map((each) => each.atMs)).toEqual(seconds().map((second) => second * 1000))
      expect(pictures.map((each) => each.index)).toEqual(seconds())
      expect(await Promise.all(pictures.map((each) => colourOf(each.data)))).toEqual(
        seconds().map((s) => s % palette.length),
      )
      expect(pictures.every((each) => each.width === 160 && each.height === 90 && each.mime === 'image/jpeg')).toBe(
        true,
      )
      expect(values.at(-1)).toMatchObject({
        kind: 'done',
        thumbnails: clipSeconds,
        missing: 0,
        truncated: false,
        note: null,
      })
    })
  }

  test('shows the whole length roughly first, then all that lies between, each once and under its own time', async () => {
    const pictures = thumbnailsOf(await all(run({ path: clips.paths.end, order: 'coarse-first' })))
    const order = pictures.map((each) => each.index)
    expect(order.slice(0, 10)).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18])
    expect(order.toSorted((a, b) => a - b)).toEqual(seconds())
    for (const each of pictures) expect(await colourOf(each.data)).toBe((each.atMs / 1000) % palette.length)
  })

  test('gives a real size, and thins out to countMax from the first to the last keyframe', async () => {
    const pictures = thumbnailsOf(await all(run({ path: clips.paths.mkv, order: 'time', countMax: 4, widthPx: 1000 })))
    expect(pictures.map((each) => each.atMs)).toEqual([0, 6000, 13_000, 19_000])
    expect(pictures[0]).toMatchObject({ width: 320, height: 180 })
  })

  test('goes on after the n-th value with exactly the rest', async () => {
    const input: ThumbnailsInput = { path: clips.paths.end, order: 'coarse-first' }
    const whole = (await all(run(input))).map(comparable)
    for (const resumeAfter of [1, 2, 11, whole.length - 1, whole.length, whole.length + 3]) {
      const rest = (await all(run(input, { resumeAfter }))).map(comparable)
      expect(rest).toEqual(whole.slice(resumeAfter))
    }
  })

  test('delivers what a cut file still holds, marks what it does not, and says so', async () => {
    const path = await clips.cut(clips.paths.faststart, 0.6)
    const values = await all(run({ path, order: 'time' }))
    const made = thumbnailsOf(values).length
    expect(made).toBeGreaterThan(5)
    expect(made).toBeLessThan(clipSeconds)
    expect(values.filter((each) => each.kind === 'missing' && each.reason === 'cut-off')).toHaveLength(
      clipSeconds - made,
    )
    expect(values.at(-1)).toMatchObject({
      kind: 'done',
      thumbnails: made,
      missing: clipSeconds - made,
      truncated: true,
    })
    const resumeAfter = values.length - 2
    expect((await all(run({ path, order: 'time' }, { resumeAfter }))).map(comparable)).toEqual(
      values.slice(-2).map(comparable),
    )
  })

  test('delivers what a cut Matroska file still holds', async () => {
    const values = await all(run({ path: await clips.cut(clips.paths.mkv, 0.5), order: 'time' }))
    const made = thumbnailsOf(values).length
    expect(made).toBeGreaterThan(4)
    expect(values.at(-1)).toMatchObject({ kind: 'done', truncated: true, note: expect.stringContaining('cut off') })
  })

  test('refuses what is no video with a code and a remedy, and names no path', async () => {
    const files: readonly (readonly [string, string])[] = [
      [await clips.write('empty.mp4', ''), 'video.empty'],
      [await clips.write('text.mp4', 'This is a letter, not a film. '.repeat(400)), 'video.not-a-video'],
      [await clips.write('junk.webm', Buffer.alloc(60_000, 0xa7)), 'video.not-a-video'],
      [await clips.write('list.mp4', '#EXTM3U\n#EXTINF:1,\n/etc/passwd\n'), 'video.not-a-video'],
      [await clips.write('concat.mp4', "ffconcat version 1.0\nfile '/etc/passwd'\n"), 'video.not-a-video'],
      [await clips.write('head-only.mkv', Buffer.from('1a45dfa3a342868101', 'hex')), 'video.'],
      [await clips.write('box-only.mp4', Buffer.from('0000001066747970697336f6d00000200', 'hex')), 'video.'],
      [await clips.write('sound.wav', `RIFF    WAVEfmt ${' '.repeat(100)}`), 'video.no-video-stream'],
      [await clips.cut(clips.paths.end, 0.6), 'video.truncated'],
      [clips.path('absent.mp4'), 'video.unreadable'],
      [clips.folder, 'video.unreadable'],
    ]
    for (const [path, code] of files) {
      const failure = await failureFrom(run({ path }))
      expect(failure.code, path).toContain(code)
      expect(failure.message).not.toContain(clips.folder)
      expect(failure.message).toMatch(/Choose|Upload|Check|Convert|Install/)
    }
  })

  test('comes to an end with damaged files: with values, or with an error that says what to do', async () => {
    let seed = 1
    const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647
    for (let round = 0; round < 20; round++) {
      const name = (['end', 'fragmented', 'mkv', 'webm'] as const)[round % 4] ?? 'end'
      const bytes = await readFile(clips.paths[name])
      const zone = round % 3 === 0 ? bytes.length : 2000
      for (let i = 0; i <= round; i++) bytes[Math.floor(random() * zone)] = Math.floor(random() * 256)
      const cut = round % 4 === 2 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes
      const path = await clips.write('damaged', cut)
      const end = await all(run({ path })).then(
        (values) => values.at(-1)?.kind,
        (thrown: unknown) => failureOf(thrown, null).code,
      )
      expect(end, `round ${round}`).toMatch(/^done$|^video\./)
    }
  })

  test('ends with junk where a Matroska file should go on', async () => {
    const bytes = await readFile(clips.paths.mkv)
    const junk = Buffer.alloc(100_000, 0xa7)
    const path = await clips.write('junk.mkv', Buffer.concat([bytes.subarray(0, bytes.length / 2), junk]))
    const values = await all(run({ path, order: 'time' }))
    expect(thumbnailsOf(values).length).toBeGreaterThan(4)
    expect(values.at(-1)).toMatchObject({ kind: 'done', truncated: true })
  })

  test('ends and leaves no process when the signal aborts', async () => {
    const owned: ChildProcess[] = []
    const controller = new AbortController()
    const values = run({ path: clips.paths.end }, { signal: controller.signal, owned })
    await values.next()
    await values.next()
    controller.abort(new Error('the reader has gone'))
    await expect(all(values)).rejects.toThrow('the reader has gone')
    await allGone(owned)
  })

  test('ends and leaves no process when the reader returns early, even before the first thumbnail', async () => {
    for (const count of [1, 4]) {
      const owned: ChildProcess[] = []
      const values = run({ path: clips.paths.webm }, { owned })
      for (let i = 0; i < count; i++) await values.next()
      await values.return()
      await allGone(owned)
    }
  })

  test('makes thumbnails of a real film', async () => {
    if (!existsSync(realClip)) return
    const values = await all(run({ path: realClip }))
    expect(values[0]).toMatchObject({
      container: 'MP4',
      codec: 'avc',
      width: 854,
      height: 480,
      durationMs: 30_000,
      keyframes: 5,
    })
    expect(thumbnailsOf(values).map((each) => each.atMs)).toEqual([0, 10_417, 11_875, 15_750, 23_042])
    expect(thumbnailsOf(values)[0]).toMatchObject({ width: 320, height: 180 })
  })
})

describe('with ffmpeg, whatever it reads', () => {
  const env = { ...process.env, MILLRACE_DECODER: 'ffmpeg' }
  const made: readonly (readonly [string, readonly string[], number])[] = [
    ['clip.avi', ['-c:v', 'mpeg4', '-g', '2', '-sc_threshold', '1000000000'], clipSeconds],
    ['clip.flv', ['-c', 'copy'], clipSeconds],
    ['clip.ts', ['-c', 'copy'], clipSeconds],
    ['clip.mov', ['-c', 'copy'], clipSeconds],
    ['intra.mov', ['-c:v', 'mjpeg'], 2 * clipSeconds],
    ['clip.gif', [], 2 * clipSeconds],
    ['open-gop.mkv', ['-c:v', 'libx264', '-x264-params', 'open-gop=1:keyint=4:min-keyint=4:bframes=2:scenecut=0'], 10],
    [
      'open-gop.mp4',
      ['-c:v', 'libx265', '-x265-params', 'open-gop=1:keyint=4:min-keyint=4:bframes=2:scenecut=0:log-level=none'],
      10,
    ],
  ]
  for (const [name, options, count] of made) {
    it(`shows ${name}`, async (context) => {
      if (ffmpeg.kind !== 'ffmpeg') return context.skip(noFfmpeg)
      const path = await convert(ffmpeg.executable, clips.paths.end, clips.path(name), options)
      const values = await all(start({ path }, { env }))
      const pictures = thumbnailsOf(values)
      expect(pictures).toHaveLength(count)
      for (const each of pictures) expect(await colourOf(each.data)).toBe(Math.floor(each.atMs / 1000) % palette.length)
      expect(values.at(-1)).toMatchObject({ kind: 'done', thumbnails: count, missing: 0, truncated: false })
      const resumed = (await all(start({ path }, { env, resumeAfter: 4 }))).map(comparable)
      expect(resumed).toEqual(values.slice(4).map(comparable))
    })
  }

  it('says what is missing when only ffmpeg could read a file', async () => {
    const path = await clips.write('other.flv', `FLV\x01${'\0'.repeat(2000)}`)
    const failure = await failureFrom(start({ path }, { env: { MILLRACE_DECODER: 'in-process' } }))
    expect(failure).toMatchObject({ code: 'video.decoder-missing', message: expect.stringContaining('Install ffmpeg') })
  })

  it('turns a film that was taken upright', async (context) => {
    if (ffmpeg.kind !== 'ffmpeg') return context.skip(noFfmpeg)
    const options = ['-c', 'copy', '-metadata:s:v', 'rotate=90']
    const path = await convert(ffmpeg.executable, clips.paths.end, clips.path('upright.mp4'), options)
    for (const kind of ['ffmpeg', 'in-process']) {
      const values = await all(start({ path, widthPx: 90 }, { env: { ...process.env, MILLRACE_DECODER: kind } }))
      expect(values[0]).toMatchObject({ width: 180, height: 320 })
      expect(values[1]).toMatchObject({ width: 90, height: 160 })
    }
  })
})

interface RunOptions {
  readonly resumeAfter?: number
  readonly signal?: AbortSignal
  readonly owned?: ChildProcess[]
  readonly env?: NodeJS.ProcessEnv
}

function start(input: ThumbnailsInput, options: RunOptions): AsyncGenerator<ThumbnailsOutput, void, undefined> {
  const context = {
    signal: options.signal ?? new AbortController().signal,
    resumeAfter: options.resumeAfter ?? 0,
    progress: () => undefined,
    log: () => undefined,
    own: (child: ChildProcess) => options.owned?.push(child),
  }
  return thumbnails(input, context, options.env)
}

async function all(values: AsyncIterable<ThumbnailsOutput>): Promise<ThumbnailsOutput[]> {
  const taken: ThumbnailsOutput[] = []
  for await (const value of values) taken.push(value)
  return taken
}

async function failureFrom(values: AsyncIterable<ThumbnailsOutput>) {
  return await all(values).then(
    () => failureOf(new Error('it did not fail'), null),
    (thrown: unknown) => failureOf(thrown, null),
  )
}

function thumbnailsOf(values: readonly ThumbnailsOutput[]): readonly ThumbnailValue[] {
  return values.filter((each) => each.kind === 'thumbnail')
}

/** A value without what may differ from run to run. */
function comparable(value: ThumbnailsOutput) {
  return value.kind === 'done' ? { ...value, elapsedMs: 0 } : value
}

function seconds(): number[] {
  return Array.from({ length: clipSeconds }, (_, second) => second)
}

/** Waits, at most 2 s, until each process that the task started has ended. */
async function allGone(owned: readonly ChildProcess[]): Promise<void> {
  const gone = owned.map((child) => {
    if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
    return new Promise<void>((resolve) => child.once('exit', () => resolve()))
  })
  const late = AbortSignal.timeout(2000)
  await Promise.race([
    Promise.all(gone),
    new Promise((_, reject) => late.addEventListener('abort', () => reject(new Error('a process is left')))),
  ])
  for (const child of owned) expect(() => process.kill(child.pid ?? -1, 0)).toThrow('ESRCH')
}
