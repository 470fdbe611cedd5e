import type { ChildProcess } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { NodeError } from '../../../core/flow/failure.ts'
import { takeFfmpeg } from './spare.ts'
import { withinMs } from './within.ts'

export interface FfmpegRun {
  readonly stdout: AsyncIterable<Uint8Array>
  readonly stdin: Writable
  /** The last lines that ffmpeg wrote about what it did, at most 16 KB. */
  stderrTail(): string
  /** Exit code when the process is over; null when a signal ended it. */
  readonly exited: Promise<number | null>
  /** Ends the process if it still runs, at once: there is nothing for it to save. Resolves when it is gone. Idempotent. */
  stop(): Promise<void>
}

const stderrBytesMax = 16_384

/**
 * Starts ffmpeg with pipes only, or takes the one that was prepared. Its output is read no faster than it is taken, so a slow reader halts it.
 * `silenceMsMax` bounds the time that one read may wait: then it is stopped and a NodeError `video.timeout` thrown.
 */
export function startFfmpeg(
  executable: string,
  args: readonly string[],
  options: {
    readonly signal: AbortSignal
    readonly own: (child: ChildProcess) => unknown
    readonly silenceMsMax: number
  },
): FfmpegRun {
  const child = takeFfmpeg(executable, args)
  options.own(child)
  // A pipe that breaks because ffmpeg ended early is told by its exit code and its words, not by EPIPE.
  child.stdin.on('error', () => undefined)
  child.stdout.on('error', () => undefined)
  child.stderr.on('error', () => undefined)

  let tail = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    tail = (tail + text).slice(-stderrBytesMax)
  })

  let failedToStart: Error | null = null
  let over = false
  const exited = new Promise<number | null>((resolve) => {
    child.once('error', (error) => {
      if (child.pid === undefined) {
        failedToStart = error
        over = true
        resolve(null)
      }
    })
    child.once('close', (code) => {
      over = true
      resolve(code)
    })
  })

  const stop = async () => {
    if (over) return
    child.kill('SIGKILL')
    child.stdin.destroy()
    child.stdout.destroy()
    await exited
  }
  const onAbort = () => void stop()
  options.signal.addEventListener('abort', onAbort, { once: true })
  void exited.then(() => options.signal.removeEventListener('abort', onAbort))
  if (options.signal.aborted) onAbort()

  async function* read(): AsyncGenerator<Uint8Array, void, undefined> {
    const chunks = chunksOf(child.stdout)
    try {
      while (true) {
        const next = await withinMs(chunks.next(), options.silenceMsMax)
        if (next === null) throw silent(options.silenceMsMax)
        if (next.done === true) break
        yield next.value
      }
    } finally {
      await stop()
      await chunks.return(undefined)
    }
    if (failedToStart !== null) throw cannotStart(failedToStart)
  }

  return {
    stdout: read(),
    stdin: child.stdin,
    stderrTail: () => tail,
    exited,
    stop,
  }
}

async function* chunksOf(stream: Readable): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of stream) {
      if (chunk instanceof Uint8Array) yield chunk
    }
  } catch (thrown) {
    // A stream that we destroyed ourselves in order to stop ffmpeg ends early on purpose.
    if (!stream.destroyed) throw thrown
  }
}

function silent(silenceMsMax: number): NodeError {
  return new NodeError(
    'video.timeout',
    `The decoder gave no picture for ${silenceMsMax / 1000} s and was stopped. Try again when the machine is less busy, or convert the video to H.264 MP4.`,
    { retriable: true },
  )
}

function cannotStart(error: Error): NodeError {
  return new NodeError(
    'video.decoder-missing',
    'ffmpeg could not be started. Set FFMPEG_PATH to a working ffmpeg, or MILLRACE_DECODER=in-process.',
    { cause: error },
  )
}

/** The last thing that ffmpeg said, without the address of its object, and without a path. */
export function lastLine(words: string): string {
  const line =
    words
      .trim()
      .split(/[\r\n]+/)
      .at(-1) ?? ''
  const plain = line.replace(/^\[[^\]]*\]\s*/, '').replace(/(?:file:)?(?:[A-Za-z]:)?(?:[\\/][^\\/:]+)+:?\s*/g, '')
  return plain.slice(0, 200).trim() || 'it gave no reason'
}
