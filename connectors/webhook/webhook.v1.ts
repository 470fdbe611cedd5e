import { z } from 'zod'
import { define } from '../../core/define.ts'
import { NodeError } from '../../core/flow/failure.ts'
import { message } from '../../core/flow/message.ts'
import type { HubArrival, HubReply, HubRequest } from '../../core/host.ts'
import { Answer } from './answer.ts'

const one = { messages: 1, bytes: 0 }

/** An HTTP request starts an execution. */
export const webhookV1 = define({
  name: 'webhook',
  version: 1,
  summary: 'Starts an execution for each HTTP request to a path of this server.',
  notes:
    'The value is `{ method, path, params, query, headers, body }`; `$request` reads the same anywhere later. ' +
    'A name that the query repeats has a list of texts there. ' +
    'With `respond: accepted` the caller gets 202 and the execution id at once; with `respond: node` a `respond` node answers, whole or as a stream, ' +
    'and a caller that sends `Prefer: respond-async` (RFC 7240) gets the 202 all the same. ' +
    'An execution that ends without an answer gives 204, or 500 with the code of the failure where a message of it lies in the dead-letter, which has the cause; ' +
    'a streamed answer from which one is missing so, or that breaks off, ends with `{ error: { code, message } }` (in SSE, an event `error`). ' +
    'When more requests are in flight than `settings.inFlightMax` allows, the rest get 503 with Retry-After. ' +
    'With `arrivingMs` there is a second port, `arriving`: while a body of known length comes in, an execution of its own gets ' +
    '`{ method, path, params, query, headers, receivedBytes, totalBytes, expectedMs }` when the rest is expected so soon, judged by the speed so far. ' +
    'It is a hint, given once or not at all, for what takes time to get ready; the body may still be cut.',
  inputs: [],
  outputs: (config) => (config.arrivingMs === undefined ? ['out'] : ['out', 'arriving']),
  freshValues: true,
  config: z.strictObject({
    path: z
      .string()
      .max(500)
      .regex(
        /^\/[A-Za-z0-9._~:/-]*$/,
        'a path begins with / and holds letters, digits, ".", "_", "~", "-" and :parameters',
      )
      .describe('Where it listens, for example `/orders/:id`.'),
    methods: z
      .array(z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']))
      .min(1)
      .max(5)
      .default(['POST'])
      .describe('Methods that it takes.'),
    body: z
      .enum(['json', 'form', 'text', 'bytes', 'file', 'none'])
      .default('json')
      .describe(
        'How the body is read. `form`: the fields of a page’s form (`application/x-www-form-urlencoded`); a name that comes several times has a list of texts. `file` writes it to a temporary file that lives as long as the execution, and gives `{ path, name, mime, sizeBytes }`.',
      ),
    bodyBytesMax: z
      .int()
      .min(0)
      .max(100_000_000_000)
      .default(10_000_000)
      .describe('A longer body is refused with 413.'),
    respond: z.enum(['accepted', 'node']).default('accepted').describe('Who answers.'),
    onDisconnect: z
      .enum(['stop', 'continue'])
      .default('stop')
      .describe('What happens to the execution when the caller has gone before the answer.'),
    arrivingMs: z
      .int()
      .min(1)
      .max(60_000)
      .optional()
      .describe(
        'How long before a body is complete the port `arriving` tells of it; there is no such port without it.',
      ),
  }),
  examples: [
    {
      title: 'Take orders',
      config: { path: '/orders', respond: 'accepted' },
      input: [],
      output: null,
    },
    { title: 'Take what a form on a page sends', config: { path: '/contact', body: 'form' }, input: [], output: null },
  ],
  face: {
    kind: 'event-trigger',
    open: async (config, context) => {
      const { hub, clock } = context.host
      if (hub === undefined)
        throw new NodeError(
          'webhook.no-server',
          `${context.node} needs a server; start the workflow with \`millrace serve\``,
        )
      let paused = false
      const handle = (request: HubRequest, reply: HubReply): void => {
        if (paused || !context.gate.take(one)) {
          const error = {
            code: 'webhook.busy',
            message: 'Too many requests are in flight.',
            remedy: 'Try again in a second.',
          }
          reply.send(503, { error }, { 'retry-after': '1' })
          return
        }
        const removeFile = config.body === 'file' ? request.keepFile() : null
        const later = config.respond === 'accepted' || /\brespond-async\b/i.test(request.headers.prefer ?? '')
        const answer = new Answer(request, reply, later)
        const scope = context.openScope(answer)
        if (removeFile !== null) scope.onEnd(removeFile)
        if (later) answer.accept(scope.owner?.executionId(scope) ?? '')
        else if (config.onDisconnect === 'stop')
          request.signal.addEventListener('abort', () =>
            scope.owner?.broke(scope, {
              code: 'execution.stopped',
              message: 'the caller has gone',
              node: context.node,
              retriable: false,
            }),
          )
        const { method, path, params, query, headers, body } = request
        const value = { method, path, params, query, headers, body }
        context.emit(
          0,
          [message(value, null, clock.now(), { request: { method, path, params, query, headers }, answer })],
          scope,
          0,
          one,
        )
        context.endScope(scope)
      }
      const arriving = (arrival: HubArrival): void => {
        // A hint waits for nobody: where there is no credit, it is left out.
        if (paused || !context.gate.take(one)) return
        const { id: _, ...value } = arrival
        const { method, path, params, query, headers } = value
        const scope = context.openScope()
        context.emit(
          1,
          [message(value, null, clock.now(), { request: { method, path, params, query, headers } })],
          scope,
          0,
          one,
        )
        context.endScope(scope)
      }
      const { methods, path, body, bodyBytesMax, arrivingMs } = config
      const release = hub.route({ methods, path, body, bodyBytesMax, arrivingMs }, handle, arriving)
      return {
        pause: () => {
          paused = true
        },
        resume: () => {
          paused = false
        },
        close: async () => release(),
      }
    },
  },
})
