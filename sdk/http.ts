import { abortedError, errorOfAnswer, MillraceError } from './errors.ts'
import { ValueCutter } from './lines.ts'

export interface HttpDoor {
  readonly base: string
  readonly token: string | null
}

export interface StreamOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Text as it is; anything else is sent as JSON. */
  readonly body?: unknown
  readonly signal?: AbortSignal
}

const callMsMax = 30_000

/** One call of the API, answered with JSON. Throws MillraceError. */
export async function callApi(
  door: HttpDoor,
  method: string,
  path: string,
  body?: unknown,
  msMax: number = callMsMax,
): Promise<unknown> {
  const signal = AbortSignal.timeout(msMax)
  const response = await request(door, path, { method, body, signal })
  try {
    return await response.json()
  } catch {
    throw new MillraceError('answer.broken', `The answer to ${method} ${path} is not JSON.`, {
      status: response.status,
    })
  }
}

/** Calls a streaming endpoint and gives its values as they come. Leaving the loop early ends the call. */
export async function* streamValues<T>(
  door: HttpDoor,
  path: string,
  options: StreamOptions = {},
): AsyncGenerator<T, void, undefined> {
  const response = await request(door, path, {
    ...options,
    method: options.method ?? (options.body === undefined ? 'GET' : 'POST'),
  })
  yield* valuesOf<T>(response, options.signal)
}

/** The values of an NDJSON or SSE answer; of any other JSON answer, the one. */
export async function* valuesOf<T>(response: Response, signal?: AbortSignal): AsyncGenerator<T, void, undefined> {
  const cutter = new ValueCutter(formatOf(response.headers.get('content-type')))
  const decoder = new TextDecoder()
  const reader = response.body?.getReader()
  if (reader === undefined) return
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((thrown: unknown) => {
        throw lost(thrown, signal)
      })
      if (done) break
      // The type of the values is what the caller says it is, as for any endpoint of their own.
      for (const each of cutter.push(decoder.decode(value, { stream: true }))) yield each as T
    }
    for (const each of cutter.end()) yield each as T
  } finally {
    // Ends the transfer when the loop was left early; does nothing after the end.
    await reader.cancel().catch(() => {})
  }
}

export function formatOf(contentType: string | null): 'ndjson' | 'sse' {
  return contentType?.startsWith('text/event-stream') === true ? 'sse' : 'ndjson'
}

/** Whole address and headers of a request. */
export function target(
  door: HttpDoor,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): { url: string; headers: Record<string, string> } {
  const own: Record<string, string> = door.token === null ? {} : { authorization: `Bearer ${door.token}` }
  return { url: new URL(path, door.base).href, headers: { ...own, ...headers } }
}

async function request(door: HttpDoor, path: string, options: StreamOptions): Promise<Response> {
  const { url, headers } = target(door, path, options.headers)
  const { body } = options
  if (body !== undefined && typeof body !== 'string') headers['content-type'] ??= 'application/json'
  const sent = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  let response: Response
  try {
    response = await fetch(url, { method: options.method, headers, body: sent, signal: options.signal })
  } catch (thrown) {
    throw lost(thrown, options.signal)
  }
  if (!response.ok) throw errorOfAnswer(response.status, await response.text().catch(() => ''))
  return response
}

export function lost(thrown: unknown, signal: AbortSignal | undefined): MillraceError {
  if (signal?.aborted === true) {
    const late = signal.reason instanceof Error && signal.reason.name === 'TimeoutError'
    return late ? new MillraceError('connection.timeout', 'The server did not answer in time.') : abortedError()
  }
  const why = thrown instanceof Error ? thrown.message : String(thrown)
  return new MillraceError('connection.lost', `The server could not be reached, or went away in the middle (${why}).`)
}
