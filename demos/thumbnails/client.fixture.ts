import { openAsBlob } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { z } from 'zod'

const thumbnail = z.strictObject({
  index: z.int(),
  atMs: z.int(),
  width: z.int(),
  height: z.int(),
  mime: z.literal('image/jpeg'),
  data: z.base64().min(100),
})
const last = z.object({
  done: z.literal(true),
  thumbnails: z.int(),
  truncated: z.boolean(),
  note: z.string().nullable(),
})
const failed = z.strictObject({ error: z.strictObject({ code: z.string(), message: z.string() }) })

const answerLine = z.union([thumbnail, last, failed])
export type AnswerLine = z.infer<typeof answerLine>

export interface Sent {
  readonly status: number
  /** The lines of the answer as they come, each checked for its form. */
  readonly lines: AsyncGenerator<AnswerLine, void, undefined>
}

/** Sends a file to the demo as `curl -T` does. */
export async function sendFile(url: string, path: string, signal?: AbortSignal): Promise<Sent> {
  return send(url, await openAsBlob(path), signal)
}

export async function send(url: string, body: Blob | string, signal?: AbortSignal): Promise<Sent> {
  const response = await fetch(`${url}/thumbnails`, { method: 'PUT', body, signal })
  return { status: response.status, lines: linesOf(response) }
}

async function* linesOf(response: Response): AsyncGenerator<AnswerLine, void, undefined> {
  let text = ''
  for await (const piece of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    const lines = (text + piece).split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) yield answerLine.parse(JSON.parse(line))
  }
  if (text !== '') yield answerLine.parse(JSON.parse(text))
}

/** What is left behind by work that has ended: ffmpeg processes below this one, and files in the folder for uploads. */
export async function leftovers(temporary: string): Promise<readonly string[]> {
  const files = await readdir(temporary, { recursive: true })
  const uploads = files.filter((name) => /^millrace-spool-[^/\\]+[/\\](?!owner\.json$)/.test(name))
  return [...uploads, ...(await decoders()).map((pid) => `ffmpeg ${pid}`)]
}

/** The ffmpeg processes that work for this one. */
export async function decoders(): Promise<readonly number[]> {
  return (await processesBelow(process.pid)).filter((each) => each.name === 'ffmpeg').map((each) => each.pid)
}

export async function isAlive(pid: number): Promise<boolean> {
  return (await entryOf(String(pid))) !== null
}

/** The runner that works: the child of this process that has a decoder below it, or else the one that used most time. */
export async function workingRunner(): Promise<number> {
  const all = await processesBelow(process.pid)
  const runners = all.filter((each) => each.parent === process.pid && each.name !== 'ffmpeg')
  const [busiest] = runners.sort((a, b) => b.ticks - a.ticks)
  const decoding = runners.find((each) => all.some((other) => other.parent === each.pid))
  const found = decoding ?? busiest
  if (found === undefined) throw new Error('no runner is there')
  return found.pid
}

interface ProcessEntry {
  readonly pid: number
  readonly parent: number
  readonly name: string
  /** Time on a processor so far. */
  readonly ticks: number
}

export const seesProcesses = process.platform === 'linux'
export const needsProc = 'skipped: needs /proc to see processes; run it on Linux'

async function processesBelow(root: number): Promise<readonly ProcessEntry[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const all = (await Promise.all(pids.map(entryOf))).filter((each) => each !== null)
  const found: ProcessEntry[] = []
  const roots = new Set([root])
  // A child may have a smaller number than its parent, so the list is gone through until nothing is new.
  for (let before = -1; before !== found.length; ) {
    before = found.length
    for (const each of all) {
      if (!roots.has(each.parent) || roots.has(each.pid)) continue
      roots.add(each.pid)
      found.push(each)
    }
  }
  return found
}

async function entryOf(pid: string): Promise<ProcessEntry | null> {
  // proc(5): pid (name) state ppid … utime is the 14th field, stime the 15th; the name may hold spaces and brackets.
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  const match = /^\d+ \((.*)\) (.*)$/s.exec(stat)
  const fields = match?.[2]?.split(' ')
  if (match === null || fields === undefined || fields[0] === 'Z') return null
  return {
    pid: Number(pid),
    parent: Number(fields[1]),
    name: match[1] ?? '',
    ticks: Number(fields[11]) + Number(fields[12]),
  }
}
