import type { IncomingMessage, ServerResponse } from 'node:http'
import { NodeError } from '../core/flow/failure.ts'
import type { After } from '../core/protocol/client-frames.ts'
import { reviveValue } from '../core/protocol/frame.ts'
import { Bell } from './bell.ts'
import { HttpError } from './http-error.ts'
import type { ServerLimits } from './limits.ts'
import { PacedWriter } from './paced-writer.ts'
import type { ReadStep, TopicReader } from './topic-reader.ts'
import type { TopicStore } from './topics.ts'

const batchMessagesMax = 256
const batchBytesTarget = 256 * 1024
/** A comment line for SSE, an empty line for NDJSON: keeps proxies from cutting a quiet stream, and finds dead readers. */
const quietMsMax = 15_000

export interface TopicStreamOptions {
  readonly topic: string
  /** `start`, `now`, an offset or `LOG:OFFSET`; the Last-Event-ID of a browser that comes back goes before it. */
  readonly after: string | null
  readonly format: 'sse' | 'ndjson'
}

/**
 * Streams a topic as SSE or NDJSON until it ends or the client goes. Each SSE event has the id `LOG:OFFSET`, which a browser
 * sends back as Last-Event-ID, so it resumes where it was. Throws an HttpError before anything is written.
 */
export async function streamTopic(
  request: IncomingMessage,
  response: ServerResponse,
  options: TopicStreamOptions,
  topics: TopicStore,
  limits: ServerLimits,
): Promise<void> {
  const place = placeOf(lastEventId(request) ?? options.after)
  if (place === 'over') {
    // All of it was read: to a browser's EventSource this status says not to come back.
    response.writeHead(204).end()
    return
  }
  const bell = new Bell()
  const reader = open(topics, options.topic, place, bell.ring)
  response.once('close', bell.ring)
  response.writeHead(200, {
    'content-type':
      options.format === 'sse' ? 'text/event-stream; charset=utf-8' : 'application/x-ndjson; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'x-accel-buffering': 'no',
    'millrace-log': reader.log.id,
  })
  response.flushHeaders()
  const writer = new PacedWriter(response, {
    stallMsMax: limits.stallMsMax,
    bufferBytesMax: limits.replyBufferBytesMax,
  })
  const put = (text: string): Promise<void> => writer.put(Buffer.from(text))
  try {
    // A reader of what is new has a place from the beginning, to come back to even if nothing was new so far.
    if (options.format === 'sse') await put(`id: ${reader.log.id}:${reader.position - 1}\n\n`)
    for (;;) {
      const step = reader.take(batchMessagesMax, batchBytesTarget)
      if (step.kind !== 'nothing') await put(textOf(step, reader, options.format))
      else if ((await bell.wait(quietMsMax)) === 'late') await put(options.format === 'sse' ? ': quiet\n\n' : '\n')
      if (step.kind === 'end') break
      if (response.destroyed) return
    }
    response.end()
  } catch (thrown) {
    // Its reader has gone or was cut for taking nothing; there is nobody to tell.
    if (!(thrown instanceof NodeError)) throw thrown
  } finally {
    reader.close()
  }
}

function textOf(step: Exclude<ReadStep, { kind: 'nothing' }>, reader: TopicReader, format: 'sse' | 'ndjson'): string {
  switch (step.kind) {
    case 'gap': {
      const gap = { from: step.from, to: step.to }
      return format === 'sse' ? `event: gap\ndata: ${JSON.stringify(gap)}\n\n` : `${JSON.stringify({ gap })}\n`
    }
    case 'end': {
      const end = { outcome: step.outcome }
      if (format === 'ndjson') return `${JSON.stringify({ end })}\n`
      return `id: ${reader.log.id}:end\nevent: end\ndata: ${JSON.stringify(end)}\n\n`
    }
    case 'messages':
      return step.values
        .map((encoded, index) => {
          const offset = step.offset + index
          const value = reviveValue(encoded, (bytes) => Buffer.from(bytes).toString('base64'))
          if (format === 'ndjson') return `${JSON.stringify({ offset, value })}\n`
          return `id: ${reader.log.id}:${offset}\ndata: ${JSON.stringify(value)}\n\n`
        })
        .join('')
  }
}

interface Place {
  readonly after: After
  readonly log: string | null
}

/** Nothing means the start: what is kept is what most readers want to see. `LOG:end`: all was read. */
function placeOf(text: string | null): Place | 'over' {
  if (text === null || text === '' || text === 'start') return { after: 'start', log: null }
  if (text === 'now') return { after: null, log: null }
  const match = /^(?:([A-Za-z0-9_-]{1,40}):)?(-1|\d{1,15}|end)$/.exec(text)
  if (match === null || (match[2] === 'end' && match[1] === undefined))
    throw new HttpError(
      400,
      'topic.bad-place',
      `${JSON.stringify(text.slice(0, 60))} is no place in a topic.`,
      'Use start, now, an offset, or LOG:OFFSET.',
    )
  return match[2] === 'end' ? 'over' : { after: Number(match[2]), log: match[1] ?? null }
}

function lastEventId(request: IncomingMessage): string | null {
  const header = request.headers['last-event-id']
  return typeof header === 'string' && header !== '' ? header : null
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
