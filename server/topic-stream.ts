import type { IncomingMessage, ServerResponse } from 'node:http'
import { NodeError } from '../core/flow/failure.ts'
import type { After } from '../core/protocol/client-frames.ts'
import { reviveValue } from '../core/protocol/frame.ts'
import { HttpError } from './http-error.ts'
import type { ServerLimits } from './limits.ts'
import type { TopicReader } from './topic-reader.ts'
import type { TopicStore } from './topics.ts'

const batchMessagesMax = 256
const batchBytesTarget = 256 * 1024
/** A comment line for SSE, an empty line for NDJSON: keeps proxies from cutting a quiet stream, and finds dead readers. */
const quietMsMax = 15_000

/**
 * Streams a topic as SSE or NDJSON until it ends or the client goes. Each SSE event has the id `LOG:OFFSET`, which a browser
 * sends back as Last-Event-ID, so it resumes where it was. Throws an HttpError before anything is written.
 */
export async function streamTopic(
  request: IncomingMessage,
  response: ServerResponse,
  options: { readonly topic: string; readonly after: string | null; readonly format: 'sse' | 'ndjson' },
  topics: TopicStore,
  limits: ServerLimits,
): Promise<void> {
  const place = placeOf(options.after ?? lastEventId(request))
  let wake = (): void => {}
  const reader = open(topics, options.topic, place, () => wake())
  const gone = new Promise<'gone'>((resolve) => response.once('close', () => resolve('gone')))
  const writer = new TopicWriter(response, reader, options.format)
  response.writeHead(200, {
    'content-type':
      options.format === 'sse' ? 'text/event-stream; charset=utf-8' : 'application/x-ndjson; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-accel-buffering': 'no',
  })
  response.flushHeaders()
  try {
    for (;;) {
      if (response.destroyed) return
      const more = new Promise<'more'>((resolve) => {
        wake = () => resolve('more')
      })
      const state = writer.writeNext()
      if (state === 'ended') {
        response.end()
        return
      }
      if (state === 'full') {
        if ((await within(limits.stallMsMax, gone, drained(response))) === 'late') response.destroy()
      } else if (state === 'quiet' && (await within(quietMsMax, gone, more)) === 'late') writer.writeQuiet()
    }
  } finally {
    reader.close()
  }
}

class TopicWriter {
  readonly #response: ServerResponse
  readonly #reader: TopicReader
  readonly #format: 'sse' | 'ndjson'

  constructor(response: ServerResponse, reader: TopicReader, format: 'sse' | 'ndjson') {
    this.#response = response
    this.#reader = reader
    this.#format = format
  }

  writeNext(): 'more' | 'full' | 'quiet' | 'ended' {
    const step = this.#reader.take(batchMessagesMax, batchBytesTarget)
    switch (step.kind) {
      case 'nothing':
        return 'quiet'
      case 'gap':
        return this.#write(this.#piece('gap', { from: step.from, to: step.to }, null))
      case 'end':
        this.#write(this.#piece('end', { outcome: step.outcome }, null))
        return 'ended'
      case 'messages': {
        const pieces = step.values.map((value, index) => {
          const plain = reviveValue(value, (bytes) => Buffer.from(bytes).toString('base64'))
          return this.#piece('message', plain, step.offset + index)
        })
        return this.#write(pieces.join(''))
      }
    }
  }

  writeQuiet(): void {
    this.#write(this.#format === 'sse' ? ': quiet\n\n' : '\n')
  }

  #piece(kind: 'message' | 'gap' | 'end', value: unknown, offset: number | null): string {
    if (this.#format === 'ndjson') {
      const line = kind === 'message' ? { offset, value } : kind === 'gap' ? { gap: value } : { end: value }
      return `${JSON.stringify(line)}\n`
    }
    const id = offset === null ? '' : `id: ${this.#reader.log.id}:${offset}\n`
    return `${id}${kind === 'message' ? '' : `event: ${kind}\n`}data: ${JSON.stringify(value)}\n\n`
  }

  #write(text: string): 'more' | 'full' {
    return this.#response.write(text) ? 'more' : 'full'
  }
}

interface Place {
  readonly after: After
  readonly log: string | null
}

/** `start`, `now`, an offset, or `LOG:OFFSET`. Nothing means the start: what is kept is what most readers want to see. */
function placeOf(text: string | null): Place {
  if (text === null || text === '' || text === 'start') return { after: 'start', log: null }
  if (text === 'now') return { after: null, log: null }
  const match = /^(?:([A-Za-z0-9_-]{1,40}):)?(-1|\d{1,15})$/.exec(text)
  if (match === null)
    throw new HttpError(
      400,
      'topic.bad-place',
      `${JSON.stringify(text.slice(0, 60))} is no place in a topic.`,
      'Use start, now, an offset, or LOG:OFFSET.',
    )
  return { after: Number(match[2]), log: match[1] ?? null }
}

function lastEventId(request: IncomingMessage): string | null {
  const header = request.headers['last-event-id']
  return typeof header === 'string' ? header : null
}

function open(topics: TopicStore, topic: string, place: Place, onWake: () => void): TopicReader {
  try {
    return topics.read(topic, place.after, place.log, onWake)
  } catch (thrown) {
    if (!(thrown instanceof NodeError)) throw thrown
    const status = thrown.code === 'topic.unknown' ? 404 : thrown.code === 'topic.too-many' ? 503 : 400
    throw new HttpError(status, thrown.code, thrown.message)
  }
}

function drained(response: ServerResponse): Promise<'drained'> {
  return new Promise((resolve) => response.once('drain', () => resolve('drained')))
}

async function within<T>(ms: number, ...events: readonly Promise<T>[]): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), ms)
    timer.unref()
  })
  try {
    return await Promise.race([...events, late])
  } finally {
    clearTimeout(timer)
  }
}
