import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { until } from '../../server/testing.ts'
import type { AnswerLine } from './client.fixture.ts'
import {
  decoders,
  isAlive,
  leftovers,
  needsProc,
  seesProcesses,
  send,
  sendFile,
  workingRunner,
} from './client.fixture.ts'
import { repeatClip } from './long-clip.fixture.ts'
import type { RunningDemo } from './server.ts'
import { startDemo } from './server.ts'
import type { Clips } from './video/clips.fixture.ts'
import { makeClips } from './video/clips.fixture.ts'
import { resolveDecoder } from './video/decoder.ts'

let clips: Clips
/** 10 minutes with 600 keyframes: seconds of work. */
let long: string

beforeAll(async () => {
  clips = await makeClips()
  long = await repeatClip(clips.paths.end, clips.path('long.mp4'), 30)
})
afterAll(() => clips.remove())

describe.each(['ffmpeg', 'in-process'] as const)('uploads decoded by %s', (decoder) => {
  const before = { ...process.env }
  let temporary: string
  let demo: RunningDemo | null = null

  beforeAll(async () => {
    const found = await resolveDecoder(process.env)
    if (decoder === 'ffmpeg' && found.kind !== 'ffmpeg') return
    temporary = await mkdtemp(join(tmpdir(), 'millrace-faults-'))
    process.env.TMPDIR = temporary
    process.env.MILLRACE_DECODER = decoder
    demo = await startDemo({ port: 0 })
  })
  afterAll(async () => {
    await demo?.close()
    for (const name of ['TMPDIR', 'MILLRACE_DECODER']) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
    if (demo !== null) await rm(temporary, { recursive: true, force: true })
  })
  beforeEach((context) => {
    if (demo === null) context.skip('skipped: no ffmpeg; install it or set FFMPEG_PATH')
    if (!seesProcesses) context.skip(needsProc)
  })

  const url = (): string => demo?.url ?? ''

  /** Nothing is left 2 s after the end, and the next video is worked on as if nothing had been. */
  async function expectClean(): Promise<void> {
    await until(async () => (await running(url())) === 0, 2000)
    await until(async () => (await leftovers(temporary)).length === 0, 2000)
    const { status, lines } = await sendFile(url(), clips.paths.end)
    expect([status, indexesOf(await all(lines))]).toStrictEqual([200, upTo(20)])
  }

  it.each([
    ['garbage', () => new Blob([randomBytes(200_000)]), 'video.not-a-video'],
    ['text', () => 'This is a letter and not a video.\n'.repeat(1000), 'video.not-a-video'],
    ['nothing', () => '', 'video.empty'],
    ['one byte', () => 'x', 'video.not-a-video'],
    ['a picture', () => new Blob([Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')]), 'video.not-a-video'],
  ])('answers %s with a status and an error that says what to do', async (_, body, code) => {
    const { status, lines } = await send(url(), body())
    const answer = await all(lines)
    expect(answer).toMatchObject([{ error: { code } }])
    expect([status, JSON.stringify(answer)]).toStrictEqual([422, expect.stringMatching(/Choose a video file/)])
    await expectClean()
  })

  it('answers a file whose index was cut off with an error', async () => {
    const { status, lines } = await sendFile(url(), await clips.cut(clips.paths.end, 0.6))
    expect([status, await all(lines)]).toMatchObject([422, [{ error: { code: 'video.truncated' } }]])
    await expectClean()
  })

  it('shows what there is of a file that was cut off, and says so', async () => {
    const { status, lines } = await sendFile(url(), await clips.cut(clips.paths.faststart, 0.5))
    const answer = await all(lines)
    const done = answer.at(-1)
    expect([status, done]).toMatchObject([
      200,
      { done: true, truncated: true, note: expect.stringContaining('cut off') },
    ])
    expect(indexesOf(answer).length).toBeGreaterThan(5)
    await expectClean()
  })

  it('works on nothing for an upload that is cut half-way', async () => {
    const bytes = await readFile(clips.paths.end)
    const before = await worked(url())
    await new Promise<void>((resolve, reject) => {
      const socket = connect(Number(new URL(url()).port), '127.0.0.1', () => {
        socket.write(`PUT /thumbnails HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${bytes.length}\r\n\r\n`)
        socket.write(bytes.subarray(0, bytes.length / 2), () =>
          // Cut when the server has begun to write it down: that is what must not stay.
          until(async () => (await leftovers(temporary)).length > 0).then(() => socket.resetAndDestroy(), reject),
        )
      })
      socket.on('error', () => {})
      socket.on('close', () => resolve())
    })
    await until(async () => (await leftovers(temporary)).length === 0, 2000)
    expect(await worked(url())).toBe(before)
    await expectClean()
  })

  // Decoding in this process needs no ffmpeg, so there is none to have ready.
  const itWithFfmpeg = decoder === 'ffmpeg' ? it : () => undefined

  itWithFfmpeg('has a decoder ready when an upload is about to end, and none when it is cut then', async () => {
    const cut = await sendUntilReady(url(), long)
    expect(await decoders()).toHaveLength(1)
    cut.socket.resetAndDestroy()
    await until(async () => (await leftovers(temporary)).length === 0, 2000)

    const { socket, rest } = await sendUntilReady(url(), long)
    const ready = await decoders()
    socket.write(rest)
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1.1 200 /)
    expect(await decoders()).toEqual(ready)
    socket.destroy()
    await expectClean()
  })

  itWithFfmpeg('loses a decoder that waits with its runner', async () => {
    const { socket } = await sendUntilReady(url(), long)
    process.kill(await workingRunner(), 'SIGKILL')
    const [orphan] = await decoders()
    socket.destroy()
    // At once, and not only when its time is over: the end of its input tells it.
    if (orphan !== undefined) await until(async () => !(await isAlive(orphan)), 500)
    await expectClean()
  })

  it('stops the work for a client that vanishes in the middle', async () => {
    const gone = new AbortController()
    const { lines } = await sendFile(url(), long, gone.signal)
    await take(lines, 20)
    expect(await running(url())).toBe(1)
    gone.abort()
    await until(async () => (await running(url())) === 0, 2000)
    await expectClean()
  })

  it('gives all to a client that reads slowly', async () => {
    const { lines } = await sendFile(url(), long)
    const answer: AnswerLine[] = []
    for await (const line of lines) {
      answer.push(line)
      // A few at a time with a pause between: slowness is what is tested.
      if (answer.length % 30 === 0) await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(indexesOf(answer)).toStrictEqual(upTo(600))
    await expectClean()
  })

  it('goes on after its runner was killed in mid-video: no thumbnail twice, none missing', async () => {
    const { lines } = await sendFile(url(), long)
    const answer = await take(lines, 40)
    expect(await running(url())).toBe(1)
    const runner = await workingRunner()
    const orphans = await decoders()
    process.kill(runner, 'SIGKILL')
    answer.push(...(await all(lines)))
    expect(await workingRunner()).not.toBe(runner)
    for (const orphan of orphans) await until(async () => !(await isAlive(orphan)), 2000)
    expect(indexesOf(answer)).toStrictEqual(upTo(600))
    expect(answer.at(-1)).toMatchObject({ done: true, thumbnails: 600 })
    await expectClean()
  })

  it('shows two hours in a coarse row first, and no more thumbnails than a page can hold', async () => {
    const path = join(temporary, 'two-hours.mp4')
    await repeatClip(clips.paths.end, path, 360)
    const { lines } = await sendFile(url(), path)
    const answer = await take(lines, 16)
    const places = answer.flatMap((line) => ('atMs' in line ? [line.atMs] : []))
    const apart = places.slice(1).map((atMs, at) => atMs - (places[at] ?? 0))
    // The first row lies evenly over the whole length.
    expect(places[0]).toBe(0)
    expect(Math.min(...apart.slice(0, 8))).toBeGreaterThan(300_000)
    answer.push(...(await all(lines)))
    expect(indexesOf(answer)).toStrictEqual(upTo(600))
    await rm(path)
    await expectClean()
  })
})

/** Takes so many lines and leaves the rest to be read. */
async function take(lines: AsyncGenerator<AnswerLine, void, undefined>, count: number): Promise<AnswerLine[]> {
  const taken: AnswerLine[] = []
  while (taken.length < count) {
    const next = await lines.next()
    if (next.done === true) throw new Error(`the answer ended after ${taken.length} lines`)
    taken.push(next.value)
  }
  return taken
}

async function all(lines: AsyncGenerator<AnswerLine, void, undefined>): Promise<AnswerLine[]> {
  const taken: AnswerLine[] = []
  for await (const line of lines) taken.push(line)
  return taken
}

/** Sorted, but with all that came twice. */
function indexesOf(answer: readonly AnswerLine[]): readonly number[] {
  return answer.flatMap((line) => ('index' in line ? [line.index] : [])).sort((a, b) => a - b)
}

function upTo(count: number): readonly number[] {
  return Array.from({ length: count }, (_, at) => at)
}

async function running(url: string): Promise<number> {
  const workflow: { running: number } = await (await fetch(`${url}/api/workflows/thumbnails`)).json()
  return workflow.running
}

/** How many videos have been given to workers. */
async function worked(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const [, videos] = /^millrace_node_in_total\{[^}]*node="frames"[^}]*\} (\d+)$/m.exec(metrics) ?? []
  if (videos === undefined) throw new Error('the metrics do not tell what came to the node "frames"')
  return Number(videos)
}

/** Sends a file but for its last bytes, which then drip, until a decoder has been started for it. */
async function sendUntilReady(url: string, path: string): Promise<{ socket: Socket; rest: Uint8Array }> {
  const bytes = await readFile(path)
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {})
  socket.write(`PUT /thumbnails HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: ${bytes.length}\r\n\r\n`)
  let sent = bytes.length - 10_000
  socket.write(bytes.subarray(0, sent))
  await until(async () => {
    socket.write(bytes.subarray(sent, ++sent))
    return (await decoders()).length > 0
  })
  return { socket, rest: bytes.subarray(sent) }
}
