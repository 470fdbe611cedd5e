import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { UploadedFile } from '../core/host.ts'
import type { BodyLimits } from './body.ts'
import { eachChunk } from './body.ts'
import { HttpError } from './http-error.ts'
import { WriteBehind } from './write-behind.ts'

/** Where uploads wait as files, in a folder of the server's own that nobody else can read. */
export interface Spool {
  readonly directory: string
  readonly files: number
  readonly bytes: number
  /** Writes a body to a file as it comes. A body that is cut leaves no file behind. Throws an HttpError, or what the disk says. */
  receive(request: IncomingMessage, response: ServerResponse, limits: BodyLimits): Promise<SpooledFile>
  close(): Promise<void>
}

export interface SpooledFile extends UploadedFile {
  /** Removes the file. Idempotent. */
  remove(): Promise<void>
}

interface Owner {
  readonly pid: number
  readonly host: string
  /** When the process started, by the machine's own count; null where that cannot be told. */
  readonly started: string | null
}

const prefix = 'millrace-spool-'
const ownerFile = 'owner.json'

/** Makes the folder (mode 0700). */
export async function createSpool(bytesMax: number, parent: string = tmpdir()): Promise<Spool> {
  await mkdir(parent, { recursive: true })
  const directory = await mkdtemp(join(parent, prefix))
  const owner: Owner = { pid: process.pid, host: hostname(), started: await startOf(process.pid) }
  await writeFile(join(directory, ownerFile), JSON.stringify(owner), { mode: 0o600 })
  return new SpoolFolder(directory, bytesMax)
}

class SpoolFolder implements Spool {
  files = 0
  bytes = 0
  readonly directory: string
  readonly #bytesMax: number

  constructor(directory: string, bytesMax: number) {
    this.directory = directory
    this.#bytesMax = bytesMax
  }

  async receive(request: IncomingMessage, response: ServerResponse, limits: BodyLimits): Promise<SpooledFile> {
    const path = join(this.directory, randomBytes(12).toString('hex'))
    const file = await open(path, 'wx', 0o600)
    this.files += 1
    const writing = new WriteBehind(file)
    let sizeBytes = 0
    let removed = false
    const remove = async (): Promise<void> => {
      if (removed) return
      removed = true
      this.files -= 1
      this.bytes -= sizeBytes
      await rm(path, { force: true })
    }
    try {
      await eachChunk(request, response, limits, async (chunk) => {
        if (this.bytes + chunk.byteLength > this.#bytesMax) throw full(this.#bytesMax)
        sizeBytes += chunk.byteLength
        this.bytes += chunk.byteLength
        await writing.add(chunk)
      })
      await writing.done()
      await file.close()
    } catch (thrown) {
      await writing.done().catch(() => {})
      await file.close().catch(() => {})
      await remove()
      throw thrown
    }
    return { path, name: nameOf(request), mime: mimeOf(request), sizeBytes, remove }
  }

  async close(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }
}

/** Removes the folders of servers of this machine that are no more. */
export async function removeStaleSpools(parent: string = tmpdir()): Promise<void> {
  for (const entry of await readdir(parent).catch(() => [])) {
    if (!entry.startsWith(prefix)) continue
    const folder = join(parent, entry)
    if (await isStale(folder)) await rm(folder, { recursive: true, force: true }).catch(() => {})
  }
}

/** A folder is stale when its server ran on this machine and runs no more. Folders of other machines and users are left alone. */
async function isStale(folder: string): Promise<boolean> {
  try {
    const owner: Partial<Owner> = JSON.parse(await readFile(join(folder, ownerFile), 'utf8'))
    if (owner.host !== hostname() || typeof owner.pid !== 'number') return false
    if (!isAlive(owner.pid)) return true
    // In a container the server before had the same number: what tells the two apart is when they started.
    const started = await startOf(owner.pid)
    return typeof owner.started === 'string' && started !== null && owner.started !== started
  } catch {
    return false
  }
}

/** Ticks between the machine's start and the process's: the 22nd field of proc(5)'s `stat`. The name before may hold spaces and brackets. */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return (
    stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .at(19) ?? null
  )
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (thrown) {
    return !(thrown instanceof Error && 'code' in thrown && thrown.code === 'ESRCH')
  }
}

/** The name that the client gave, for people to read; it is never used as a path. */
function nameOf(request: IncomingMessage): string {
  const header = request.headers['content-disposition'] ?? ''
  const extended = /filename\*=UTF-8''([^;]+)/i.exec(header)?.[1]
  const plain = /filename="([^"]*)"|filename=([^;\s]+)/i.exec(header)
  const name = decodeName(extended) ?? plain?.[1] ?? plain?.[2] ?? 'upload'
  const safe = [...name].filter((character) => character >= ' ' && character !== '\u007f').join('')
  return safe.replace(/[/\\]/g, '_').slice(0, 200) || 'upload'
}

function decodeName(text: string | undefined): string | null {
  if (text === undefined) return null
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

function mimeOf(request: IncomingMessage): string {
  const type = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  return /^[a-z0-9!#$&^_.+-]+\/[a-z0-9!#$&^_.+-]+$/.test(type) ? type : 'application/octet-stream'
}

function full(bytesMax: number): HttpError {
  const text = `The server has no room for this upload; uploads in progress may hold ${bytesMax} bytes together.`
  return new HttpError(507, 'spool.full', text, 'Try again later.', { 'retry-after': '30' })
}
