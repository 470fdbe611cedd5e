import { z } from 'zod'
import { constant, define, expression } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import type { Message } from '../../core/flow/message.ts'
import type { Scope } from '../../core/flow/scope.ts'
import type { AnswerHeaders } from '../../core/header-text.ts'
import { headerName, headerText, mayRepeat } from '../../core/header-text.ts'
import { Answer } from './answer.ts'

const badHeader = 'respond.bad-header'
const timesMax = 50
const headerValue = expression(z.string().max(2_000))

/** The answer to a webhook. */
export const respondV1 = define({
  name: 'respond',
  version: 1,
  summary: 'Answers the HTTP request that started the execution, whole or as a stream of values.',
  notes:
    'In a streamed answer each message is one line (NDJSON) or one event (SSE); bytes in it become base64. `auto` streams SSE to callers that accept it and NDJSON to others. ' +
    'A slow caller slows the flow; one that went away ends the execution. To a caller that asked not to wait nothing is said.',
  inputs: ['in'],
  outputs: ['out'],
  outside: true,
  config: z.strictObject({
    mode: z.enum(['whole', 'ndjson', 'sse', 'auto']).default('whole').describe('One answer, or a stream.'),
    status: expression(z.int().min(200).max(599))
      .default(constant(200))
      .describe('HTTP status; of a streamed answer, that of its first piece.'),
    headers: z
      .record(
        z.string().regex(headerName, 'not the name of a header'),
        z.union(
          [z.array(headerValue).min(1).max(timesMax), headerValue],
          `allowed are text of at most 2000 characters, or a list of 1 to ${timesMax} such texts`,
        ),
      )
      .default({})
      .describe(
        'Further headers, for example `location: /orders/{{ $json.id }}`; of a streamed answer, those of its first piece. A list is a header that stands there several times: `set-cookie: [a=1, b=2]`, or an expression that gives a list.',
      ),
    body: expression(z.json()).optional().describe('What is sent; the value when left out.'),
    timeoutMs: z
      .int()
      .min(100)
      .max(3_600_000)
      .default(60_000)
      .describe('How long the caller may take to read one piece.'),
  }),
  check: (config) =>
    Object.entries(config.headers).flatMap(([name, value]) =>
      Array.isArray(value) && !mayRepeat(name)
        ? [
            {
              field: `headers.${name}`,
              message: `an answer has the header ${name} only once`,
              remedy: 'Give it one text, not a list.',
            },
          ]
        : [],
    ),
  examples: [
    { title: 'Answer with a field', config: { body: '{{ { id: $json.id } }}' }, input: [{ id: 7 }], output: null },
    {
      title: 'Refuse, with a status by the kind of error',
      config: {
        status: "{{ $json.error.code === 'order.unknown' ? 404 : 500 }}",
        body: '{{ { error: $json.error } }}',
      },
      input: [{ error: { code: 'order.unknown', message: 'There is no such order.' } }],
      output: null,
    },
    {
      title: 'Set two cookies',
      config: { headers: { 'set-cookie': ['id={{ $json.id }}; HttpOnly', 'seen=1'] }, body: 'welcome' },
      input: [{ id: 7 }],
      output: null,
    },
    { title: 'Stream every value as a line', config: { mode: 'ndjson' }, input: [{ n: 1 }, { n: 2 }], output: null },
  ],
  face: {
    kind: 'async',
    // A caller gets one piece after the other, each when it took the one before; callers do not wait for each other.
    limits: (config) => ({ concurrency: 100_000, order: 'scope', timeoutMs: config.timeoutMs }),
    make: (config, context) => {
      const read = context.readerOrValue(config.body)
      const readStatus = context.reader(config.status)
      const readers = Object.entries(config.headers).map(([name, value]) => {
        const all = Array.isArray(value) ? value.map((each) => context.reader(each)) : context.reader(value)
        const read = (message: Message, scope: Scope): unknown =>
          typeof all === 'function' ? all(message, scope) : all.map((each) => each(message, scope))
        return { name, read }
      })
      const readHeaders = (message: Message, scope: Scope): AnswerHeaders =>
        Object.fromEntries(readers.map(({ name, read }) => [name, headerValues(name, read(message, scope))]))
      return async (message, _signal, scope) => {
        const answer = message.meta?.answer
        if (!(answer instanceof Answer))
          throw new NodeError(
            'respond.no-request',
            'there is no request to answer: the message did not come from a webhook with `respond: node`',
          )
        const body = read(message, scope)
        const status = checkStatus(readStatus(message, scope))
        const headers = readHeaders(message, scope)
        if (config.mode === 'whole') answer.send(status, body, headers)
        else await answer.write(status, config.mode, body, headers)
        return message
      }
    },
  },
})

/** What an expression gave for a header, as it is sent. An empty list sends none. */
function headerValues(name: string, value: unknown): string | readonly string[] {
  if (!Array.isArray(value)) return headerText(name, value, badHeader)
  if (!mayRepeat(name)) throw new NodeError(badHeader, `the header ${name} is a list, and an answer has it only once`)
  if (value.length > timesMax)
    throw new NodeError(badHeader, `the header ${name} is a list of ${value.length}; at most ${timesMax} are sent`)
  return value.map((each) => headerText(name, each, badHeader))
}

/** An expression may give anything. */
function checkStatus(status: unknown): number {
  if (typeof status === 'number' && Number.isInteger(status) && status >= 200 && status <= 599) return status
  throw new NodeError(
    'respond.bad-status',
    `the status must be a whole number from 200 to 599, and is ${JSON.stringify(status)?.slice(0, 40)}`,
  )
}
