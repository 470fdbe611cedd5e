import { abortedError, errorOfAnswer, MillraceError } from './errors.ts'
import type { HttpDoor } from './http.ts'
import { formatOf, lost, target, valuesOf } from './http.ts'
import { ValueCutter } from './lines.ts'

export type UploadBody = Blob | Uint8Array | ReadableStream<Uint8Array>

export interface UploadOptions {
  readonly method?: 'POST' | 'PUT'
  readonly headers?: Readonly<Record<string, string>>
  /** Bytes that were handed to the network, and bytes in all; null where the size is not known beforehand. */
  readonly onProgress?: (sent: number, total: number | null) => void
  readonly signal?: AbortSignal
}

/**
 * Sends a file as it is and gives the values of the answer as they come. In a browser the upload's progress is known only to
 * XMLHttpRequest, which holds the whole answer's text in memory; without `onProgress` fetch is used, which does not.
 */
export function uploadValues<T>(
  door: HttpDoor,
  path: string,
  body: UploadBody,
  options: UploadOptions = {},
): AsyncGenerator<T, void, undefined> {
  const name = body instanceof Blob && 'name' in body && typeof body.name === 'string' ? body.name : null
  const named: Record<string, string> = name === null ? {} : { 'content-disposition': disposition(name) }
  const withName = { ...options, headers: { ...named, ...options.headers } }
  const viaXhr =
    typeof XMLHttpRequest === 'function' && options.onProgress !== undefined && !(body instanceof ReadableStream)
  return viaXhr ? xhrUpload<T>(door, path, body, withName) : fetchUpload<T>(door, path, body, withName)
}

async function* fetchUpload<T>(
  door: HttpDoor,
  path: string,
  body: UploadBody,
  options: UploadOptions,
): AsyncGenerator<T, void, undefined> {
  const { url, headers } = target(door, path, options.headers)
  const counted = options.onProgress === undefined ? body : counting(body, options.onProgress)
  if (body instanceof Blob && body.type !== '') headers['content-type'] ??= body.type
  headers['content-type'] ??= 'application/octet-stream'
  // A stream can only be sent half-duplex, and only with this said; the field is not in the types of the DOM.
  const init: RequestInit & { duplex?: 'half' } = {
    method: options.method ?? 'POST',
    headers,
    body: counted instanceof Uint8Array ? new Uint8Array(counted) : counted,
    signal: options.signal,
    ...(counted instanceof ReadableStream ? { duplex: 'half' } : {}),
  }
  let response: Response
  try {
    response = await fetch(url, init)
  } catch (thrown) {
    throw await whyLost(body, lost(thrown, options.signal))
  }
  if (!response.ok) throw errorOfAnswer(response.status, await response.text().catch(() => ''))
  yield* valuesOf<T>(response, options.signal)
}

function counting(
  body: UploadBody,
  onProgress: (sent: number, total: number | null) => void,
): ReadableStream<Uint8Array> {
  const total = body instanceof Blob ? body.size : body instanceof Uint8Array ? body.byteLength : null
  const source =
    body instanceof Blob ? body.stream() : body instanceof Uint8Array ? new Blob([new Uint8Array(body)]).stream() : body
  let sent = 0
  return source.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        sent += chunk.byteLength
        onProgress(sent, total)
        controller.enqueue(chunk)
      },
    }),
  )
}

async function* xhrUpload<T>(
  door: HttpDoor,
  path: string,
  body: Blob | Uint8Array,
  options: UploadOptions,
): AsyncGenerator<T, void, undefined> {
  const { url, headers } = target(door, path, options.headers)
  const xhr = new XMLHttpRequest()
  const queue: unknown[] = []
  let over = false
  let error: MillraceError | null = null
  let wake = (): void => {}
  let read = 0
  let cutter: ValueCutter | null = null
  const pull = (): void => {
    if (xhr.status < 200 || xhr.status >= 300) return
    cutter ??= new ValueCutter(formatOf(xhr.getResponseHeader('content-type')))
    const piece = xhr.responseText.slice(read)
    read += piece.length
    try {
      queue.push(...cutter.push(piece), ...(over ? cutter.end() : []))
    } catch (thrown) {
      error = thrown instanceof MillraceError ? thrown : new MillraceError('answer.broken', String(thrown))
      over = true
      xhr.abort()
    }
    wake()
  }
  const finish = (failed: MillraceError | null): void => {
    if (over) return
    over = true
    error = failed
    if (failed === null) pull()
    wake()
  }
  const onAbort = (): void => {
    finish(abortedError())
    xhr.abort()
  }
  xhr.open(options.method ?? 'POST', url)
  for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value)
  xhr.upload.onprogress = (event) => options.onProgress?.(event.loaded, event.lengthComputable ? event.total : null)
  xhr.onprogress = pull
  xhr.onload = () => finish(xhr.status >= 200 && xhr.status < 300 ? null : errorOfAnswer(xhr.status, xhr.responseText))
  xhr.onerror = () => {
    const lost = new MillraceError('connection.lost', 'The server could not be reached, or went away in the middle.')
    void whyLost(body, lost).then(finish)
  }
  xhr.onabort = () => finish(abortedError())
  options.signal?.addEventListener('abort', onAbort)
  if (options.signal?.aborted === true) onAbort()
  else xhr.send(body instanceof Blob ? body : new Uint8Array(body))
  try {
    while (!over || queue.length > 0) {
      if (queue.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      // The type of the values is what the caller says it is.
      for (const value of queue.splice(0)) yield value as T
    }
    if (error !== null) throw error
  } finally {
    options.signal?.removeEventListener('abort', onAbort)
    if (!over) xhr.abort()
  }
}

/** A file that cannot be read ends its upload just as a lost connection does: only reading it tells the two apart. */
async function whyLost(body: UploadBody, lost: MillraceError): Promise<MillraceError> {
  if (!(body instanceof Blob) || lost.code !== 'connection.lost') return lost
  try {
    await body.slice(0, 1).arrayBuffer()
    return lost
  } catch {
    const what = 'The file cannot be read: it is a folder, or it was changed, moved or removed since it was chosen.'
    return new MillraceError('upload.unreadable', what, { remedy: 'Choose it again; of a folder, the files in it.' })
  }
}

function disposition(name: string): string {
  return `attachment; filename*=UTF-8''${encodeURIComponent(name).replace(/['()*]/g, (each) => `%${each.charCodeAt(0).toString(16)}`)}`
}
