import { createReadStream } from 'node:fs'
import { readFile, realpath, stat } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { stripTypeScriptTypes } from 'node:module'
import { extname, join, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { HttpError } from './http-error.ts'

/** A folder whose files are served below a path. */
export interface PageMount {
  /** `/` or `/sdk`. The longest one that fits a request wins. */
  readonly path: string
  readonly directory: string
}

export interface Pages {
  /** Serves the file for a path; false when there is none. Throws an HttpError 405. */
  handle(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean>
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.ts': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
  '.txt': 'text/plain; charset=utf-8',
  '.yaml': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.webp': 'image/webp',
  '.avif': 'image/avif',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
  '.mp4': 'video/mp4',
  '.webm': 'video/webm',
}

const policy = [
  "default-src 'self'",
  "img-src 'self' blob: data:",
  "media-src 'self' blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ')

const headers: Readonly<Record<string, string>> = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

/** TypeScript modules that were stripped, by path; a page has a few dozen. */
const strippedMax = 500
const strippableBytesMax = 1024 * 1024

/**
 * Serves folders as pages. `.ts` modules come as JavaScript with their types blanked out, so that a page imports the
 * sources as they are. Files outside the folder, hidden ones and tests are not there.
 */
export function createPages(mounts: readonly PageMount[]): Pages {
  const ordered = mounts
    .map((mount) => ({ ...mount, path: mount.path.replace(/\/$/, '') }))
    .sort((a, b) => b.path.length - a.path.length)
  const stripped = new Map<string, { readonly tag: string; readonly code: Buffer }>()
  return {
    async handle(request, response, path) {
      const name = decodePath(path)
      const mount = ordered.find((each) => name !== null && (name === each.path || name.startsWith(`${each.path}/`)))
      if (mount === undefined || name === null) return false
      const file = await locateModule(mount.directory, name.slice(mount.path.length))
      if (file === null) return false
      if (request.method !== 'GET' && request.method !== 'HEAD')
        throw new HttpError(405, 'method.not-allowed', `A page does not take ${request.method}.`, 'Use GET.', {
          allow: 'GET, HEAD',
        })
      // A folder's relative links only work below its own path.
      if (name === mount.path && mount.path !== '') {
        response.writeHead(308, { location: `${mount.path}/` }).end()
        return true
      }
      const tag = `"${file.mtimeMs.toString(36)}-${file.size.toString(36)}"`
      const about = { ...headers, etag: tag, 'cache-control': 'no-cache' }
      if (request.headers['if-none-match'] === tag) {
        response.writeHead(304, about).end()
        return true
      }
      const type = types[extname(file.path)] ?? 'application/octet-stream'
      if (extname(file.path) === '.ts')
        await sendScript(request, response, file, tag, { ...about, 'content-type': type }, stripped)
      else await sendFile(request, response, file, { ...about, 'content-type': type })
      return true
    },
  }
}

interface Located {
  readonly path: string
  readonly size: number
  readonly mtimeMs: number
}

/** A page asks for the modules that it was written as; in a built package JavaScript stands in their place. */
async function locateModule(directory: string, name: string): Promise<Located | null> {
  const file = await locate(directory, name)
  return file === null && name.endsWith('.ts') ? locate(directory, `${name.slice(0, -'.ts'.length)}.js`) : file
}

async function locate(directory: string, name: string): Promise<Located | null> {
  const segments = name.split('/')
  if (segments.some((segment) => segment.startsWith('.') || segment.includes('\\')) || /\.test\.\w+$/.test(name))
    return null
  try {
    const root = await realpath(directory)
    let path = await realpath(join(root, ...segments))
    let about = await stat(path)
    if (about.isDirectory()) {
      path = await realpath(join(path, 'index.html'))
      about = await stat(path)
    }
    // After all links are followed: what lies outside the folder is not served.
    if (!about.isFile() || !path.startsWith(`${root}${sep}`)) return null
    return { path, size: about.size, mtimeMs: about.mtimeMs }
  } catch {
    return null
  }
}

async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  file: Located,
  about: Record<string, string>,
): Promise<void> {
  const range = request.method === 'GET' ? rangeOf(request.headers.range, file.size) : null
  const length = range === null ? file.size : range.end - range.start + 1
  response.writeHead(range === null ? 200 : 206, {
    ...about,
    'content-length': length,
    'accept-ranges': 'bytes',
    ...(range === null ? {} : { 'content-range': `bytes ${range.start}-${range.end}/${file.size}` }),
  })
  if (request.method === 'HEAD' || length === 0) {
    response.end()
    return
  }
  // A reader that leaves early ends the stream with an error; nobody is left to be told.
  await pipeline(createReadStream(file.path, range ?? { end: file.size - 1 }), response).catch(() => {})
}

async function sendScript(
  request: IncomingMessage,
  response: ServerResponse,
  file: Located,
  tag: string,
  about: Record<string, string>,
  stripped: Map<string, { readonly tag: string; readonly code: Buffer }>,
): Promise<void> {
  let known = stripped.get(file.path)
  if (known === undefined || known.tag !== tag) {
    if (file.size > strippableBytesMax)
      throw new HttpError(413, 'page.too-large', 'A TypeScript module of this size is not served.')
    known = { tag, code: Buffer.from(strip(await readFile(file.path, 'utf8'))) }
    if (stripped.size >= strippedMax) stripped.clear()
    stripped.set(file.path, known)
  }
  response.writeHead(200, { ...about, 'content-length': known.code.byteLength })
  response.end(request.method === 'HEAD' ? undefined : known.code)
}

/** Types become blanks, so that lines and columns stay. Node warns once that its function is experimental; that is ours to know. */
function strip(text: string): string {
  const warn = process.emitWarning
  process.emitWarning = () => {}
  try {
    return stripTypeScriptTypes(text)
  } finally {
    process.emitWarning = warn
  }
}

/** One range of `bytes=a-b`, which is how browsers seek in a video; null for anything else, which gets the whole file. */
function rangeOf(header: string | undefined, size: number): { readonly start: number; readonly end: number } | null {
  const match = /^bytes=(\d{1,15})-(\d{0,15})$/.exec(header ?? '')
  if (match === null) return null
  const start = Number(match[1])
  const end = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1)
  return start <= end ? { start, end } : null
}

function decodePath(path: string): string | null {
  try {
    const name = decodeURIComponent(path)
    return name.includes('\0') ? null : name
  } catch {
    return null
  }
}
